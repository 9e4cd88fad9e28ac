using Microsoft.ML.Data;
using RepVgg.Training.Data;
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
