using System.Numerics;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Runtime;
using RepVgg.Tool.Images;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace RepVgg.Tool.Classification;

/// <summary>Draws images in rows: without augmentation in the first column, and in the others as they are in some epochs, or at the levels of one operation.</summary>
internal sealed class AugmentationSheet
{
    private const string HueName = "hue", ColorJitterName = "color-jitter", ErasingName = "erasing", MixupName = "mixup", CutMixName = "cutmix";
    private const int Epochs = 8, Levels = 5, Gap = 4, SmallestCell = 96;

    private static readonly Dictionary<string, RandAugmentOperations> _randAugment = Enum.GetValues<RandAugmentOperations>()
        .Where(operation => BitOperations.IsPow2((int)operation)).ToDictionary(operation => string.Concat(operation.ToString().Select((letter, i) => i > 0 && char.IsUpper(letter) ? $"-{letter}" : letter.ToString())).ToLowerInvariant());

    private readonly AugmentedSample _sample;
    private readonly TrainingOptions _options;
    private readonly bool _isOfPairs;

    /// <summary>The columns of augmented images. At the levels of one operation, the epoch is the same, so that signs and places are, too.</summary>
    private readonly List<(string Caption, Augmentation Augmentation, int Epoch)> _columns;

    private readonly List<string> _captions = [];

    /// <param name="sample">Reads and augments the images.</param>
    /// <param name="options">The options of the training: its augmentation and seed.</param>
    /// <param name="operation">One of <see cref="Operations"/>; null for the augmentation of the training.</param>
    public AugmentationSheet(AugmentedSample sample, TrainingOptions options, string? operation)
    {
        (_sample, _options) = (sample, options);
        _isOfPairs = operation is MixupName or CutMixName;
        var augmentation = options.Augmentation;
        // The shares of mixing are uniform, unless the training mixes otherwise.
        _columns = operation switch
        {
            null => Draws(augmentation),
            ErasingName => Draws(new Augmentation { ErasingProbability = 1 }),
            MixupName => Draws(new Augmentation { Mixing = new Mixing { MixupAlpha = augmentation.Mixing is { MixupAlpha: > 0 } given ? given.MixupAlpha : 1 } }),
            CutMixName => Draws(new Augmentation { Mixing = new Mixing { CutMixAlpha = augmentation.Mixing is { CutMixAlpha: > 0 } given ? given.CutMixAlpha : 1 } }),
            ColorJitterName => [.. Enumerable.Range(0, Levels + 1).Select(i => (double)i / Levels)
                .Select(change => (Invariant($"brightness, contrast and saturation changed by up to {change:g2}"), new Augmentation { ColorJitter = new ColorJitter { Brightness = change, Contrast = change, Saturation = change } }, 1))],
            HueName => [.. Enumerable.Range(0, Levels + 1).Select(i => 0.5 * i / Levels)
                .Select(change => (Invariant($"hue shifted by up to {change:g2}"), new Augmentation { ColorJitter = new ColorJitter { Hue = change } }, 1))],
            _ => [.. Enumerable.Range(0, Levels + 1).Select(i => i * MaximumMagnitude(augmentation) / Levels)
                .Select(magnitude => (Invariant($"magnitude {magnitude:g3}"), new Augmentation { RandAugment = Single(_randAugment[operation], magnitude) }, 1))],
        };
    }

    /// <summary>Names of the operations that have no effect on grey images.</summary>
    public static IReadOnlyList<string> ColorOperations { get; } = ["color", HueName];

    /// <summary>Names of the operations that can be drawn alone: those of <see cref="RandAugment"/>, such as shear-x, and others.</summary>
    public static IReadOnlyList<string> Operations { get; } = [.. _randAugment.Keys, ColorJitterName, HueName, ErasingName, MixupName, CutMixName];

    /// <summary>What each column of the sheet is; empty before it is drawn.</summary>
    public IReadOnlyList<string> Captions => _captions;

