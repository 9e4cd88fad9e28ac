using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.Transforms.Image;
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

    /// <summary>Whether the batch must be completed before another image is read, because the images that are kept take much memory.</summary>
    public virtual bool IsFull => false;

    /// <summary>Creates a reader of the rows of a cursor, or of a single row.</summary>
    /// <param name="input">Description of the column.</param>
    /// <param name="row">The row or cursor.</param>
    /// <param name="column">The column that <see cref="FeatureInput.FindColumn"/> finds.</param>
    /// <param name="location">Describes the current row in error messages.</param>
    /// <param name="capacity">Maximum number of images of a batch.</param>
    /// <param name="threads">Maximum number of threads that decode images; 0 for all cores.</param>
    /// <param name="working">Converts the whole images that <see cref="AddTo"/> adds; null to add them at the network's size.</param>
    /// <returns>The reader.</returns>
    public static PixelReader Create(FeatureInput input, DataViewRow row, DataViewSchema.Column column, RowLocation location, int capacity, int threads = 0, WorkingImages? working = null) =>
        input.IsVector ? new VectorPixelReader(input, location, row.GetGetter<VBuffer<float>>(column), capacity)
        : !ReadsContent(column, location.Files) ? new ImagePixelReader(input, location, row.GetGetter<MLImage>(column), capacity, working)
        : new EncodedPixelReader(
            input, location, location.Files.AreSource ? location.Files.GetContentGetter(row) : row.GetGetter<VBuffer<byte>>(column), DecodingOf(input, column, location.Files), capacity, threads, working);

    /// <summary>Whether a reader of a column of images reads the content of image files, and not decoded images.</summary>
    /// <param name="column">The column that <see cref="FeatureInput.FindColumn"/> finds.</param>
    /// <param name="files">Where the files of the column come from.</param>
    public static bool ReadsContent(DataViewSchema.Column column, ImageFiles files) => files.AreSource || FeatureInput.IsEncoded(column.Type);

    /// <summary>Gets how the content of image files is decoded. The pixels of files must be those of the column, and LoadImages does not apply the orientation.</summary>
    /// <param name="input">Description of the column.</param>
    /// <param name="column">The column that <see cref="FeatureInput.FindColumn"/> finds.</param>
    /// <param name="files">Where the files of the column come from.</param>
    public static ImageDecoding DecodingOf(FeatureInput input, DataViewSchema.Column column, ImageFiles files) =>
        files.AreSource && column.Type is ImageDataViewType ? input.Decoding with { ApplyOrientation = false } : input.Decoding;

    /// <summary>Gets the columns that a reader reads: the image column, or the paths of its files, and the columns that error messages contain.</summary>
    /// <param name="input">Description of the column.</param>
    /// <param name="column">The column that <see cref="FeatureInput.FindColumn"/> finds.</param>
    /// <param name="files">Where the files of the column come from.</param>
    /// <param name="schema">The columns of the rows.</param>
    public static IEnumerable<DataViewSchema.Column> ColumnsOf(FeatureInput input, DataViewSchema.Column column, ImageFiles files, DataViewSchema schema) =>
        input.IsVector ? [column] : files.AreSource ? files.CandidatesIn(schema) : [column, .. files.CandidatesIn(schema)];

    /// <summary>Reads the image of the current row into the batch.</summary>
    /// <param name="index">Index of the image in the batch.</param>
    /// <exception cref="InvalidRowException">The image is missing, cannot be read, has the wrong length, or has a value that is not finite.</exception>
    /// <exception cref="NotSupportedException">ML.NET cannot decode any image in this application because SkiaSharp is missing or has another version.</exception>
    public abstract void Read(int index);

    /// <summary>Completes the first images of the batch: those that <see cref="Read"/> has not decoded yet are decoded now, in parallel.</summary>
    /// <param name="count">Number of images.</param>
    /// <param name="errors">Receives the error of each image that cannot be decoded, and null for the others. The pixels of such an image are 0.</param>
    /// <returns>Whether all images can be used.</returns>
    public virtual bool Complete(int count, Span<InvalidRowException?> errors) => true;

    /// <summary>Runs a network on the first images of the batch, which are complete.</summary>
    /// <param name="engine">The network.</param>
    /// <param name="count">Number of images.</param>
    /// <param name="outputs">Receives the outputs of the network.</param>
    public abstract void Run(INetworkEngine engine, int count, Span<float> outputs);

    /// <summary>Appends the image of the current row to the images for training. A reader with a batch can do that later, but keeps the order.</summary>
    /// <param name="images">Receives the image.</param>
    /// <param name="label">Label of the image.</param>
    /// <param name="weight">Weight of the image in the training loss.</param>
    /// <param name="invalid">Called for each image that cannot be used. An exception that it throws is passed on.</param>
    /// <exception cref="NotSupportedException">As for <see cref="Read"/>.</exception>
    public abstract void AddTo(TrainingImages images, int label, float weight, Action<InvalidRowException> invalid);

    /// <summary>Appends the images that <see cref="AddTo"/> has kept.</summary>
    /// <param name="images">Receives the images.</param>
    /// <param name="invalid">As for <see cref="AddTo"/>.</param>
    public virtual void Flush(TrainingImages images, Action<InvalidRowException> invalid)
    {
    }

    /// <summary>Releases the memory of the batch.</summary>
    public abstract void Dispose();

    /// <summary>Gets all values of a vector; those of a sparse vector are copied.</summary>
    internal static ReadOnlySpan<T> AllValues<T>(in VBuffer<T> vector) => vector.IsDense ? vector.GetValues() : vector.DenseValues().ToArray();
}
