using System.Buffers;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Inference;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads images as planes (CHW) of bytes: red, green and blue, or grey for a network of one channel.</summary>
/// <remarks>The bytes are those that the saved model's transformers convert to floats. No byte is a value that is not finite, so none is checked.</remarks>
internal abstract class BytePixelReader(FeatureInput input, RowLocation location, int capacity) : PixelReader(input, location)
{
    // The array is rented because allocating arrays of this size takes as long as scoring a few images.
    private byte[] _batch = ArrayPool<byte>.Shared.Rent(capacity * input.Length);

    /// <summary>Resizes images to the network's input.</summary>
    protected ImageResizer Resizer { get; } = input.CreateResizer();

    public override void Read(int index) => ReadPlanes(_batch.AsSpan(index * Input.Length, Input.Length));

    public override void Run(InferenceEngine engine, int count, Span<float> outputs) => engine.Run(_batch.AsSpan(0, count * Input.Length), count, outputs);

    public override void AddTo(SampleCache cache, int label)
    {
        Read(0);
        cache.Add(_batch.AsSpan(0, Input.Length), label, Location.Position);
    }

    public override void Dispose()
    {
        Resizer.Dispose();
        ArrayPool<byte>.Shared.Return(_batch);
        _batch = [];
    }

    /// <summary>Reads the image of the current row and writes its planes.</summary>
    protected abstract void ReadPlanes(Span<byte> planes);
}

/// <summary>Reads a column of decoded images (MLImage). The images belong to the source of the column: they are neither changed nor disposed.</summary>
internal sealed class ImagePixelReader(FeatureInput input, RowLocation location, ValueGetter<MLImage> getter, int capacity) : BytePixelReader(input, location, capacity)
{
    private MLImage? _image;

    public override void Dispose()
    {
        _image = null;
        base.Dispose();
    }

    protected override void ReadPlanes(Span<byte> planes)
    {
        var previous = _image;
        try
        {
            // LoadImages disposes the image that it gets, the one of the row before, and sets null if there is none. A getter that
            // leaves the disposed image in place has no image either.
            getter(ref _image!);
        }
        catch (Exception error) when (error is not OperationCanceledException && LacksDecoder(error))
        {
            string skia = AppDomain.CurrentDomain.GetAssemblies().FirstOrDefault(assembly => assembly.GetName().Name == "SkiaSharp")?.GetName().Version?.ToString(3) ?? "none";
            throw new NotSupportedException($"ML.NET cannot read images in this application: {InnermostOf(error).Message.TrimEnd('.')}. Its decoder needs SkiaSharp 2.88, with SkiaSharp's native library of the same version; the loaded version is {skia}. Reference SkiaSharp 2.88.9, and no package that needs a later version.", error);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            _image = null;
            throw Location.Invalid($"the image cannot be read: {Location.ExplainFile(Input.Decoding) ?? error.Message}", inner: error);
        }
        if (_image is null)
            throw Location.Invalid("there is no image");
        if (IsDisposed(_image))
            throw Location.Invalid(ReferenceEquals(_image, previous) ? "there is no image" : "the image was disposed");

        string? file = Location.NoteFile(_image.Tag);
        if ((long)_image.Width * _image.Height > Input.Decoding.MaximumPixels)
            throw Location.Invalid(FormattableString.Invariant($"the image has {_image.Width} x {_image.Height} pixels, more than the limit of {Input.Decoding.MaximumPixels:N0}"), file);
        if (file is not null && EncodedImageCheck.FindDefect(file, Input.Decoding) is { } defect)
            throw Location.Invalid($"the image cannot be used: {defect}", file);
        try
        {
            Resizer.Resize(_image, planes);
        }
        catch (ImageException error)
        {
            throw Location.Invalid($"the image cannot be used: {error.Message}", file, error);
        }
    }

    private static bool IsDisposed(MLImage image)
    {
        try
        {
            _ = image.PixelFormat;
            return false;
        }
        catch (InvalidOperationException)
        {
            return true;
        }
    }

    /// <summary>Whether the error is due to SkiaSharp, ML.NET's image decoder, being missing or of another version. The text is checked too, since the user's own columns can throw the same exception types.</summary>
    private static bool LacksDecoder(Exception error) =>
        InnermostOf(error) is MissingMemberException or TypeLoadException or DllNotFoundException or BadImageFormatException
        && error.ToString().Contains("SkiaSharp", StringComparison.Ordinal);

    private static Exception InnermostOf(Exception error) => error.InnerException is { } inner ? InnermostOf(inner) : error;
}

/// <summary>Reads a column with the content of image files (vectors of bytes), as LoadRawImageBytes gives it, and decodes it.</summary>
internal sealed class EncodedPixelReader(FeatureInput input, RowLocation location, ValueGetter<VBuffer<byte>> getter, int capacity) : BytePixelReader(input, location, capacity)
{
    private VBuffer<byte> _encoded;

    protected override void ReadPlanes(Span<byte> planes)
    {
        try
        {
            getter(ref _encoded);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Location.Invalid($"the image cannot be read: {error.Message}", inner: error);
        }
        if (_encoded.Length == 0)
        {
            string? path = Location.FindPath();
            throw Location.Invalid(path is null ? "there is no image" : "the file is empty", path);
        }
        ReadOnlySpan<byte> encoded = _encoded.IsDense ? _encoded.GetValues() : _encoded.DenseValues().ToArray();
        try
        {
            using var image = ImageDecoder.Decode(encoded, Input.Decoding);
            Resizer.Resize(image, planes);
        }
        catch (ImageException error)
        {
            long pixels = (long)Input.Height * Input.Width;
            string advice = _encoded.Length == pixels || _encoded.Length == 3 * pixels || _encoded.Length == 4 * pixels
                ? "; if the column contains pixels and not the content of an image file, convert it with mlContext.Transforms.ConvertToImage"
                : "";
            throw Location.Invalid($"the image cannot be read: {error.Message}{advice}", inner: error);
        }
    }
}
