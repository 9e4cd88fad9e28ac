using System.Drawing;
using System.Text.Json;
using RepVgg.Runtime.Files;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg.Reports;

/// <summary>How well the mask of one image was predicted.</summary>
/// <param name="ImagePath">Path of the image.</param>
/// <param name="MaskPath">Path of its mask.</param>
/// <param name="MeanIoU">Mean intersection over union of the classes that occur in the mask or in the prediction, 0 to 1; NaN if no pixel is labelled.</param>
/// <param name="PixelAccuracy">Share of the labelled pixels whose class was predicted, 0 to 1; NaN if no pixel is labelled.</param>
public sealed record SegmentationResult(string ImagePath, string MaskPath, double MeanIoU, double PixelAccuracy);

/// <summary>The evaluation of a network for segmentation on images with masks, at the size of the images. <see cref="RepVggSegmentationTransformer.Evaluate"/> creates it.</summary>
public sealed class SegmentationReport
{
    private readonly Func<SegmentationResult, int, IReadOnlyList<byte[]>> _draw;

    /// <param name="metrics">The metrics of all images.</param>
    /// <param name="classNames">The names of the classes.</param>
    /// <param name="images">The results of the images.</param>
    /// <param name="skipped">Number of images that were left out.</param>
    /// <param name="draw">Draws an image and its masks with a largest side in pixels.</param>
    internal SegmentationReport(SegmentationMetrics metrics, IReadOnlyList<string> classNames, IReadOnlyList<SegmentationResult> images, int skipped, Func<SegmentationResult, int, IReadOnlyList<byte[]>> draw) =>
        (Metrics, ClassNames, Images, SkippedImages, _draw) = (metrics, classNames, images, skipped, draw);

    /// <summary>The metrics of all images, from one confusion matrix.</summary>
    public SegmentationMetrics Metrics { get; }

    /// <summary>The names of the classes.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>The results of the images, in their order.</summary>
    public IReadOnlyList<SegmentationResult> Images { get; }

    /// <summary>Number of images that were left out because they or their masks cannot be used; see <see cref="SegmentationReportOptions.SkipInvalid"/>.</summary>
    public int SkippedImages { get; }

    /// <summary>Gets the images whose masks are predicted worst, by their mean IoU.</summary>
    /// <param name="count">Largest number of images.</param>
    public IReadOnlyList<SegmentationResult> Worst(int count) => [.. Images.Where(image => double.IsFinite(image.MeanIoU)).OrderBy(image => image.MeanIoU).Take(count)];

    /// <summary>Draws an image, the image with its mask, and the image with the predicted mask. The transformer that created the report must not be disposed.</summary>
    /// <param name="result">One of <see cref="Images"/>.</param>
    /// <param name="largestSide">Largest side of the drawings in pixels, to which larger images are reduced.</param>
    /// <returns>The contents of three PNG files.</returns>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public IReadOnlyList<byte[]> Draw(SegmentationResult result, int largestSide = 320)
    {
        ArgumentNullException.ThrowIfNull(result);
        ArgumentOutOfRangeException.ThrowIfLessThan(largestSide, 1);
        return _draw(result, largestSide);
    }

    /// <summary>Writes the metrics as JSON.</summary>
    /// <param name="path">The file, which is replaced.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void WriteMetrics(string path) => AtomicFile.Write(path, stream => JsonSerializer.Serialize(
        stream,
        new Dictionary<string, object?>
        {
            ["mean_iou"] = Metrics.MeanIoU,
            ["pixel_accuracy"] = Metrics.PixelAccuracy,
            ["images"] = Images.Count,
            ["labelled_pixels"] = Metrics.LabelledPixels,
            ["classes"] = ClassNames,
            ["iou"] = Metrics.PerClassIoU.Select(value => double.IsNaN(value) ? (double?)null : value),
            ["confusion_matrix"] = Enumerable.Range(0, Metrics.Classes).Select(label => Enumerable.Range(0, Metrics.Classes).Select(prediction => Metrics.Count(label, prediction)).ToArray()),
        },
        RunFolder.JsonOptions));
}

/// <summary>How masks are predicted, read and drawn for a <see cref="SegmentationReport"/>.</summary>
public sealed class SegmentationReportOptions
{
    /// <summary>Whether masks are predicted with a sliding window; null if the network was trained on crops. See <see cref="RepVggSegmentationTransformer.Predict(byte[], bool?)"/>.</summary>
    public bool? SlidingWindow { get; set; }

    /// <summary>Whether images and masks that cannot be used are left out; otherwise they are errors.</summary>
    public bool SkipInvalid { get; set; }

    /// <summary>The label of pixels without one.</summary>
    public byte IgnoredLabel { get; set; } = byte.MaxValue;

    /// <summary>The label of each colour, for masks in colours; null for masks of values.</summary>
    public IReadOnlyDictionary<Color, byte>? MaskColors { get; set; }

    /// <summary>The colours of the classes in drawings; null for those of PASCAL VOC.</summary>
    public IReadOnlyList<Color>? ClassColors { get; set; }
}