    /// <summary>Draws the sheet. Of mixup and CutMix, a row is the first image of a pair, the second one, and their mixtures.</summary>
    /// <param name="files">The images.</param>
    /// <param name="count">Maximum number of rows.</param>
    /// <returns>A PNG file.</returns>
    public byte[] Draw(IReadOnlyList<ImageFileRow> files, int count)
    {
        var shown = files.Take(_isOfPairs ? 2 * count : count).ToList();
        int rows = _isOfPairs ? shown.Count / 2 : shown.Count;
        var originals = shown.ConvertAll(file => _sample.Read(file, Augmentation.None));
        _captions.Clear();
        List<byte[]>[] cells = [.. Enumerable.Range(0, rows).Select(_ => new List<byte[]>())];
        Add(_isOfPairs ? "the first image of each pair" : "without augmentation", i => originals[i].Pixels);
        if (_isOfPairs)
            Add("the second image of each pair", i => originals[shown.Count - 1 - i].Pixels);
        var wholes = _columns.Any(column => column.Augmentation.RandomResizedCrop is not null) ? shown.ConvertAll(file => _sample.Read(file, _columns[0].Augmentation)) : originals;
        foreach (var (caption, augmentation, epoch) in _columns)
        {
            var (batch, share) = Augment(wholes, augmentation, epoch);
            string mixture = share is null ? "" : Invariant($", {share:p0} of the image and {1 - share:p0} of {(_isOfPairs ? "the second one" : "that in the opposite row")}");
            Add(caption + mixture, i => _sample.ToPixels(batch.Images.Slice(i * _sample.Length, _sample.Length)));
        }
        return Compose(cells);

        void Add(string caption, Func<int, byte[]> cell)
        {
            _captions.Add(caption);
            for (int i = 0; i < rows; i++)
                cells[i].Add(cell(i));
        }
    }

    private static double MaximumMagnitude(Augmentation augmentation) => (augmentation.RandAugment ?? new RandAugment()).MaximumMagnitude;

    /// <summary>One operation at one magnitude, always applied.</summary>
    private static RandAugment Single(RandAugmentOperations operation, double magnitude) =>
        new() { Operations = operation, OperationsPerImage = 1, Probability = 1, Magnitude = magnitude, MaximumMagnitude = Math.Max(1, magnitude), MagnitudeDeviation = 0 };

    private static List<(string, Augmentation, int)> Draws(Augmentation augmentation) => [.. Enumerable.Range(1, Epochs).Select(epoch => (Invariant($"epoch {epoch}"), augmentation, epoch))];

    /// <summary>Augments and mixes the images as one batch.</summary>
    /// <returns>The batch, and the share that an image has in its mixture; null if there is none.</returns>
    private (LabeledBatch Batch, double? Share) Augment(IReadOnlyList<WholeImage> images, Augmentation augmentation, int epoch)
    {
        var batch = new LabeledBatch(images.Count, _sample.Length) { Count = images.Count };
        for (int i = 0; i < images.Count; i++)
        {
            _sample.Augment(images[i], augmentation, new RandomStream(_options.Seed, RandomStream.Purpose.Augment, (ulong)epoch, (ulong)i), batch.Images.Slice(i * _sample.Length, _sample.Length));
            // The images of a pair get different labels, so that their targets are the shares.
            batch.Labels[i] = i < images.Count / 2 ? 0 : 1;
            batch.Weights[i] = 1;
        }
        if (augmentation.Mixing is null || images.Count < 2)
            return (batch, null);
        new TrainingTargets(augmentation.Mixing, labelSmoothing: 0, classes: 2, _sample.Height, _sample.Width).Apply(batch, new RandomStream(_options.Seed, RandomStream.Purpose.Mix, (ulong)epoch));
        return (batch, batch.Targets[0]);
    }

    /// <summary>Puts the cells beside and below each other on white. Small images are enlarged by a whole number.</summary>
    private byte[] Compose(IReadOnlyList<byte[]>[] cells)
    {
        int factor = Math.Max(1, SmallestCell / Math.Max(_sample.Height, _sample.Width)), rowStep = factor * _sample.Height + Gap, columnStep = factor * _sample.Width + Gap;
        int height = cells.Length * rowStep + Gap, width = cells[0].Count * columnStep + Gap, area = _sample.Height * _sample.Width;
        byte[] planes = new byte[_sample.Length / area * height * width];
        Array.Fill(planes, byte.MaxValue);
        for (int row = 0; row < cells.Length; row++)
        {
            for (int column = 0; column < cells[row].Count; column++)
            {
                for (int place = 0; place < factor * factor * _sample.Length; place++)
                {
                    int x = place % (factor * _sample.Width), line = place / (factor * _sample.Width), y = line % (factor * _sample.Height), channel = line / (factor * _sample.Height);
                    planes[(channel * height + Gap + row * rowStep + y) * width + Gap + column * columnStep + x] = cells[row][column][channel * area + y / factor * _sample.Width + x / factor];
                }
            }
        }
        return PngImage.Encode(planes, width, height);
    }
}
