using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Runtime.Threading;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads encoded images. The images of a batch are decoded in parallel.</summary>
/// <param name="input">Description of the column.</param>
/// <param name="location">Describes the current row in error messages.</param>
/// <param name="decoding">How the images are decoded.</param>
/// <param name="capacity">Maximum number of images of a batch.</param>
/// <param name="threads">Maximum number of threads that decode images; 0 for all cores.</param>
internal abstract class EncodedPixelReader(FeatureInput input, RowLocation location, ImageDecoding decoding, int capacity, int threads) : BytePixelReader(input, location, capacity)
{
    private readonly ParallelLoop _loop = new(ThreadCount.Resolve(threads));
    private readonly RowPlace[] _places = new RowPlace[capacity];
    private readonly int[] _labels = new int[capacity];
    private readonly InvalidRowException?[] _errors = new InvalidRowException?[capacity];
    private readonly ImageResizer?[] _resizers = new ImageResizer?[ThreadCount.Resolve(threads)];
    private int _kept;

    public sealed override void Read(int index)
    {
        ReadRow(index);
        _places[index] = Location.Place();
    }

    public override bool Complete(int count, Span<InvalidRowException?> errors)
    {
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

    public override void AddTo(SampleCache cache, int label, Action<InvalidRowException> invalid)
    {
        try
        {
            Read(_kept);
        }
        catch (InvalidRowException error)
        {
            Flush(cache, invalid);
            invalid(error);
            return;
        }
        _labels[_kept++] = label;
        if (_kept == Capacity || IsFull)
            Flush(cache, invalid);
    }

    public override void Flush(SampleCache cache, Action<InvalidRowException> invalid)
    {
        int count = _kept;
        _kept = 0;
        var errors = new InvalidRowException?[count];
        Complete(count, errors);
        for (int i = 0; i < count; i++)
        {
            if (errors[i] is { } error)
                invalid(error);
            else
                cache.Add(Planes(i), _labels[i], _places[i].Position);
        }
    }

    public override void Dispose()
    {
        foreach (var resizer in _resizers)
            resizer?.Dispose();
        base.Dispose();
    }

    /// <summary>Keeps what the current row tells about its image.</summary>
    /// <param name="index">Index of the image in the batch.</param>
    /// <exception cref="InvalidRowException">The row has no image, or it cannot be read.</exception>
    protected abstract void ReadRow(int index);

    /// <summary>Gets the encoded image of a row that was read. Several threads call it at once, with different arguments.</summary>
    /// <param name="index">Index of the image in the batch.</param>
    /// <param name="worker">Index of the thread.</param>
    /// <returns>The content of the image file, valid until the next call for the worker.</returns>
    /// <exception cref="ImageException">The image cannot be used. The message is a clause.</exception>
    protected abstract ReadOnlySpan<byte> Content(int index, int worker);

    /// <summary>Gets a clause to be added to the message for content that cannot be decoded.</summary>
    /// <param name="length">Length of the content in bytes.</param>
    protected virtual string Advice(int length) => "";

    private void Decode(int index, int worker)
    {
        var planes = Planes(index);
        int length = 0;
        try
        {
            var encoded = Content(index, worker);
            length = encoded.Length;
            using var image = ImageDecoder.Decode(encoded, decoding);
            (_resizers[worker] ??= Input.CreateResizer()).Resize(image, planes);
        }
        catch (ImageException error)
        {
            planes.Clear();
            _errors[index] = _places[index].Invalid($"the image cannot be read: {error.Message}{Advice(length)}", error);
        }
        catch (Exception error) when (MissingDecoder.IsCauseOf(error))
        {
            throw MissingDecoder.Explain(error);
        }
    }
}
