using System.Runtime.InteropServices;
using RepVgg.Networks;

namespace RepVgg.Formats.Onnx;

/// <summary>A constant: floats of any width as 32-bit floats, or integers. Floats stay in the file until they are asked for.</summary>
internal sealed class OnnxTensor : WeightSource
{
    private float[]? _floats;
    private ReadOnlyMemory<byte> _stored;
    private int _type;
    private MappedFile? _file;

    public string Name { get; set; } = "";

    public int[] Shape { get; set; } = [];

    public long[]? Integers { get; set; }

    /// <summary>Whether its values are floats.</summary>
    public bool IsFloat => _floats is not null || _type != 0;

    /// <summary>The floats, kept in memory from now on; null where it holds something else.</summary>
    public float[]? Floats
    {
        get => _floats ??= IsFloat ? Decode() : null;
        set => _floats = value;
    }

    public override int Length => _floats?.Length ?? _stored.Length / Math.Max(SizeOf(_type), 1);

    /// <summary>Takes values as the file stores them.</summary>
    /// <param name="stored">The bytes.</param>
    /// <param name="type">ONNX's number of a type of floats.</param>
    /// <param name="file">The mapped file where they lie, if one is.</param>
    public void Store(ReadOnlyMemory<byte> stored, int type, MappedFile? file) => (_stored, _type, _file) = (stored, type, file);

    public override ReadOnlySpan<float> Read() =>
        _floats is not null ? _floats
        : _type == OnnxSchema.Tensor.Float ? MemoryMarshal.Cast<byte, float>(_stored.Span)
        : Decode();

    public override float[] Take() => _floats is null ? Decode() : (float[])_floats.Clone();

    public override void Forget()
    {
        if (_floats is null)
            _file?.Forget(_stored.Span);
    }

    private static int SizeOf(int type) => type switch
    {
        OnnxSchema.Tensor.Float => sizeof(float),
        OnnxSchema.Tensor.Double => sizeof(double),
        OnnxSchema.Tensor.Float16 => sizeof(short),
        _ => 0,
    };

    private float[] Decode()
    {
        var bytes = _stored.Span;
        var values = new float[Length];
        switch (_type)
        {
            case OnnxSchema.Tensor.Float:
                bytes[..(values.Length * sizeof(float))].CopyTo(MemoryMarshal.AsBytes(values.AsSpan()));
                break;
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
        return values;
    }
}
