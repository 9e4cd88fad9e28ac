using System.Buffers;
using System.Numerics;
using Microsoft.ML.Data;
using RepVgg.Data;
using RepVgg.Inference;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads the pixels of rows, in the type in which the column has them: bytes from images, floats from vectors.</summary>
/// <param name="input">Description of the column.</param>
internal abstract class PixelReader(FeatureInput input) : IDisposable
{
    /// <summary>Description of the column.</summary>
    protected FeatureInput Input { get; } = input;

    /// <summary>Creates a reader of the rows of a cursor, or of a single row.</summary>
    /// <param name="input">Description of the column.</param>
    /// <param name="row">The row or cursor.</param>
    /// <param name="column">The column that <see cref="FeatureInput.FindPixels"/> finds.</param>
    /// <param name="capacity">Maximum number of images of a batch.</param>
    /// <returns>The reader.</returns>
    public static PixelReader Create(FeatureInput input, DataViewRow row, DataViewSchema.Column column, int capacity) =>
        input.Resizing is null
            ? new VectorPixelReader(input, row.GetGetter<VBuffer<float>>(column), capacity)
            : new ImagePixelReader(input, row.GetGetter<MLImage>(column), capacity);

    /// <summary>Reads the image of the current row into the batch.</summary>
    /// <param name="row">Position of the row, for error messages.</param>
    /// <param name="index">Index of the image in the batch.</param>
    /// <exception cref="InvalidOperationException">The image is missing, cannot be read, has the wrong length, or has a value that is not finite.</exception>
    /// <exception cref="NotSupportedException">ML.NET cannot decode any image in this application because SkiaSharp is missing or has another version.</exception>
    public abstract void Read(long row, int index);

    /// <summary>Runs a network on the first images of the batch.</summary>
    /// <param name="engine">The network.</param>
    /// <param name="count">Number of images.</param>
    /// <param name="outputs">Receives the outputs of the network.</param>
    public abstract void Run(InferenceEngine engine, int count, Span<float> outputs);

    /// <summary>Appends the image of the current row to a cache.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="label">Label of the image.</param>
    /// <param name="row">Position of the row, for error messages.</param>
    /// <exception cref="InvalidOperationException">As for <see cref="Read"/>.</exception>
    /// <exception cref="NotSupportedException">As for <see cref="Read"/>.</exception>
    public abstract void AddTo(SampleCache cache, int label, long row);

    /// <summary>Releases the memory of the batch.</summary>
    public abstract void Dispose();

    /// <summary>Creates the exception for a row that cannot be used.</summary>
    protected InvalidOperationException Unusable(long row, string reason, Exception? inner = null) =>
        new($"Row {row}, column '{Input.ColumnName}': {reason}", inner);
}

/// <summary>Reads vectors of floats, and checks their length and that all values are finite.</summary>
internal sealed class VectorPixelReader(FeatureInput input, ValueGetter<VBuffer<float>> getter, int capacity) : PixelReader(input)
{
    private VBuffer<float> _vector;
    private float[] _batch = [];

    public override void Read(long row, int index)
    {
        // The array is rented because allocating arrays of this size takes as long as scoring a few images.
        if (_batch.Length == 0)
            _batch = ArrayPool<float>.Shared.Rent(capacity * Input.Length);
        var values = Values(row);
        if (!CopyFinite(values, _batch.AsSpan(index * Input.Length, Input.Length)))
            throw NotFinite(row, values);
    }

    public override void Run(InferenceEngine engine, int count, Span<float> outputs) => engine.Run(_batch.AsSpan(0, count * Input.Length), count, outputs);

    public override void AddTo(SampleCache cache, int label, long row)
    {
        var values = Values(row);
        try
        {
            cache.Add(values, label, row);
        }
        catch (ArgumentException error)
        {
            // The length and the label are known to be valid, so a value is not finite.
            throw NotFinite(row, values, error);
        }
    }

    public override void Dispose()
    {
        ArrayPool<float>.Shared.Return(_batch);
        _batch = [];
    }

    private ReadOnlySpan<float> Values(long row)
    {
        getter(ref _vector);
        if (_vector.Length != Input.Length)
            throw Unusable(row, $"{_vector.Length} values instead of {Input.Channels} x {Input.Height} x {Input.Width} = {Input.Length}");
        return _vector.IsDense ? _vector.GetValues() : _vector.DenseValues().ToArray();
    }

    private InvalidOperationException NotFinite(long row, ReadOnlySpan<float> values, Exception? inner = null)
    {
        int bad = 0;
        while (float.IsFinite(values[bad]))
            bad++;
        return Unusable(row, $"value {bad} is {values[bad]}; pixels must be finite numbers", inner);
    }

    // Copies and checks in one pass, because the pixels of a batch don't fit in the CPU caches. Returns false if a value is not finite.
    private static bool CopyFinite(ReadOnlySpan<float> source, Span<float> target)
    {
        // x - x is 0 if x is finite and NaN otherwise, so the sum of the differences is 0 only if all values are finite.
        var sums = Vector<float>.Zero;
        int whole = source.Length - source.Length % Vector<float>.Count;
        for (int i = 0; i < whole; i += Vector<float>.Count)
        {
            var some = new Vector<float>(source[i..]);
            some.CopyTo(target[i..]);
            sums += some - some;
        }
        float sum = Vector.Sum(sums);
        for (int i = whole; i < source.Length; i++)
        {
            target[i] = source[i];
            sum += source[i] - source[i];
        }
        return sum == 0;
    }
}
