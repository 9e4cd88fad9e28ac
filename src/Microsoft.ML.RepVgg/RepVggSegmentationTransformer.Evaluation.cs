using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Reports;
using Microsoft.ML.RepVgg.Segmentation;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggSegmentationTransformer
{
    /// <summary>Predicts the masks of images and compares them with those of the files, at the size of the images.</summary>
    /// <param name="samples">The files.</param>
    /// <param name="options">How masks are predicted and read; null for the defaults.</param>
    /// <param name="cancellation">Checked at every image.</param>
    /// <returns>The evaluation; null if no pixel has a label.</returns>
    /// <exception cref="InvalidDataException">An image or a mask cannot be used, and is not skipped; the message names the file.</exception>
    /// <exception cref="OperationCanceledException">The call was cancelled.</exception>
    public SegmentationReport? Evaluate(IReadOnlyList<SegmentationSample> samples, SegmentationReportOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(samples);
        options ??= new SegmentationReportOptions();
        int classes = Network.Classes, skipped = 0;
        long[] totals = new long[classes * classes];
        var results = new List<SegmentationResult>(samples.Count);
        foreach (var sample in samples)
        {
            try
            {
                long[] counts = Count(sample, options, cancellation);
                for (int i = 0; i < counts.Length; i++)
                    totals[i] += counts[i];
                var metrics = new SegmentationMetrics(counts);
                results.Add(new SegmentationResult(sample.ImagePath, sample.MaskPath, metrics.MeanIoU, metrics.PixelAccuracy));
            }
            catch (Exception error) when (options.SkipInvalid && error is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                skipped++;
            }
        }
        var all = new SegmentationMetrics(totals);
        return all.LabelledPixels > 0 ? new SegmentationReport(all, Labels, results, skipped, (result, largestSide) => Draw(result, largestSide, options)) : null;
    }

    /// <summary>Counts the labelled pixels of an image by label and predicted class.</summary>
    private long[] Count(SegmentationSample sample, SegmentationReportOptions options, CancellationToken cancellation)
    {
        int classes = Network.Classes;
        byte[] labels = ReadMask(sample.MaskPath, options, out int height, out int width);
        var predicted = Predict(sample.ImagePath, options, cancellation);
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

    private IReadOnlyList<byte[]> Draw(SegmentationResult result, int largestSide, SegmentationReportOptions options)
    {
        byte[] image = File.ReadAllBytes(result.ImagePath), labels = ReadMask(result.MaskPath, options, out int height, out int width);
        var predicted = Predict(result.ImagePath, options, CancellationToken.None);
        double scale = Math.Min(1, (double)largestSide / Math.Max(height, width));
        int smallHeight = Math.Max(1, (int)Math.Round(height * scale)), smallWidth = Math.Max(1, (int)Math.Round(width * scale));
        byte[] small = PngImage.Encode(ImagePlanes.Read(image, smallHeight, smallWidth, Decoding), smallWidth, smallHeight);
        return [small, Drawing(labels), Drawing(predicted.Classes.Span)];

        byte[] Drawing(ReadOnlySpan<byte> mask) => new SegmentationMask(smallHeight, smallWidth, MaskResizing.Resize(mask, height, width, smallHeight, smallWidth)).DrawOn(small, options.ClassColors);
    }

    private static byte[] ReadMask(string path, SegmentationReportOptions options, out int height, out int width)
    {
        try
        {
            (byte[] labels, height, width) = MaskImage.Read(File.ReadAllBytes(path), ImageDecoding.LargestMaximum, options.MaskColors);
            return labels;
        }
        catch (ImageException error)
        {
            throw new InvalidDataException($"The mask '{path}' cannot be used: {error.Message}.", error);
        }
    }

    private SegmentationMask Predict(string path, SegmentationReportOptions options, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        try
        {
            return Predict(File.ReadAllBytes(path), options.SlidingWindow, cancellation);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"'{path}': {error.Message}", error);
        }
    }
}
