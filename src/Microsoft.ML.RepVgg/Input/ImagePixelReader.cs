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

    /// <summary>Maximum number of images of a batch.</summary>
    protected int Capacity => capacity;

    public override void Run(InferenceEngine engine, int count, Span<float> outputs) => engine.Run(_batch.AsSpan(0, count * Input.Length), count, outputs);

    public override void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_batch);
        _batch = [];
    }

    /// <summary>Gets the planes of an image of the batch.</summary>
    protected Span<byte> Planes(int index) => _batch.AsSpan(index * Input.Length, Input.Length);
}

/// <summary>Reads a column of decoded images (MLImage). The images belong to the source of the column: they are neither changed nor disposed.</summary>
internal sealed class ImagePixelReader(FeatureInput input, RowLocation location, ValueGetter<MLImage> getter, int capacity) : BytePixelReader(input, location, capacity)
{
    private readonly ImageResizer _resizer = input.CreateResizer();
    private MLImage? _image;

    public override void AddTo(SampleCache cache, int label, Action<InvalidRowException> invalid)
    {
        try
        {
            Read(0);
        }
        catch (InvalidRowException error)
        {
            invalid(error);
            return;
        }
        cache.Add(Planes(0), label, Location.Position);
    }

    public override void Dispose()
    {
        _image = null;
        _resizer.Dispose();
        base.Dispose();
    }

    public override void Read(int index)
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
            _resizer.Resize(_image, Planes(index));
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
