namespace RepVgg.Backends;

/// <summary>A metric accumulator that reads the loss and the logits of every batch immediately, for backends that compute synchronously.</summary>
internal sealed class HostPassTotals(Backend backend) : PassTotals
{
    private float[] _logits = [];
    private double _lossSum;
    private long _correct, _images;

    public override void Add(Tensor loss, Tensor logits, ReadOnlySpan<int> labels)
    {
        ArgumentNullException.ThrowIfNull(logits);
        int classes = logits.Shape[1];
        if (_logits.Length < labels.Length * classes)
            _logits = new float[labels.Length * classes];
        var values = _logits.AsSpan(0, labels.Length * classes);
        backend.CopyOut(logits, values);
        Span<float> mean = stackalloc float[1];
        backend.CopyOut(loss, mean);
        _lossSum += (double)mean[0] * labels.Length;
        _images += labels.Length;
        for (int i = 0; i < labels.Length; i++)
        {
            if (IndexOfMax(values.Slice(i * classes, classes)) == labels[i])
                _correct++;
        }
    }

    public override (double LossSum, long Correct, long Images) Take()
    {
        var totals = (_lossSum, _correct, _images);
        (_lossSum, _correct, _images) = (0, 0, 0);
        return totals;
    }

    public override void Dispose()
    {
    }

    private static int IndexOfMax(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
        {
            if (values[i] > values[best])
                best = i;
        }
        return best;
    }
}
