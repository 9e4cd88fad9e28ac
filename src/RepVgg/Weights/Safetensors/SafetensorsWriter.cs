using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Safetensors;

/// <summary>Writes weights as a safetensors file, optionally with a description of the network in its metadata.</summary>
public static class SafetensorsWriter
{
    private const int Alignment = 8;

    /// <summary>Writes a file. The file is created or replaced only when it is complete.</summary>
    /// <param name="state">The weights.</param>
    /// <param name="path">The file.</param>
    /// <param name="description">Description of the network, stored in the metadata of the file; null to omit it.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(StateDict state, string path, ModelDescription? description = null)
    {
        ArgumentNullException.ThrowIfNull(state);
        AtomicFile.Write(path, stream => Write(state, stream, description));
    }

    /// <summary>Writes to a stream.</summary>
    /// <param name="state">The weights.</param>
    /// <param name="stream">Receives the file's content.</param>
    /// <param name="description">Description of the network, stored in the metadata of the file; null to omit it.</param>
    public static void Write(StateDict state, Stream stream, ModelDescription? description = null)
    {
        ArgumentNullException.ThrowIfNull(state);
        ArgumentNullException.ThrowIfNull(stream);
        if (!BitConverter.IsLittleEndian)
            throw new PlatformNotSupportedException("safetensors files are written on little-endian machines only.");

        byte[] header = Header(state, description);
        int padded = (header.Length + Alignment - 1) / Alignment * Alignment;
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, padded);
        stream.Write(length);
        stream.Write(header);
        for (int i = header.Length; i < padded; i++)
            stream.WriteByte((byte)' ');
        foreach (var (_, tensor) in state)
            stream.Write(MemoryMarshal.AsBytes(tensor.Values.AsSpan()));
    }

    private static byte[] Header(StateDict state, ModelDescription? description)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
        {
            writer.WriteStartObject();
            writer.WriteStartObject("__metadata__");
            writer.WriteString("format", "pt");
            foreach (var (key, value) in description?.ToProperties() ?? [])
                writer.WriteString(key, value);
            writer.WriteEndObject();
            long position = 0;
            foreach (var (name, tensor) in state)
            {
                writer.WriteStartObject(name);
                writer.WriteString("dtype", "F32");
                writer.WriteStartArray("shape");
                foreach (int dimension in tensor.Shape)
                    writer.WriteNumberValue(dimension);
                writer.WriteEndArray();
                writer.WriteStartArray("data_offsets");
                writer.WriteNumberValue(position);
                position += (long)tensor.Values.Length * sizeof(float);
                writer.WriteNumberValue(position);
                writer.WriteEndArray();
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
        }
        return stream.ToArray();
    }
}
