using RepVgg.Runtime;

namespace RepVgg.Backends;

/// <summary>
/// Sums of the loss, the correct predictions and the images over the batches of a pass. A backend can keep the sums on the
/// device, so that a step does not wait for it. Created by <see cref="Backend.CreateMetricAccumulator"/>.
/// </summary>
internal abstract class MetricAccumulator : IDisposable
{
    private protected MetricAccumulator(Backend backend) => Backend = backend;

    private protected Backend Backend { get; }

    /// <summary>Adds a batch.</summary>
    /// <param name="loss">Mean loss of the batch, a scalar of the current step.</param>
    /// <param name="logits">Logits of the batch, [N, classes].</param>
    /// <param name="labels">N labels, from 0 to classes - 1.</param>
    /// <exception cref="ArgumentException">The loss is not a scalar, or the labels do not fit the logits.</exception>
    public void Add(Tensor loss, Tensor logits, ReadOnlySpan<int> labels)
    {
        Backend.CheckScalar(loss, nameof(loss));
        Backend.CheckLabels(logits, labels, nameof(labels));
        AddCore(loss, logits, labels);
    }

    /// <summary>Waits for the device, returns the sums since the last call, and resets them to zero.</summary>
    public abstract MetricTotals ReadAndReset();

    /// <summary>Releases the sums.</summary>
    public abstract void Dispose();

    /// <summary>Adds a batch whose tensors and labels have been checked.</summary>
    private protected abstract void AddCore(Tensor loss, Tensor logits, ReadOnlySpan<int> labels);
}

/// <summary>Sums over images.</summary>
/// <param name="LossSum">Sum of the losses.</param>
/// <param name="Correct">Number of images whose largest logit is that of the label.</param>
/// <param name="CorrectTop5">Number of images whose label has one of the five largest logits.</param>
/// <param name="Images">Number of images.</param>
internal readonly record struct MetricTotals(double LossSum, long Correct, long CorrectTop5, long Images)
{
    /// <summary>Number of logits that <see cref="CorrectTop5"/> looks at.</summary>
    public const int Top = 5;
}

/// <summary>A metric accumulator that reads the loss and the logits of every batch immediately, for backends that compute synchronously.</summary>
internal sealed class HostMetricAccumulator(Backend backend) : MetricAccumulator(backend)
{
    private float[] _logits = [];
    private double _lossSum;
    private long _correct, _correctTop5, _images;

    public override MetricTotals ReadAndReset()
    {
        var totals = new MetricTotals(_lossSum, _correct, _correctTop5, _images);
        (_lossSum, _correct, _correctTop5, _images) = (0, 0, 0, 0);
        return totals;
    }

    public override void Dispose()
    {
    }

    private protected override void AddCore(Tensor loss, Tensor logits, ReadOnlySpan<int> labels)
    {
        int classes = logits.Shape[1];
        if (_logits.Length < labels.Length * classes)
            _logits = new float[labels.Length * classes];
        var values = _logits.AsSpan(0, labels.Length * classes);
        Backend.CopyOut(logits, values);
        Span<float> mean = stackalloc float[1];
        Backend.CopyOut(loss, mean);
        _lossSum += (double)mean[0] * labels.Length;
        _images += labels.Length;
        for (int i = 0; i < labels.Length; i++)
        {
            int rank = Logits.Rank(values.Slice(i * classes, classes), labels[i]);
            if (rank == 0)
                _correct++;
            if (rank < MetricTotals.Top)
                _correctTop5++;
        }
    }
}
