using System.Collections.Immutable;

namespace RepVgg.Training;

/// <summary>Metrics of semantic segmentation, from one confusion matrix of all labelled pixels of a set.</summary>
/// <remarks>Source: Long et al., "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, section 5. The counts are summed over the whole set before they are divided, as in PASCAL VOC and Cityscapes.</remarks>
public sealed class SegmentationMetrics
{
    private readonly long[] _counts;

    /// <summary>Computes the metrics.</summary>
    /// <param name="counts">Number of pixels by label and prediction, [label * classes + prediction]; at least 0.</param>
    /// <exception cref="ArgumentException">The number of counts is not a square, or a count is negative.</exception>
    public SegmentationMetrics(IEnumerable<long> counts)
    {
        ArgumentNullException.ThrowIfNull(counts);
        _counts = [.. counts];
        Classes = (int)Math.Round(Math.Sqrt(_counts.Length));
        if (Classes == 0 || Classes * Classes != _counts.Length || _counts.Any(count => count < 0))
            throw new ArgumentException($"A confusion matrix has a square number of counts of at least 0; there are {_counts.Length}.", nameof(counts));
        long correct = 0;
        var perClass = ImmutableArray.CreateBuilder<double>(Classes);
        for (int label = 0; label < Classes; label++)
        {
            long both = Count(label, label), labelled = 0, predicted = 0;
            for (int other = 0; other < Classes; other++)
            {
                labelled += Count(label, other);
                predicted += Count(other, label);
            }
            (LabelledPixels, correct) = (LabelledPixels + labelled, correct + both);
            // NaN if the class neither occurs nor was predicted.
            perClass.Add((double)both / (labelled + predicted - both));
        }
        PerClassIoU = perClass.MoveToImmutable();
        PixelAccuracy = (double)correct / LabelledPixels;
        double[] known = [.. PerClassIoU.Where(double.IsFinite)];
        MeanIoU = known.Length == 0 ? double.NaN : known.Average();
    }

    /// <summary>Number of classes.</summary>
    public int Classes { get; }

    /// <summary>Number of labelled pixels.</summary>
    public long LabelledPixels { get; }

    /// <summary>Share of the labelled pixels whose class was predicted, 0 to 1; NaN if no pixel is labelled.</summary>
    public double PixelAccuracy { get; }

    /// <summary>Mean of <see cref="PerClassIoU"/> over the classes that occur in the labels or in the predictions, 0 to 1; NaN if no pixel is labelled.</summary>
    public double MeanIoU { get; }

    /// <summary>
    /// Intersection over union of each class, 0 to 1: the pixels that have the class as label and as prediction, divided by those that have it as one of both. NaN for a class that occurs neither
    /// in the labels nor in the predictions.
    /// </summary>
    public ImmutableArray<double> PerClassIoU { get; }

    /// <summary>Number of pixels with a label that were predicted as a class.</summary>
    /// <param name="label">The label, 0 to <see cref="Classes"/> - 1.</param>
    /// <param name="prediction">The predicted class, 0 to <see cref="Classes"/> - 1.</param>
    public long Count(int label, int prediction)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)label, (uint)Classes, nameof(label));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)prediction, (uint)Classes, nameof(prediction));
        return _counts[label * Classes + prediction];
    }
}
