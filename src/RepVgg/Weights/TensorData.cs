using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace RepVgg.Weights;

/// <summary>Computes or reads consecutive values of a tensor.</summary>
/// <param name="start">Index of the first value in row-major order.</param>
/// <param name="values">Receives the values. It has at least one element and does not reach beyond the end of the tensor.</param>
internal delegate void ValueReader(int start, Span<float> values);

/// <summary>A tensor of 32-bit floats that is independent of a backend: a shape, and values in row-major order.</summary>
/// <remarks>
/// Convolution kernels are OIHW, activations NCHW, as in PyTorch. A scalar has an empty shape and one value. The values are in
/// managed memory, or they are read from a file or computed on demand. Values on demand become values in memory when
/// <see cref="Values"/> is first used; all other methods leave them where they are.
/// </remarks>
public sealed class TensorData
{
    private readonly ValueReader? _read;
    private float[]? _values;

    /// <summary>Creates a tensor that uses <paramref name="values"/> without copying it.</summary>
    /// <param name="shape">The dimensions, each at least 0.</param>
    /// <param name="values">The values in row-major order. Their number is the product of the dimensions.</param>
    /// <exception cref="ArgumentException">The number of values is not the product of the dimensions.</exception>
    public TensorData(int[] shape, float[] values)
    {
        ArgumentNullException.ThrowIfNull(shape);
        ArgumentNullException.ThrowIfNull(values);
        Int128 count = 1;
        foreach (int dimension in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(dimension, nameof(shape));
            count = Int128.Min(count, long.MaxValue) * dimension;
        }
        if (count != values.Length)
            throw new ArgumentException($"A tensor of shape [{string.Join(", ", shape)}] holds {count} values, not {values.Length}.", nameof(values));
        Shape = shape;
        Length = values.Length;
        _values = values;
    }

    /// <summary>Creates a vector that uses <paramref name="values"/> without copying it.</summary>
    internal TensorData(float[] values) => (Shape, Length, _values) = ([values.Length], values.Length, values);

    /// <summary>Creates a tensor whose values are read from a file or computed on demand.</summary>
    /// <param name="shape">The dimensions, whose product is at most <see cref="int.MaxValue"/>.</param>
    /// <param name="read">Reads or computes values. What it needs, such as an open file, must be available for as long as it can be called.</param>
    internal TensorData(int[] shape, ValueReader read) => (Shape, Length, _read) = (shape, CountValues(shape), read);

    /// <summary>Returns a tensor of the same values, with a check of all that are read. Values in memory are checked at once.</summary>
    /// <param name="check">Throws an exception if values are invalid. It gets the index of the first value in row-major order, and the values.</param>
    internal TensorData WithCheck(Action<int, ReadOnlySpan<float>> check)
    {
        if (_values is not null)
        {
            check(0, _values);
            return this;
        }
        return new TensorData([.. Shape], (start, values) =>
        {
            _read!(start, values);
            check(start, values);
        });
    }

    /// <summary>Returns a tensor of the same values in another shape of as many values. The values are not copied.</summary>
    internal TensorData Reshaped(int[] shape) => _values is null ? new TensorData(shape, _read!) : new TensorData(shape, _values);

    /// <summary>Creates a tensor of zeros.</summary>
    /// <param name="shape">The dimensions, each at least 0.</param>
    /// <returns>The new tensor.</returns>
    public static TensorData Zeros(params int[] shape) => new(shape, new float[CountValues(shape)]);

    /// <summary>The dimensions.</summary>
    public IReadOnlyList<int> Shape { get; }

    /// <summary>The values in row-major order. The array is the tensor's own memory, not a copy.</summary>
    public float[] Values => _values ??= ReadAll();

    /// <summary>Number of values: the product of the dimensions.</summary>
    internal int Length { get; }

    /// <summary>Whether the values are in memory. If not, they are read or computed on demand.</summary>
    internal bool IsInMemory => _values is not null;

    /// <summary>Returns all values for reading only. Values on demand are not kept in this tensor.</summary>
    internal float[] Read() => _values ?? ReadAll();

    /// <summary>Returns a range of the values for reading only. Values on demand are not kept in this tensor.</summary>
    /// <param name="start">Index of the first value.</param>
    /// <param name="count">Number of values.</param>
    /// <param name="buffer">Buffer for values that are not in memory. It is replaced by a larger array if needed.</param>
    /// <returns>The values, valid until <paramref name="buffer"/> is used again.</returns>
    internal ReadOnlySpan<float> Read(int start, int count, scoped ref float[] buffer)
    {
        if (_values is not null)
            return new ReadOnlySpan<float>(_values, start, count);
        if (start < 0 || count < 0 || count > Length - start)
            throw new ArgumentOutOfRangeException(nameof(start), $"A tensor of {Length} values has no {count} values from index {start} on.");
        if (buffer.Length < count)
            buffer = new float[count];
        var values = new Span<float>(buffer, 0, count);
        if (count > 0)
            _read!(start, values);
        return values;
    }

    /// <summary>Returns a tensor of the same values that are checked when they are read: NaN and infinite values are refused.</summary>
    /// <param name="name">Name of the tensor in the message.</param>
    /// <exception cref="InvalidDataException">A value that is in memory is not finite. The same exception is thrown when other values are read. The message contains only the reason.</exception>
    internal TensorData Finite(string name) => WithCheck((start, values) =>
    {
        if (IndexOfNonFinite(values) is >= 0 and var i)
            throw new InvalidDataException($"'{name}' holds {(float.IsNaN(values[i]) ? "NaN" : "a value that is infinite or too large for a 32-bit float")} at index {start + i}; weights must be finite numbers");
    });

    /// <summary>Finds the first value that is NaN or infinite.</summary>
    /// <returns>Its index; -1 if all values are finite.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static int IndexOfNonFinite(ReadOnlySpan<float> values)
    {
        // All bits of the exponent are set in NaN and infinite values only.
        Vector<int> exponent = new(0x7f80_0000), found = Vector<int>.Zero;
        var vectors = MemoryMarshal.Cast<float, Vector<int>>(values);
        foreach (var bits in vectors)
            found |= Vector.Equals(bits & exponent, exponent);
        for (int i = found == Vector<int>.Zero ? vectors.Length * Vector<int>.Count : 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
                return i;
        }
        return -1;
    }

    /// <summary>Returns all values in a new array.</summary>
    internal float[] ToArray() => _values is null ? ReadAll() : (float[])_values.Clone();

    /// <inheritdoc/>
    public override string ToString() => $"[{string.Join(", ", Shape)}]";

    private static int CountValues(int[] shape)
    {
        // Dimensions of a file may overflow the product although one of them is 0.
        if (Array.IndexOf(shape, 0) >= 0)
            return 0;
        int count = 1;
        foreach (int dimension in shape)
            count = checked(count * dimension);
        return count;
    }

    private float[] ReadAll()
    {
        var values = new float[Length];
        if (values.Length > 0)
            _read!(0, values);
        return values;
    }
}
