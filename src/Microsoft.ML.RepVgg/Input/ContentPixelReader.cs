using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads a column with the content of image files: vectors of bytes.</summary>
/// <param name="input">Description of the column.</param>
/// <param name="location">Describes the current row in error messages.</param>
/// <param name="getter">Gets the content of the current row's file.</param>
/// <param name="capacity">Maximum number of images of a batch.</param>
/// <param name="threads">Maximum number of threads that decode images; 0 for all cores.</param>
internal sealed class ContentPixelReader(FeatureInput input, RowLocation location, ValueGetter<VBuffer<byte>> getter, int capacity, int threads)
    : EncodedPixelReader(input, location, input.Decoding, capacity, threads)
{
    /// <summary>Size of the content in bytes at which a batch is decoded before it has the maximum number of images.</summary>
    private const long MaximumContent = 64L << 20;

    private readonly VBuffer<byte>[] _contents = new VBuffer<byte>[capacity];
    private long _content;

    public override bool IsFull => _content >= MaximumContent;

    public override bool Complete(int count, Span<InvalidRowException?> errors)
    {
        _content = 0;
        return base.Complete(count, errors);
    }

    protected override void ReadRow(int index)
    {
        try
        {
            getter(ref _contents[index]);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            throw Location.Invalid($"the image cannot be read: {error.Message}", inner: error);
        }
        if (_contents[index].Length == 0)
            throw Location.NoContent();
        _content += _contents[index].Length;
    }

    protected override ReadOnlySpan<byte> Content(int index, int worker) => AllValues(_contents[index]);

    protected override string Advice(int length)
    {
        long pixels = (long)Input.Height * Input.Width;
        return length == pixels || length == 3 * pixels || length == 4 * pixels
            ? "; if the column contains pixels and not the content of an image file, convert it with mlContext.Transforms.ConvertToImage"
            : "";
    }
}
