namespace RepVgg.Weights;

/// <summary>A tensor in managed memory, independent of a backend: a shape and 32-bit float values in row-major order.</summary>
/// <remarks>Convolution kernels are OIHW, activations NCHW, as in PyTorch. A scalar has an empty shape and one value.</remarks>
public sealed class TensorData
{
    private readonly Func<float[]>? _load;
    private float[]? _values;

    /// <summary>Creates a tensor that uses <paramref name="values"/> without copying it.</summary>
    /// <param name="shape">The dimensions, each at least 0.</param>
    /// <param name="values">The values in row-major order. Their number is the product of the dimensions.</param>
    /// <exception cref="ArgumentException">The number of values is not the product of the dimensions.</exception>
    public TensorData(int[] shape, float[] values)
    {
        ArgumentNullException.ThrowIfNull(shape);
        ArgumentNullException.ThrowIfNull(values);
        long count = 1;
        foreach (int dimension in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(dimension, nameof(shape));
            count = checked(count * dimension);
        }
        if (count != values.Length)
            throw new ArgumentException($"A tensor of shape [{string.Join(", ", shape)}] holds {count} values, not {values.Length}.", nameof(values));
        Shape = shape;
        _values = values;
    }

    /// <summary>Creates a tensor whose values are loaded when they are first used.</summary>
    internal TensorData(int[] shape, Func<float[]> load) => (Shape, _load) = (shape, load);

    /// <summary>Creates a tensor of zeros.</summary>
    /// <param name="shape">The dimensions, each at least 0.</param>
    /// <returns>The new tensor.</returns>
    public static TensorData Zeros(params int[] shape)
    {
        int count = 1;
        foreach (int dimension in shape)
            count = checked(count * dimension);
        return new TensorData(shape, new float[count]);
    }

    /// <summary>The dimensions.</summary>
    public IReadOnlyList<int> Shape { get; }

    /// <summary>The values in row-major order. The array is the tensor's own memory, not a copy.</summary>
    public float[] Values => _values ??= _load!();

    /// <summary>Gets the values for reading once. If they are not loaded yet, they are loaded and not kept in this tensor. The caller must not change them.</summary>
    internal float[] Borrow() => _values ?? _load!();

    /// <summary>Gets an array of the values that the caller owns: a copy, or, if the values are not loaded yet, the loaded values, which are not kept in this tensor.</summary>
    internal float[] Take() => _values is null ? _load!() : (float[])_values.Clone();

    /// <inheritdoc/>
    public override string ToString() => $"[{string.Join(", ", Shape)}]";
}
