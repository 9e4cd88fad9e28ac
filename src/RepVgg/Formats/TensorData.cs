namespace RepVgg.Formats;

/// <summary>A named-nowhere, backend-free tensor: a shape and its values in row-major order.</summary>
/// <remarks>Convolution kernels are OIHW, activations NCHW, as in PyTorch. A scalar has an empty shape and one value.</remarks>
public sealed class TensorData
{
    private readonly Func<float[]>? _load;
    private float[]? _values;

    /// <summary>Takes ownership of <paramref name="values"/>.</summary>
    /// <param name="shape">The dimensions, each at least 0.</param>
    /// <param name="values">The values in row-major order; as many as the product of the dimensions.</param>
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

    /// <summary>A tensor whose values are read when they are first asked for.</summary>
    internal TensorData(int[] shape, Func<float[]> load) => (Shape, _load) = (shape, load);

    /// <summary>A tensor of zeros.</summary>
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

    /// <summary>The values in row-major order; writing here writes the tensor.</summary>
    public float[] Values => _values ??= _load!();

    /// <summary>The values for reading once: those of a tensor that waits to be read are read and not kept.</summary>
    internal float[] Borrow() => _values ?? _load!();

    /// <summary>Values of the caller's own: copied, or read and not kept.</summary>
    internal float[] Take() => _values is null ? _load!() : (float[])_values.Clone();

    /// <inheritdoc/>
    public override string ToString() => $"[{string.Join(", ", Shape)}]";
}
