using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using RepVgg.Weights.Onnx;

namespace Microsoft.ML.RepVgg.Reports;

/// <summary>Appends scalars to a TensorBoard event file. TensorBoard shows each folder with such files as a run, and draws the same tag of several runs in one chart.</summary>
/// <remarks>
/// The file is created at the first call, and opened for the time of each call only. A record is its length as a 64-bit integer, the masked CRC-32C of these eight
/// bytes, the message Event, and the masked CRC-32C of the message; all integers are little-endian. Source: TensorBoard's event.proto, summary.proto and summary/writer/record_writer.py.
/// </remarks>
internal sealed class TensorBoardWriter(string folder)
{
    private static int _files;

    private readonly string _path = Path.Combine(folder, string.Create(
        CultureInfo.InvariantCulture,
        $"events.out.tfevents.{DateTimeOffset.UtcNow.ToUnixTimeSeconds()}.{Environment.MachineName}.{Environment.ProcessId}.{Interlocked.Increment(ref _files)}"));

    /// <summary>Adds one value per tag.</summary>
    /// <param name="step">Position on the horizontal axis.</param>
    /// <param name="scalars">Tags and values.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void Add(long step, IEnumerable<(string Tag, double Value)> scalars)
    {
        using var content = new MemoryStream();
        if (!File.Exists(_path))
            Write(content, Event(0, message => message.Text(3, "brain.Event:2")));
        var summary = new ProtoMessage();
        foreach (var (tag, scalar) in scalars)
        {
            var value = new ProtoMessage();
            value.Text(1, tag);
            value.Single(2, (float)scalar);
            summary.Message(1, value);
        }
        Write(content, Event(step, message => message.Message(5, summary)));
        try
        {
            Directory.CreateDirectory(folder);
            using var file = new FileStream(_path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete);
            content.WriteTo(file);
        }
        catch (UnauthorizedAccessException error)
        {
            throw new IOException($"The TensorBoard file '{_path}' cannot be written: {error.Message}", error);
        }
    }

    private static ProtoMessage Event(long step, Action<ProtoMessage> addContent)
    {
        var message = new ProtoMessage();
        message.Double(1, (DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).TotalSeconds);
        message.Integer(2, step);
        addContent(message);
        return message;
    }

    private static void Write(MemoryStream stream, ProtoMessage message)
    {
        Span<byte> length = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(length, message.Length);
        stream.Write(length);
        WriteChecksum(stream, length);
        int start = (int)stream.Position;
        message.WriteTo(stream);
        WriteChecksum(stream, stream.GetBuffer().AsSpan(start, (int)message.Length));
    }

    private static void WriteChecksum(MemoryStream stream, ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in data)
            crc = BitOperations.Crc32C(crc, value);
        Span<byte> masked = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(masked, BitOperations.RotateRight(~crc, 15) + 0xA282EAD8);
        stream.Write(masked);
    }
}
