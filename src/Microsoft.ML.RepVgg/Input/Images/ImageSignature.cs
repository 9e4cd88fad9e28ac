using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using RepVgg.Runtime.Files;

namespace Microsoft.ML.RepVgg.Input.Images;

/// <summary>Recognises file formats by their first bytes, to explain why an image cannot be decoded.</summary>
internal static class ImageSignature
{
    /// <summary>Numbers of bytes at the start and at the end of a file that <see cref="EndsProperly"/> needs.</summary>
    public const int HeadLength = 34, TailLength = 12;

    private const string CutOff = "it is cut off: the end of the file is missing";
    private const string Damaged = "it is damaged";

    private const string Supported = "JPEG, PNG, GIF, BMP and WebP are read";

    private static ReadOnlySpan<byte> Jpeg => [0xFF, 0xD8, 0xFF];

    private static ReadOnlySpan<byte> JpegEnd => [0xFF, 0xD9];

    private static ReadOnlySpan<byte> Png => [0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A];

    private static ReadOnlySpan<byte> PngEnd => [0, 0, 0, 0, (byte)'I', (byte)'E', (byte)'N', (byte)'D', 0xAE, 0x42, 0x60, 0x82];

    private static ReadOnlySpan<byte> Gif => "GIF8"u8;

    private static ReadOnlySpan<byte> Bmp => "BM"u8;

    /// <summary>Whether a file has one of the formats that are read.</summary>
    /// <param name="head">The first <see cref="HeadLength"/> bytes of the file.</param>
    public static bool IsReadable(ReadOnlySpan<byte> head) =>
        head.StartsWith(Jpeg) || head.StartsWith(Png) || head.StartsWith(Gif) || head.StartsWith(Bmp) || IsWebP(head);

    /// <summary>Whether a file of one of the formats that are read ends as files of its format do.</summary>
    /// <param name="head">The first <see cref="HeadLength"/> bytes of the file.</param>
    /// <param name="tail">The last <see cref="TailLength"/> bytes of the file.</param>
    /// <param name="length">Length of the file in bytes.</param>
    public static bool EndsProperly(ReadOnlySpan<byte> head, ReadOnlySpan<byte> tail, long length)
    {
        if (head.StartsWith(Jpeg))
            return tail.EndsWith(JpegEnd);
        if (head.StartsWith(Png))
            return tail.SequenceEqual(PngEnd);
        if (head.StartsWith(Gif))
            return tail is [.., 0, 0x3B];
        if (IsWebP(head))
            return length >= 8L + BinaryPrimitives.ReadUInt32LittleEndian(head[4..]);
        return head.StartsWith(Bmp) && HoldsPixels(head, length);
    }

    /// <summary>Whether a BMP file has room for all pixels. Compressed files and the older header are left to the decoder.</summary>
    private static bool HoldsPixels(ReadOnlySpan<byte> head, long length)
    {
        const int OldHeader = 12, Uncompressed = 0, WithMasks = 3;
        if (BinaryPrimitives.ReadInt32LittleEndian(head[14..]) == OldHeader || BinaryPrimitives.ReadInt32LittleEndian(head[30..]) is not (Uncompressed or WithMasks))
            return false;
        long offset = BinaryPrimitives.ReadUInt32LittleEndian(head[10..]), width = BinaryPrimitives.ReadInt32LittleEndian(head[18..]), height = BinaryPrimitives.ReadInt32LittleEndian(head[22..]);
        long rowBytes = (width * BinaryPrimitives.ReadUInt16LittleEndian(head[28..]) + 31) / 32 * 4;
        return length >= offset + rowBytes * Math.Abs(height);
    }

    /// <summary>Whether a JPEG or PNG file has no end marker. A file whose lost end was filled up with zero bytes has none either.</summary>
    /// <param name="bytes">The content of the file.</param>
    public static bool LacksEndMarker(ReadOnlySpan<byte> bytes) =>
        bytes.StartsWith(Png) ? bytes.LastIndexOf(PngEnd) < 0 : bytes.StartsWith(Jpeg) && ScanOf(bytes).IndexOf(JpegEnd) < 0;

