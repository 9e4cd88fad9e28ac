using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using RepVgg.Training.Data;
using RepVgg.Inference;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads the pixels of rows, in the type in which the column has them: bytes from images, floats from vectors.</summary>
/// <param name="input">Description of the column.</param>
/// <param name="location">Describes the current row in error messages.</param>
internal abstract class PixelReader(FeatureInput input, RowLocation location) : IDisposable
{
    /// <summary>Description of the column.</summary>
    protected FeatureInput Input { get; } = input;

    /// <summary>Describes the current row in error messages.</summary>
    protected RowLocation Location { get; } = location;

    /// <summary>Creates a reader of the rows of a cursor, or of a single row.</summary>
    /// <param name="input">Description of the column.</param>
    /// <param name="row">The row or cursor.</param>
    /// <param name="column">The column that <see cref="FeatureInput.FindColumn"/> finds.</param>
    /// <param name="location">Describes the current row in error messages.</param>
    /// <param name="capacity">Maximum number of images of a batch.</param>
    /// <returns>The reader.</returns>
    public static PixelReader Create(FeatureInput input, DataViewRow row, DataViewSchema.Column column, RowLocation location, int capacity) =>
        input.IsVector ? new VectorPixelReader(input, location, row.GetGetter<VBuffer<float>>(column), capacity)
        : column.Type is ImageDataViewType ? new ImagePixelReader(input, location, row.GetGetter<MLImage>(column), capacity)
        : new EncodedPixelReader(input, location, row.GetGetter<VBuffer<byte>>(column), capacity);

    /// <summary>Reads the image of the current row into the batch.</summary>
    /// <param name="index">Index of the image in the batch.</param>
    /// <exception cref="InvalidRowException">The image is missing, cannot be read, has the wrong length, or has a value that is not finite.</exception>
    /// <exception cref="NotSupportedException">ML.NET cannot decode any image in this application because SkiaSharp is missing or has another version.</exception>
    public abstract void Read(int index);

    /// <summary>Runs a network on the first images of the batch.</summary>
    /// <param name="engine">The network.</param>
    /// <param name="count">Number of images.</param>
    /// <param name="outputs">Receives the outputs of the network.</param>
    public abstract void Run(InferenceEngine engine, int count, Span<float> outputs);

    /// <summary>Appends the image of the current row to a cache.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="label">Label of the image.</param>
    /// <exception cref="InvalidRowException">As for <see cref="Read"/>.</exception>
    /// <exception cref="NotSupportedException">As for <see cref="Read"/>.</exception>
    public abstract void AddTo(SampleCache cache, int label);

    /// <summary>Releases the memory of the batch.</summary>
    public abstract void Dispose();
}
