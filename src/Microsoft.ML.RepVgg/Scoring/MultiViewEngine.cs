using System.Buffers;
using Microsoft.ML.RepVgg.Input;
using RepVgg.Inference;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>Runs a classifier on several views of each image (test-time augmentation). Its outputs are the means of their probabilities, where those of another engine are logits.</summary>
/// <remarks>The views of some images go through the network as one batch. Any number of threads can use one engine at the same time.</remarks>
internal sealed class MultiViewEngine : INetworkEngine
{
    /// <summary>Number of views that go through the network together, unless one image has more.</summary>
    private const int LargestBatch = 64;

    private readonly INetworkEngine _engine;
    private readonly int _channels, _imageHeight, _imageWidth, _height, _width;
    private readonly View[] _views;
    private readonly int _totalWeight;

    /// <param name="engine">The engine of the network; it is disposed with this one.</param>
    /// <param name="input">The input of the network.</param>
    /// <param name="views">The views.</param>
    public MultiViewEngine(INetworkEngine engine, FeatureInput input, ScoringViews views)
    {
        _engine = engine;
        (_channels, _height, _width) = (input.Channels, input.Height, input.Width);
        Input = views.AreCropped ? Enlarge(input) : input;
        (_imageHeight, _imageWidth) = (Input.Height, Input.Width);
        int bottom = _imageHeight - _height, right = _imageWidth - _width;
        View[] upright = views switch
        {
            { AreCropped: true } => [new(0, 0), new(0, right), new(bottom, 0), new(bottom, right), new(bottom / 2, right / 2)],
            { AreShifted: true } => [new(0, 0, Weight: 2), new(1, 1), new(-1, -1)],
            _ => [new(0, 0)],
        };
        _views = [.. upright, .. upright.Where(_ => views.AreFlipped).Select(view => view with { IsFlipped = true })];
        _totalWeight = _views.Sum(view => view.Weight);
    }

    /// <summary>Describes the images that this engine reads.</summary>
    public FeatureInput Input { get; }

    public int Threads => _engine.Threads;

    public int OutputLength => _engine.OutputLength;

    /// <summary>Checks that the images of a column have the views.</summary>
    /// <exception cref="ArgumentException">Crops of vectors, which have the size of the network's input already.</exception>
    public static void Check(FeatureInput input, ScoringViews views)
    {
        if (views.AreCropped && input.IsVector)
            throw new ArgumentException($"TestTimeAugmentation has crops, but the column '{input.ColumnName}' is a vector of pixels, which has the size of the network's input, so that there is nothing to crop. Set it to HorizontalFlip, HorizontalFlipAndShift or None, or use a column of images.");
    }

    public void Run(ReadOnlySpan<float> images, int count, Span<float> probabilities) => Run(images, count, probabilities, _engine.Run);

    public void Run(ReadOnlySpan<byte> images, int count, Span<float> probabilities) => Run(images, count, probabilities, _engine.Run);

    public void Dispose() => _engine.Dispose();

    /// <summary>Describes the images from which views are cut: those of which the network usually reads the centre, or else 8/7 of the network's input.</summary>
    private static FeatureInput Enlarge(FeatureInput input)
    {
        return input.Settings.CropFraction < 1
            ? input.WithSize(input.Crop.ResizedHeight, input.Crop.ResizedWidth)
            : input.WithSize(Enlarged(input.Height), Enlarged(input.Width));

        static int Enlarged(int side) => checked((8 * side + 6) / 7);
    }

    private void Run<TPixel>(ReadOnlySpan<TPixel> images, int count, Span<float> probabilities, NetworkRun<TPixel> network)
        where TPixel : unmanaged
    {
        int together = Math.Min(Math.Max(LargestBatch / _views.Length, 1), count);
        int viewLength = _channels * _height * _width, imageLength = Input.Length, classes = OutputLength;
        var pixels = ArrayPool<TPixel>.Shared.Rent(checked(together * _views.Length * viewLength));
        float[] logits = ArrayPool<float>.Shared.Rent(checked(together * _views.Length * classes));
        try
        {
            for (int first = 0; first < count; first += together)
            {
                int number = Math.Min(together, count - first), views = number * _views.Length;
                for (int view = 0; view < views; view++)
                    Copy(images.Slice((first + view / _views.Length) * imageLength, imageLength), pixels.AsSpan(view * viewLength, viewLength), _views[view % _views.Length]);
                network(pixels.AsSpan(0, views * viewLength), views, logits.AsSpan(0, views * classes));
                for (int image = 0; image < number; image++)
                    Average(logits.AsSpan(image * _views.Length * classes, _views.Length * classes), probabilities.Slice((first + image) * classes, classes));
            }
        }
        finally
        {
            ArrayPool<TPixel>.Shared.Return(pixels);
            ArrayPool<float>.Shared.Return(logits);
        }
    }

    /// <summary>Copies a view of an image of planes (CHW). It is black beyond the edges of the image.</summary>
    private void Copy<TPixel>(ReadOnlySpan<TPixel> image, Span<TPixel> target, View view)
    {
        int before = Math.Max(-view.Left, 0), after = Math.Max(view.Left + _width - _imageWidth, 0);
        for (int channel = 0; channel < _channels; channel++)
        {
            for (int y = 0; y < _height; y++)
            {
                var row = target.Slice((channel * _height + y) * _width, _width);
                int line = view.Top + y;
                if (line < 0 || line >= _imageHeight)
                {
                    row.Clear();
                    continue;
                }
                image.Slice((channel * _imageHeight + line) * _imageWidth + view.Left + before, _width - before - after).CopyTo(row[before..]);
                row[..before].Clear();
                row[(_width - after)..].Clear();
                if (view.IsFlipped)
                    row.Reverse();
            }
        }
    }

    /// <summary>Computes the weighted mean of the probabilities of the views.</summary>
    /// <param name="logits">The logits of each view, which are replaced by the probabilities.</param>
    /// <param name="mean">Receives the mean probability of each class.</param>
    private void Average(Span<float> logits, Span<float> mean)
    {
        int classes = mean.Length;
        for (int view = 0; view < _views.Length; view++)
            Probabilities.Softmax(logits.Slice(view * classes, classes), logits.Slice(view * classes, classes));
        for (int i = 0; i < classes; i++)
        {
            double sum = 0;
            for (int view = 0; view < _views.Length; view++)
                sum += _views[view].Weight * (double)logits[view * classes + i];
            mean[i] = (float)(sum / _totalWeight);
        }
    }

    private delegate void NetworkRun<TPixel>(ReadOnlySpan<TPixel> images, int count, Span<float> logits);

    /// <summary>A rectangle of the network's size in an image, beyond whose edges it may extend, and its share of the mean.</summary>
    private readonly record struct View(int Top, int Left, bool IsFlipped = false, int Weight = 1);
}

/// <summary>The views of an image that are scored; see <see cref="MultiViewEngine"/>.</summary>
/// <param name="AreCropped">Whether they are the crops at the four corners and at the centre, instead of the whole image.</param>
/// <param name="AreShifted">Whether they are the image, with twice the weight, and the image shifted by one pixel up and left, and down and right. Not with crops.</param>
/// <param name="AreFlipped">Whether each is scored a second time, mirrored left to right.</param>
internal readonly record struct ScoringViews(bool AreCropped, bool AreShifted, bool AreFlipped)
{
    /// <summary>Whether the image alone is scored.</summary>
    public bool IsSingle => this == default;
}
