namespace RepVgg.Runtime.Files;

/// <summary>Reads data that is compressed by Deflate, as in gzip and zip files, in memory in proportion to what the file really holds.</summary>
internal static class CompressedData
{
    /// <summary>The largest ratio of the length of data to its compressed length: 258 bytes, the longest match, for two bits.</summary>
    public const int MaximumRatio = 1032;

    private const int FirstBytes = 1 << 20;

    /// <summary>Reads a number of bytes, or fewer if the stream ends. The array grows with the bytes that are read, since a file can have fewer than it declares.</summary>
    /// <param name="stream">The decompressed data.</param>
    /// <param name="count">The number of bytes.</param>
    public static byte[] ReadUpTo(Stream stream, int count)
    {
        byte[] values = new byte[Math.Min(count, FirstBytes)];
        int read = 0;
        while (true)
        {
            read += stream.ReadAtLeast(values.AsSpan(read), values.Length - read, throwOnEndOfStream: false);
            if (read < values.Length || read == count)
                break;
            Array.Resize(ref values, (int)Math.Min(count, 2L * values.Length));
        }
        Array.Resize(ref values, read);
        return values;
    }
}
