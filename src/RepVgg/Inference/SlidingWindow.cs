using RepVgg.Architectures;

namespace RepVgg.Inference;

/// <summary>Gives every pixel of an image of any size its class: the network runs on overlapping windows of the size of its input, and the probabilities of the classes are averaged.</summary>
/// <remarks>
/// Source: the evaluation of Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, as in semseg, the code of its authors. An image that is smaller than the input is put in the middle of a border with
/// the mean of the normalisation. Large images need memory for a probability of every class and pixel.
/// </remarks>
/// <param name="engine">The engine. It is not disposed with the instance.</param>
/// <param name="normalization">The normalization of the network.</param>
/// <param name="overlap">Share of a window's height and width by which the next one overlaps it, 0 to 0.9; the last windows of a row and of a column overlap more.</param>
public sealed class SlidingWindow(SegmentationEngine engine, Normalization normalization, double overlap = SlidingWindow.DefaultOverlap)
{
    /// <summary>The overlap of semseg.</summary>
    public const double DefaultOverlap = 1.0 / 3;

    private const double LargestOverlap = 0.9;

    private readonly SegmentationEngine _engine = engine ?? throw new ArgumentNullException(nameof(engine));

    private readonly Normalization _normalization = normalization ?? throw new ArgumentNullException(nameof(normalization));

    private readonly double _overlap = overlap is >= 0 and <= LargestOverlap
        ? overlap
        : throw new ArgumentOutOfRangeException(nameof(overlap), overlap, "Windows overlap by a share of 0 to 0.9.");

    /// <summary>Computes the class of every pixel.</summary>
    /// <param name="image">Raw pixels, [C, height, width].</param>
    /// <param name="height">Height of the image in pixels, at least 1.</param>
    /// <param name="width">Width of the image in pixels, at least 1.</param>
    /// <param name="mask">Receives the classes, [height, width].</param>
    /// <param name="cancellation">Checked before every window.</param>
    /// <exception cref="ArgumentException">The length of a span does not match the size.</exception>
    /// <exception cref="OperationCanceledException">The call was cancelled.</exception>
    public void Run(ReadOnlySpan<byte> image, int height, int width, Span<byte> mask, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        long area = (long)height * width;
        if (image.Length != _engine.InputChannels * area || mask.Length != area)
            throw new ArgumentException($"An image of {_engine.InputChannels} channels and {width}x{height} pixels has {_engine.InputChannels * area} values and {area} classes, not {image.Length} and {mask.Length}.", nameof(image));
        if (area * _engine.Classes > Array.MaxLength)
            throw new ArgumentException($"The image has {width}x{height} pixels; the probabilities of {_engine.Classes} classes are more values than an array can have. Divide the image.", nameof(image));
        int windowHeight = _engine.ImageHeight, windowWidth = _engine.ImageWidth;
        float[] sums = new float[_engine.Classes * area], logits = new float[_engine.Classes * _engine.MaskLength];
        byte[] window = new byte[_engine.InputLength];
        int[] lefts = [.. Starts(width, windowWidth)];
        foreach (int top in Starts(height, windowHeight))
        {
            foreach (int left in lefts)
            {
                cancellation.ThrowIfCancellationRequested();
                Cut(image, height, width, top, left, window);
                _engine.RunLogits(window, 1, logits);
                Add(logits, top, left, height, width, sums);
            }
        }
        // Every pixel is in one window at least; dividing by the number of windows would not change which sum is the largest.
        for (int p = 0; p < mask.Length; p++)
        {
            int best = 0;
            for (int c = 1; c < _engine.Classes; c++)
            {
                if (sums[c * mask.Length + p] > sums[best * mask.Length + p])
                    best = c;
            }
            mask[p] = (byte)best;
        }
    }

    /// <summary>The first pixels of the windows along one side; less than 0 for an image that is smaller than the window.</summary>
    private IEnumerable<int> Starts(int length, int window)
    {
        if (length <= window)
            return [-((window - length) / 2)];
        int step = Math.Max(1, (int)Math.Ceiling(window * (1 - _overlap)));
        int count = (length - window + step - 1) / step + 1;
        return Enumerable.Range(0, count).Select(i => Math.Min(i * step, length - window));
    }

    /// <summary>Copies a part of the image; pixels outside of it get the mean.</summary>
    private void Cut(ReadOnlySpan<byte> image, int height, int width, int top, int left, Span<byte> window)
    {
        int rows = _engine.ImageHeight, columns = _engine.ImageWidth;
        int firstRow = Math.Max(0, -top), lastRow = Math.Min(rows, height - top), firstColumn = Math.Max(0, -left), lastColumn = Math.Min(columns, width - left);
        for (int c = 0; c < _engine.InputChannels; c++)
        {
            var plane = window.Slice(c * rows * columns, rows * columns);
            if (lastRow - firstRow < rows || lastColumn - firstColumn < columns)
                plane.Fill((byte)Math.Clamp(Math.Round(_normalization.Mean[c]), byte.MinValue, byte.MaxValue));
            for (int y = firstRow; y < lastRow; y++)
                image.Slice((c * height + top + y) * width + left + firstColumn, lastColumn - firstColumn).CopyTo(plane[(y * columns + firstColumn)..]);
        }
    }

    /// <summary>Adds the probabilities of the pixels of a window.</summary>
    private void Add(float[] logits, int top, int left, int height, int width, float[] sums)
    {
        int rows = _engine.ImageHeight, columns = _engine.ImageWidth, area = rows * columns;
        Span<float> exponentials = stackalloc float[_engine.Classes];
        for (int y = Math.Max(0, -top); y < Math.Min(rows, height - top); y++)
        {
            for (int x = Math.Max(0, -left); x < Math.Min(columns, width - left); x++)
            {
                int from = y * columns + x, to = (top + y) * width + left + x;
                float largest = float.NegativeInfinity, total = 0;
                for (int c = 0; c < exponentials.Length; c++)
                    largest = Math.Max(largest, logits[c * area + from]);
                for (int c = 0; c < exponentials.Length; c++)
                    total += exponentials[c] = MathF.Exp(logits[c * area + from] - largest);
                for (int c = 0; c < exponentials.Length; c++)
                    sums[c * height * width + to] += exponentials[c] / total;
            }
        }
    }
}
