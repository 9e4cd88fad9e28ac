using System.Drawing;
using System.Text.Json;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Segmentation;
using RepVgg.Runtime.Files;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg.Reports;

/// <summary>How well the mask of one image was predicted.</summary>
/// <param name="Sample">The files of the image and of its mask.</param>
/// <param name="MeanIoU">Mean intersection over union of the classes that occur in the mask or in the prediction, 0 to 1; NaN if no pixel is labelled.</param>
/// <param name="PixelAccuracy">Share of the labelled pixels whose class was predicted, 0 to 1; NaN if no pixel is labelled.</param>
public sealed record SegmentationResult(SegmentationSample Sample, double MeanIoU, double PixelAccuracy);

/// <summary>The evaluation of a network for segmentation on images with masks, at the size of the images.</summary>
public sealed class SegmentationReport
{
    private readonly RepVggSegmentationTransformer _transformer;
    private readonly SegmentationReportOptions _options;

    private SegmentationReport(RepVggSegmentationTransformer transformer, SegmentationReportOptions options, SegmentationMetrics metrics, IReadOnlyList<SegmentationResult> images, int skipped) =>
        (_transformer, _options, Metrics, Images, SkippedImages) = (transformer, options, metrics, images, skipped);

    /// <summary>The metrics of all images, from one confusion matrix.</summary>
    public SegmentationMetrics Metrics { get; }

    /// <summary>The names of the classes.</summary>
    public IReadOnlyList<string> ClassNames => _transformer.Labels;

    /// <summary>The results of the images, in their order.</summary>
    public IReadOnlyList<SegmentationResult> Images { get; }

    /// <summary>Number of images that were left out because they or their masks cannot be used; see <see cref="SegmentationReportOptions.SkipInvalid"/>.</summary>
    public int SkippedImages { get; }

    /// <summary>Predicts the masks of images and compares them with those of the files.</summary>
    /// <param name="transformer">The network. It must not be disposed before the last call of <see cref="Draw"/>.</param>
    /// <param name="samples">The files.</param>
    /// <param name="options">How masks are predicted and read; null for the defaults.</param>
    /// <param name="cancellation">Checked at every image.</param>
    /// <returns>The evaluation; null if no pixel has a label.</returns>
    /// <exception cref="InvalidDataException">An image or a mask cannot be used, and is not skipped; the message names the file.</exception>
    /// <exception cref="OperationCanceledException">The call was cancelled.</exception>
    public static SegmentationReport? FromSamples(RepVggSegmentationTransformer transformer, IReadOnlyList<SegmentationSample> samples, SegmentationReportOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(transformer);
        ArgumentNullException.ThrowIfNull(samples);
        options ??= new SegmentationReportOptions();
        int classes = transformer.Network.Classes;
        long[] totals = new long[classes * classes];
        var results = new List<SegmentationResult>(samples.Count);
        int skipped = 0;
        foreach (var sample in samples)
        {
            try
            {
                long[] counts = Count(sample);
                for (int i = 0; i < counts.Length; i++)
                    totals[i] += counts[i];
                var metrics = new SegmentationMetrics(counts);
                results.Add(new SegmentationResult(sample, metrics.MeanIoU, metrics.PixelAccuracy));
            }
            catch (Exception error) when (options.SkipInvalid && error is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                skipped++;
            }
        }
        var all = new SegmentationMetrics(totals);
        return all.LabelledPixels > 0 ? new SegmentationReport(transformer, options, all, results, skipped) : null;

        long[] Count(SegmentationSample sample)
        {
            byte[] labels = ReadMask(sample, options, out int height, out int width);
            var predicted = Predict(transformer, sample, options, cancellation);
            if ((predicted.Height, predicted.Width) != (height, width))
                throw new InvalidDataException($"The mask '{sample.MaskPath}' has {width} x {height} pixels, but its image has {predicted.Width} x {predicted.Height}.");
            long[] counts = new long[classes * classes];
            var classesOfPixels = predicted.Classes.Span;
            for (int i = 0; i < labels.Length; i++)
            {
                if (labels[i] == options.IgnoredLabel)
                    continue;
                if (labels[i] >= classes)
                    throw new InvalidDataException($"The pixel in column {i % width} and row {i / width} of the mask '{sample.MaskPath}' has the label {labels[i]}, but the network has {classes} classes, 0 to {classes - 1}.");
                counts[labels[i] * classes + classesOfPixels[i]]++;
            }
            return counts;
        }
    }

    /// <summary>Gets the images whose masks are predicted worst, by their mean IoU.</summary>
    /// <param name="count">Largest number of images.</param>
    public IReadOnlyList<SegmentationResult> Worst(int count) => [.. Images.Where(image => double.IsFinite(image.MeanIoU)).OrderBy(image => image.MeanIoU).Take(count)];

    /// <summary>Draws an image, the image with its mask, and the image with the predicted mask.</summary>
    /// <param name="result">One of <see cref="Images"/>.</param>
    /// <param name="largestSide">Largest side of the drawings in pixels, to which larger images are reduced.</param>
    /// <returns>The contents of three PNG files.</returns>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public IReadOnlyList<byte[]> Draw(SegmentationResult result, int largestSide = 320)
    {
        ArgumentNullException.ThrowIfNull(result);
        ArgumentOutOfRangeException.ThrowIfLessThan(largestSide, 1);
        byte[] image = File.ReadAllBytes(result.Sample.ImagePath), labels = ReadMask(result.Sample, _options, out int height, out int width);
        var predicted = Predict(_transformer, result.Sample, _options, CancellationToken.None);
        double scale = Math.Min(1, (double)largestSide / Math.Max(height, width));
        int smallHeight = Math.Max(1, (int)Math.Round(height * scale)), smallWidth = Math.Max(1, (int)Math.Round(width * scale));
        byte[] small = PngImage.Encode(ImagePlanes.Read(image, smallHeight, smallWidth, _transformer.Decoding), smallWidth, smallHeight);
        return [small, Drawing(labels), Drawing(predicted.Classes.Span)];

        byte[] Drawing(ReadOnlySpan<byte> mask) => new SegmentationMask(smallHeight, smallWidth, MaskResizing.Resize(mask, height, width, smallHeight, smallWidth)).DrawOn(small, _options.ClassColors);
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

    private static byte[] ReadMask(SegmentationSample sample, SegmentationReportOptions options, out int height, out int width)
    {
        try
        {
            (byte[] labels, height, width) = MaskImage.Read(File.ReadAllBytes(sample.MaskPath), ImageDecoding.LargestMaximum, options.MaskColors);
            return labels;
        }
        catch (ImageException error)
        {
            throw new InvalidDataException($"The mask '{sample.MaskPath}' cannot be used: {error.Message}.", error);
        }
    }

    private static SegmentationMask Predict(RepVggSegmentationTransformer transformer, SegmentationSample sample, SegmentationReportOptions options, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        try
        {
            return transformer.Predict(File.ReadAllBytes(sample.ImagePath), options.SlidingWindow, cancellation);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"'{sample.ImagePath}': {error.Message}", error);
        }
    }
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
