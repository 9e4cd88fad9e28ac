using RepVgg.Training;

namespace Microsoft.ML.RepVgg.Segmentation;

/// <summary>Counts the labelled pixels of masks by label and predicted class.</summary>
internal sealed class ConfusionCounts
{
    private const int Labels = byte.MaxValue + 1;

    private readonly long[] _counts = new long[Labels * Labels];

    /// <summary>Adds a mask.</summary>
    /// <param name="labels">The label of each pixel.</param>
    /// <param name="predicted">The predicted class of each pixel; 255 for none.</param>
    /// <param name="ignored">The label of pixels that are left out.</param>
    public void Add(ReadOnlySpan<byte> labels, ReadOnlySpan<byte> predicted, byte ignored)
    {
        for (int i = 0; i < labels.Length; i++)
        {
            if (labels[i] != ignored && predicted[i] != byte.MaxValue)
                _counts[labels[i] * Labels + predicted[i]]++;
        }
    }

    /// <summary>Computes the metrics of the classes up to the largest one that occurs.</summary>
    /// <param name="classes">Least number of classes.</param>
    /// <exception cref="InvalidOperationException">No pixel has a label and a prediction.</exception>
    public SegmentationMetrics ToMetrics(int classes = 1)
    {
        bool isEmpty = true;
        for (int i = 0; i < _counts.Length; i++)
        {
            if (_counts[i] == 0)
                continue;
            isEmpty = false;
            classes = Math.Max(classes, 1 + Math.Max(i / Labels, i % Labels));
        }
        if (isEmpty)
            throw new InvalidOperationException("No pixel has a label and a prediction.");
        return new SegmentationMetrics(Enumerable.Range(0, classes).SelectMany(label => Enumerable.Range(0, classes).Select(prediction => _counts[label * Labels + prediction])));
    }
}
