namespace RepVgg.Training;

/// <summary>Loss and accuracy over all images of a pass, each image counted once whatever its batch.</summary>
internal sealed class PassMetrics(int classes)
{
    private double _lossSum;
    private long _correct;

    public long Images { get; private set; }

    public double Loss => Images == 0 ? 0 : _lossSum / Images;

    public double Accuracy => Images == 0 ? 0 : (double)_correct / Images;

    /// <summary>Adds a batch whose mean loss is known.</summary>
    public void Add(ReadOnlySpan<float> logits, ReadOnlySpan<int> labels, double meanLoss)
    {
        _lossSum += meanLoss * labels.Length;
        Count(logits, labels);
    }

    /// <summary>Adds a batch; the loss is the plain cross-entropy of its logits.</summary>
    public void Add(ReadOnlySpan<float> logits, ReadOnlySpan<int> labels)
    {
        for (int i = 0; i < labels.Length; i++)
            _lossSum += CrossEntropy(logits.Slice(i * classes, classes), labels[i]);
        Count(logits, labels);
    }

    private void Count(ReadOnlySpan<float> logits, ReadOnlySpan<int> labels)
    {
        Images += labels.Length;
        for (int i = 0; i < labels.Length; i++)
        {
            if (IndexOfMax(logits.Slice(i * classes, classes)) == labels[i])
                _correct++;
        }
    }

    private static double CrossEntropy(ReadOnlySpan<float> logits, int label)
    {
        double max = double.NegativeInfinity, sum = 0;
        foreach (float logit in logits)
            max = Math.Max(max, logit);
        foreach (float logit in logits)
            sum += Math.Exp(logit - max);
        return max + Math.Log(sum) - logits[label];
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
