using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads a column of decoded images (MLImage). The images belong to the source of the column: they are neither changed nor disposed.</summary>
/// <param name="input">Description of the column.</param>
/// <param name="location">Describes the current row in error messages.</param>
/// <param name="getter">Gets the current row's image.</param>
/// <param name="capacity">Maximum number of images of a batch.</param>
/// <param name="working">Converts the whole images that <see cref="AddTo"/> adds; null to add them at the network's size only.</param>
internal sealed class ImagePixelReader(FeatureInput input, RowLocation location, ValueGetter<MLImage> getter, int capacity, WorkingImages? working) : BytePixelReader(input, location, capacity)
{
    private readonly ImageResizer _resizer = input.CreateResizer();
    private MLImage? _image;

    public override void AddTo(TrainingImages images, int label, float weight, Action<InvalidRowException> invalid)
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
        images.Scaled?.Add(Planes(0), label, Location.Position, weight);
        if (working is not null)
            images.Whole!.Add(working.Convert(_image!), [], label, Location.Position, weight);
    }

    public override void Dispose()
    {
        _image = null;
        _resizer.Dispose();
        base.Dispose();
    }

    public override void Read(int index)
    {
        try
        {
            ReadImage(index);
        }
        catch (Exception error) when (MissingDecoder.IsCauseOf(error))
        {
            throw MissingDecoder.Explain(error);
        }
    }

    private void ReadImage(int index)
    {
        var previous = _image;
        try
        {
            // LoadImages disposes the image that it gets, the one of the row before, and sets null if there is none. A getter that
            // leaves the disposed image in place has no image either.
            getter(ref _image!);
        }
        catch (Exception error) when (error is not OperationCanceledException && !MissingDecoder.IsCauseOf(error))
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
        if (file is not null && FindDefect(file) is { } defect)
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

    /// <summary>Checks the file of an image; a file that cannot be read any more has no known defect.</summary>
    private string? FindDefect(string file)
    {
        try
        {
            return EncodedImageCheck.FindDefect(file, Input.Decoding);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
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
}
