#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>Finds an encoded image's format by its first bytes and decodes it: PNG, JPEG and BMP.</summary>
internal static class ImageDecoder
{
    private const int SignatureLength = 8;

    /// <summary>Decodes what a stream holds from its position on; null where that is no image that can be decoded whole.</summary>
    public static DecodedImage? TryDecode(Stream stream)
    {
        // A stream that cannot be an image is not read to its end.
        var head = new byte[SignatureLength];
        int got = stream.ReadAtLeast(head, SignatureLength, throwOnEndOfStream: false);
        if (got < SignatureLength || Choose(head) is not { } decode)
            return null;
        using var all = new MemoryStream();
        all.Write(head);
        stream.CopyTo(all);
        return Run(decode, all.ToArray());
    }

    /// <summary>Decodes a file's bytes; null where they are no image that can be decoded whole.</summary>
    public static DecodedImage? TryDecode(byte[] data)
        => data.Length >= SignatureLength && Choose(data) is { } decode ? Run(decode, data) : null;

    /// <summary>Decodes a file's bytes, saying what is wrong with them if they cannot be decoded.</summary>
    public static DecodedImage Decode(byte[] data)
    {
        if (data.Length < SignatureLength || Choose(data) is not { } decode)
            throw new ImageFormatException("This is no PNG, JPEG or BMP image.");
        return decode(data);
    }

    private static Func<byte[], DecodedImage>? Choose(ReadOnlySpan<byte> head)
    {
        if (head.StartsWith(PngDecoder.Signature))
            return PngDecoder.Decode;
        if (head[0] == 0xFF && head[1] == 0xD8 && head[2] == 0xFF)
            return data => new JpegDecoder(data).Decode();
        if (head[0] == 'B' && head[1] == 'M')
            return BmpDecoder.Decode;
        return null;
    }

    private static DecodedImage? Run(Func<byte[], DecodedImage> decode, byte[] data)
    {
        try
        {
            return decode(data);
        }
        catch (ImageFormatException)
        {
            return null;
        }
    }
}
