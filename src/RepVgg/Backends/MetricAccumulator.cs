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
    /// <returns>The sum of the losses of all images, the number of images whose largest logit is that of the label, and the number of images.</returns>
    public abstract (double LossSum, long Correct, long Images) ReadAndReset();

    /// <summary>Releases the sums.</summary>
    public abstract void Dispose();

    /// <summary>Adds a batch whose tensors and labels have been checked.</summary>
    private protected abstract void AddCore(Tensor loss, Tensor logits, ReadOnlySpan<int> labels);
}

/// <summary>A metric accumulator that reads the loss and the logits of every batch immediately, for backends that compute synchronously.</summary>
internal sealed class HostMetricAccumulator(Backend backend) : MetricAccumulator(backend)
{
    private float[] _logits = [];
    private double _lossSum;
    private long _correct, _images;

    public override (double LossSum, long Correct, long Images) ReadAndReset()
    {
        var totals = (_lossSum, _correct, _images);
        (_lossSum, _correct, _images) = (0, 0, 0);
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
            if (Logits.IndexOfMax(values.Slice(i * classes, classes)) == labels[i])
                _correct++;
        }
    }
}