    /// <summary>Returns the part of a JPEG file from the pixel data on. The segments before are skipped by their lengths, since a thumbnail in one of them has its own end marker.</summary>
    private static ReadOnlySpan<byte> ScanOf(ReadOnlySpan<byte> jpeg)
    {
        const byte StartOfScan = 0xDA;
        int position = 2;
        while (position + 4 <= jpeg.Length && jpeg[position] == 0xFF && jpeg[position + 1] != StartOfScan)
            position += jpeg[position + 1] == 0xFF ? 1 : 2 + BinaryPrimitives.ReadUInt16BigEndian(jpeg[(position + 2)..]);
        return jpeg[Math.Min(position, jpeg.Length)..];
    }

    /// <summary>Explains why the decoder cannot open a file.</summary>
    /// <param name="bytes">The content of the file, not empty.</param>
    /// <param name="isCutOff">Whether the decoder reached the end of the file.</param>
    /// <returns>The reason, as in <see cref="ImageException"/>.</returns>
    public static string ExplainUnopened(ReadOnlySpan<byte> bytes, bool isCutOff)
    {
        if (IsRead(bytes))
            return ExplainUndecoded(bytes, isCutOff);
        if (bytes.Length > 1 && (Jpeg.StartsWith(bytes) || Png.StartsWith(bytes) || Gif.StartsWith(bytes) || (bytes.Length < 12 && "RIFF"u8.StartsWith(bytes[..Math.Min(4, bytes.Length)]))))
            return CutOff;
        return ForeignFormat(bytes) is { } format
            ? $"it is {format} ({Supported})"
            : $"its format is unknown (its first bytes are {FirstBytes(bytes)}; {Supported})";
    }

    /// <summary>Explains why the decoder opens a file but cannot decode it.</summary>
    /// <param name="bytes">The content of the file, not empty.</param>
    /// <param name="isCutOff">Whether the decoder reached the end of the file. It does not tell in all cases.</param>
    /// <returns>The reason, as in <see cref="ImageException"/>.</returns>
    public static string ExplainUndecoded(ReadOnlySpan<byte> bytes, bool isCutOff) =>
        isCutOff || (IsRead(bytes) && (bytes.Length < HeadLength || !EndsProperly(bytes, bytes[^TailLength..], bytes.Length))) ? CutOff : Damaged;

    private static bool IsRead(ReadOnlySpan<byte> bytes) =>
        bytes.StartsWith(Jpeg) || bytes.StartsWith(Png) || bytes.StartsWith(Gif) || bytes.StartsWith(Bmp) || IsWebP(bytes);

    private static bool IsWebP(ReadOnlySpan<byte> bytes) => bytes.Length >= 12 && bytes.StartsWith("RIFF"u8) && bytes[8..].StartsWith("WEBP"u8);

    private static string? ForeignFormat(ReadOnlySpan<byte> bytes)
    {
        if (bytes.StartsWith("II*\0"u8) || bytes.StartsWith("MM\0*"u8) || bytes.StartsWith("II+\0"u8) || bytes.StartsWith("MM\0+"u8))
            return "a TIFF file";
        if (bytes.Length >= 12 && bytes[4..].StartsWith("ftyp"u8))
        {
            var brand = bytes.Slice(8, 4);
            if (brand.StartsWith("avi"u8))
                return "an AVIF file";
            return brand.StartsWith("hei"u8) || brand.StartsWith("hev"u8) || brand.SequenceEqual("mif1"u8) || brand.SequenceEqual("msf1"u8) ? "a HEIC file" : "a video file";
        }
        if (bytes.StartsWith("8BPS"u8))
            return "a Photoshop file (PSD)";
        if (bytes.StartsWith(new byte[] { 0xFF, 0x0A }) || bytes.StartsWith("\0\0\0\u000CJXL "u8))
            return "a JPEG XL file";
        if (bytes.StartsWith("\0\0\0\u000CjP  "u8))
            return "a JPEG 2000 file";
        if (MisplacedFile.Recognize(bytes) is { } misplaced)
            return misplaced.Name;
        string text = MisplacedFile.Text(bytes);
        return text.StartsWith('<') && text.Contains("<svg", StringComparison.OrdinalIgnoreCase) ? "an SVG file" : null;
    }

    private static string FirstBytes(ReadOnlySpan<byte> bytes)
    {
        const int Most = 8;
        var first = bytes[..Math.Min(Most, bytes.Length)];
        string hexadecimal = string.Join(' ', first.ToArray().Select(value => value.ToString("X2", CultureInfo.InvariantCulture)));
        return first.ContainsAnyExceptInRange((byte)' ', (byte)'~') ? hexadecimal : $"{hexadecimal}, '{Encoding.ASCII.GetString(first)}'";
    }
}
