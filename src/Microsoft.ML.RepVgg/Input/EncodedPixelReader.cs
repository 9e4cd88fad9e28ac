using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Runtime.Threading;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads the content of image files (vectors of bytes), as LoadRawImageBytes gives it. The images of a batch are decoded in parallel.</summary>
/// <param name="input">Description of the column.</param>
/// <param name="location">Describes the current row in error messages.</param>
/// <param name="getter">Gets the content of the current row's file.</param>
/// <param name="decoding">How the images are decoded.</param>
/// <param name="capacity">Maximum number of images of a batch.</param>
/// <param name="threads">Maximum number of threads that decode images; 0 for all cores.</param>
/// <param name="working">Converts the whole images that <see cref="AddTo"/> adds; null to add them at the network's size.</param>
internal sealed class EncodedPixelReader(FeatureInput input, RowLocation location, ValueGetter<VBuffer<byte>> getter, ImageDecoding decoding, int capacity, int threads, WorkingImages? working) : BytePixelReader(input, location, working is null ? capacity : 0)
{
    /// <summary>Size of the content in bytes at which a batch is decoded before it has the maximum number of images.</summary>
    private const long MaximumContent = 64L << 20;

    private readonly ParallelLoop _loop = new(ThreadCount.Resolve(threads));
    private readonly VBuffer<byte>[] _contents = new VBuffer<byte>[capacity];
    private readonly RowPlace[] _places = new RowPlace[capacity];
    private readonly (int Label, float Weight)[] _labels = new (int, float)[capacity];
    private readonly WholeImage[] _whole = new WholeImage[working is null ? 0 : capacity];
    private readonly InvalidRowException?[] _errors = new InvalidRowException?[capacity];
    private readonly ImageResizer?[] _resizers = new ImageResizer?[ThreadCount.Resolve(threads)];
    private long _content;
    private int _kept;

    public override bool IsFull => _content >= MaximumContent;

    public override void Read(int index)
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
        _places[index] = Location.Place();
        _content += _contents[index].Length;
    }

    public override bool Complete(int count, Span<InvalidRowException?> errors)
    {
        _content = 0;
        _loop.Run(count, Decode);
        bool complete = true;
        for (int i = 0; i < count; i++)
        {
            errors[i] = _errors[i];
            complete &= _errors[i] is null;
            _errors[i] = null;
        }
        return complete;
    }

    public override void AddTo(TrainingImages images, int label, float weight, Action<InvalidRowException> invalid)
    {
        try
        {
            Read(_kept);
        }
        catch (InvalidRowException error)
        {
            Flush(images, invalid);
            invalid(error);
            return;
        }
        _labels[_kept++] = (label, weight);
        if (_kept == capacity || IsFull)
            Flush(images, invalid);
    }

    public override void Flush(TrainingImages images, Action<InvalidRowException> invalid)
    {
        int count = _kept;
        _kept = 0;
        var errors = new InvalidRowException?[count];
        Complete(count, errors);
        for (int i = 0; i < count; i++)
        {
            if (errors[i] is { } error)
                invalid(error);
            else if (working is null)
                images.Scaled!.Add(Planes(i), _labels[i].Label, _places[i].Position, _labels[i].Weight);
            else
                images.Whole!.Add(_whole[i], AllValues(_contents[i]), _labels[i].Label, _places[i].Position, _labels[i].Weight);
        }
    }

    public override void Dispose()
    {
        foreach (var resizer in _resizers)
            resizer?.Dispose();
        base.Dispose();
    }

    private void Decode(int index, int worker)
    {
        var encoded = AllValues(_contents[index]);
        try
        {
            using var image = ImageDecoder.Decode(encoded, decoding);
            if (working is null)
                (_resizers[worker] ??= Input.CreateResizer()).Resize(image, Planes(index));
            else
                _whole[index] = working.Convert(image);
        }
        catch (ImageException error)
        {
            if (working is null)
                Planes(index).Clear();
            long pixels = (long)Input.Height * Input.Width;
            string advice = encoded.Length == pixels || encoded.Length == 3 * pixels || encoded.Length == 4 * pixels
                ? "; if the column contains pixels and not the content of an image file, convert it with mlContext.Transforms.ConvertToImage"
                : "";
            _errors[index] = _places[index].Invalid($"the image cannot be read: {error.Message}{advice}", error);
        }
        catch (Exception error) when (MissingDecoder.IsCauseOf(error))
        {
            throw MissingDecoder.Explain(error);
        }
    }
}
