using System.Runtime.InteropServices;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Onnx;

/// <summary>A constant of an ONNX model: floating-point values of any width, which are converted to 32-bit floats, or integers. Floating-point values are read from the file when they are first used.</summary>
internal sealed class OnnxTensor : WeightSource
{
    // Up to this number of floats (4 KiB, one page) is read directly from the mapped memory.
    private const int FewFloats = 1024;

    private float[]? _floats;
    private ReadOnlyMemory<byte> _stored;
    private int _type;
    private MappedFile? _file;

    public string Name { get; set; } = "";

    public int[] Shape { get; set; } = [];

    public long[]? Integers { get; set; }

    /// <summary>Whether the values are floating-point numbers.</summary>
    public bool IsFloat => _floats is not null || _type != 0;

    /// <summary>The floating-point values, which are kept in memory after the first access; null for other types.</summary>
    public float[]? Floats
    {
        get => _floats ??= IsFloat ? Decode() : null;
        set => _floats = value;
    }

    public override int Length => _floats?.Length ?? _stored.Length / Math.Max(SizeOf(_type), 1);

    /// <summary>Sets the values to the stored bytes of the file, without copying them.</summary>
    /// <param name="stored">The bytes.</param>
    /// <param name="type">ONNX's number of a floating-point type (TensorProto.DataType).</param>
    /// <param name="file">The mapped file that contains the bytes; null if they are in managed memory.</param>
    public void Store(ReadOnlyMemory<byte> stored, int type, MappedFile? file) => (_stored, _type, _file) = (stored, type, file);

    public override ReadOnlySpan<float> Read(int start, int count, scoped ref float[] room)
    {
        if (_floats is not null)
            return new ReadOnlySpan<float>(_floats, start, count);
        if (_type == OnnxSchema.Tensor.Float && (_file is null || count <= FewFloats))
            return MemoryMarshal.Cast<byte, float>(Part(start, count));
        var values = Grow(ref room, count);
        Decode(start, values);
        return values;
    }

    public override float[] Take() => _floats is null ? Decode() : (float[])_floats.Clone();

    private static int SizeOf(int type) => type switch
    {
        OnnxSchema.Tensor.Float => sizeof(float),
        OnnxSchema.Tensor.Double => sizeof(double),
        OnnxSchema.Tensor.Float16 => sizeof(short),
        _ => 0,
    };

    private float[] Decode()
    {
        var values = new float[Length];
        Decode(0, values);
        return values;
    }

    private void Decode(int start, Span<float> values)
    {
        var bytes = Part(start, values.Length);
        switch (_type)
        {
            case OnnxSchema.Tensor.Float when _file is not null: _file.Read(bytes, MemoryMarshal.AsBytes(values)); break;
            case OnnxSchema.Tensor.Float: bytes.CopyTo(MemoryMarshal.AsBytes(values)); break;
            case OnnxSchema.Tensor.Double:
                var doubles = MemoryMarshal.Cast<byte, double>(bytes);
                for (int i = 0; i < values.Length; i++)
                    values[i] = (float)doubles[i];
                break;
            default:
                var halves = MemoryMarshal.Cast<byte, Half>(bytes);
                for (int i = 0; i < values.Length; i++)
                    values[i] = (float)halves[i];
                break;
        }
    }

    private ReadOnlySpan<byte> Part(int start, int count) => _stored.Span.Slice(start * SizeOf(_type), count * SizeOf(_type));
}
