using System.Buffers.Binary;
using System.IO.Compression;

namespace RepVgg.Testing;

/// <summary>Files of the IDX format, the format of MNIST, made for tests.</summary>
internal static class IdxBytes
{
    public static byte[] Idx(byte[] values, params int[] shape)
    {
        var file = new byte[4 + 4 * shape.Length + values.Length];
        (file[2], file[3]) = (8, (byte)shape.Length);
        for (int i = 0; i < shape.Length; i++)
            BinaryPrimitives.WriteInt32BigEndian(file.AsSpan(4 + 4 * i), shape[i]);
        values.CopyTo(file, 4 + 4 * shape.Length);
        return file;
    }

    public static byte[] Gzip(byte[] content)
    {
        using var stream = new MemoryStream();
        using (var gzip = new GZipStream(stream, CompressionLevel.Fastest))
            gzip.Write(content);
        return stream.ToArray();
    }
}
