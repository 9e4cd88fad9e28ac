namespace RepVgg.Backends;

/// <summary>
/// Sums of the loss and the confusion matrix of all pixels over the batches of a pass. A backend can keep the sums on the device, so that a step does not wait for it. Created by
/// <see cref="Backend.CreateConfusionAccumulator"/>.
/// </summary>
internal abstract class ConfusionAccumulator : IDisposable
{
    private protected ConfusionAccumulator(Backend backend, int classes, byte ignored) => (Backend, Classes, Ignored) = (backend, classes, ignored);

    private protected Backend Backend { get; }

    private protected int Classes { get; }

    private protected byte Ignored { get; }

    /// <summary>Adds a batch.</summary>
    /// <param name="loss">Mean loss of the labelled pixels of the batch, a scalar of the current step.</param>
    /// <param name="logits">Logits of the batch, [N, classes, H, W].</param>
    /// <param name="labels">The label of each pixel, [N, H, W].</param>
    /// <exception cref="ArgumentException">The loss is not a scalar, or the labels do not fit the logits.</exception>
    public void Add(Tensor loss, Tensor logits, ReadOnlySpan<byte> labels)
    {
        Backend.CheckScalar(loss, nameof(loss));
        Backend.CheckPixelLabels(logits, labels, Ignored, nameof(labels));
        if (logits.Shape[1] != Classes)
            throw new ArgumentException($"The logits have {logits.Shape[1]} classes, not {Classes}.", nameof(logits));
        AddCore(loss, logits, labels);
    }

    /// <summary>Waits for the device, returns the sums since the last call, and resets them to zero.</summary>
    public abstract ConfusionTotals ReadAndReset();

    /// <summary>Releases the sums.</summary>
    public abstract void Dispose();

    /// <summary>Adds a batch whose tensors and labels have been checked.</summary>
    private protected abstract void AddCore(Tensor loss, Tensor logits, ReadOnlySpan<byte> labels);
}

/// <summary>Sums over images.</summary>
/// <param name="LossSum">Sum of the mean losses of the batches, each times its images.</param>
/// <param name="Images">Number of images.</param>
/// <param name="Counts">Number of labelled pixels by label and prediction, [label * classes + prediction].</param>
internal readonly record struct ConfusionTotals(double LossSum, long Images, long[] Counts);

/// <summary>A confusion accumulator that reads the loss and the logits of every batch immediately, for backends that compute synchronously.</summary>
internal sealed class HostConfusionAccumulator(Backend backend, int classes, byte ignored) : ConfusionAccumulator(backend, classes, ignored)
{
    private float[] _logits = [];
    private long[] _counts = new long[classes * classes];
    private double _lossSum;
    private long _images;

    public override ConfusionTotals ReadAndReset()
    {
        var totals = new ConfusionTotals(_lossSum, _images, _counts);
        (_lossSum, _images, _counts) = (0, 0, new long[Classes * Classes]);
        return totals;
    }

    public override void Dispose()
    {
    }

    private protected override void AddCore(Tensor loss, Tensor logits, ReadOnlySpan<byte> labels)
    {
        int images = logits.Shape[0], area = logits.Shape[2] * logits.Shape[3];
        if (_logits.Length < labels.Length * Classes)
            _logits = new float[labels.Length * Classes];
        var values = _logits.AsSpan(0, labels.Length * Classes);
        Backend.CopyOut(logits, values);
        Span<float> mean = stackalloc float[1];
        Backend.CopyOut(loss, mean);
        _lossSum += (double)mean[0] * images;
        _images += images;
        for (int i = 0; i < labels.Length; i++)
        {
            if (labels[i] == Ignored)
                continue;
            var (image, pixel) = Math.DivRem(i, area);
            int at = image * Classes * area + pixel, best = 0;
            for (int c = 1; c < Classes; c++)
            {
                if (values[at + c * area] > values[at + best * area])
                    best = c;
            }
            _counts[labels[i] * Classes + best]++;
        }
    }
}
