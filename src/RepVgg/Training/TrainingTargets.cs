using System.Numerics;
using RepVgg.Runtime;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Computes the targets of training batches that are not simply labels: mixes images by mixup or CutMix, and weights them.</summary>
/// <param name="mixing">The options of mixing; null to mix nothing.</param>
/// <param name="labelSmoothing">Share of each target that is distributed evenly over all classes.</param>
/// <param name="classes">Number of classes.</param>
/// <param name="height">Height of the images in pixels.</param>
/// <param name="width">Width of the images in pixels.</param>
/// <param name="classWeights">Weights of the classes, which are multiplied by those of the images; null if they are 1.</param>
internal sealed class TrainingTargets(Mixing? mixing, float labelSmoothing, int classes, int height, int width, IReadOnlyList<float>? classWeights = null)
{
    /// <summary>Creates the targets of an epoch.</summary>
    /// <param name="options">The options of the run.</param>
    /// <param name="epoch">The epoch, from 1.</param>
    /// <param name="train">The training set.</param>
    /// <param name="size">Size of the training images of the epoch in pixels; null for that of the training set.</param>
    /// <returns>The targets; null if the labels of the batches are their targets.</returns>
    public static TrainingTargets? Of(TrainingOptions options, int epoch, ISampleSource train, (int Height, int Width)? size = null)
    {
        var (height, width) = size ?? (train.Height, train.Width);
        var mixing = options.Augmentation.Mixing is { } mixed && epoch <= options.Epochs - mixed.UnmixedEpochs ? mixed : null;
        return mixing is null && options.ClassWeights is null && !train.HasWeights ? null
            : new TrainingTargets(mixing, options.LabelSmoothing, train.Classes, height, width, options.ClassWeights);
    }

    /// <summary>Weight of an image in the training loss. Mixing does not change the sum of the weights of a batch.</summary>
    /// <param name="imageWeight">The image's own weight.</param>
    /// <param name="label">Its label.</param>
    public float WeightOf(float imageWeight, int label) => imageWeight * (classWeights is null ? 1 : classWeights[label]);

    /// <summary>Mixes the images of a batch and writes its targets. The label of a mixed image becomes that of the larger share.</summary>
    /// <param name="batch">The batch with its images and labels.</param>
    /// <param name="random">Random generator of this batch and epoch.</param>
    public void Apply(LabeledBatch batch, RandomStream random)
    {
        var labels = batch.Labels;
        var targets = batch.CreateTargets(classes);
        for (int i = 0; i < batch.Count; i++)
        {
            float weight = WeightOf(batch.Weights[i], labels[i]);
            var row = targets.Slice(i * classes, classes);
            row.Fill(weight * labelSmoothing / classes);
            row[labels[i]] += weight * (1 - labelSmoothing);
        }
        if (mixing is null || random.NextDouble() >= mixing.Probability)
            return;
        bool isCutMix = mixing.MixupAlpha == 0 || (mixing.CutMixAlpha > 0 && random.Next(2) == 0);
        double share = random.NextBeta(isCutMix ? mixing.CutMixAlpha : mixing.MixupAlpha);
        if (isCutMix)
            share = ExchangeRectangles(batch, share, ref random);
        else
            MixPairs(batch.Images, batch.Count, (float)share);
        MixPairs(targets, batch.Count, (float)share);
        if (share < 0.5)
            labels.Reverse();
    }

    /// <summary>Replaces the rows i and n - 1 - i by share * own + (1 - share) * other.</summary>
    private static void MixPairs(Span<float> rows, int count, float share)
    {
        int length = rows.Length / count;
        var shares = new Vector<float>(share);
        var otherShares = new Vector<float>(1 - share);
        for (int i = 0; i < count / 2; i++)
        {
            var first = rows.Slice(i * length, length);
            var second = rows.Slice((count - 1 - i) * length, length);
            int j = 0;
            for (; j <= length - Vector<float>.Count; j += Vector<float>.Count)
            {
                Vector<float> a = new(first[j..]), b = new(second[j..]);
                (a * shares + b * otherShares).CopyTo(first[j..]);
                (b * shares + a * otherShares).CopyTo(second[j..]);
            }
            for (; j < length; j++)
                (first[j], second[j]) = (first[j] * share + second[j] * (1 - share), second[j] * share + first[j] * (1 - share));
        }
    }

    /// <summary>Exchanges a random rectangle of the images i and n - 1 - i.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="share">The share of an image that is to be kept; the rectangle is cut off at the border of the image.</param>
    /// <param name="random">Random generator of the rectangle.</param>
    /// <returns>The share that is kept.</returns>
    private double ExchangeRectangles(LabeledBatch batch, double share, ref RandomStream random)
    {
        double side = Math.Sqrt(1 - share);
        var (top, bottom) = Cut(height, side, ref random);
        var (left, right) = Cut(width, side, ref random);
        var images = batch.Images;
        int rowsPerImage = images.Length / batch.Count / width;
        Span<float> kept = new float[right - left];
        for (int i = 0; i < batch.Count / 2; i++)
        {
            for (int row = 0; row < rowsPerImage; row++)
            {
                if (row % height < top || row % height >= bottom)
                    continue;
                var first = images.Slice((i * rowsPerImage + row) * width + left, right - left);
                var second = images.Slice(((batch.Count - 1 - i) * rowsPerImage + row) * width + left, right - left);
                first.CopyTo(kept);
                second.CopyTo(first);
                kept.CopyTo(second);
            }
        }
        return 1 - (double)(bottom - top) * (right - left) / ((double)height * width);
    }

    private static (int Start, int End) Cut(int length, double side, ref RandomStream random)
    {
        int half = (int)(length * side) / 2, center = random.Next(length);
        return (Math.Max(0, center - half), Math.Min(length, center + half));
    }
}
