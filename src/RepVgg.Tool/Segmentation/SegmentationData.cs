using System.Drawing;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using RepVgg.Tool.Classification;
using RepVgg.Tool.CommandLine;

namespace RepVgg.Tool.Segmentation;

/// <summary>Data views of images with masks, and models for segmentation.</summary>
internal static class SegmentationData
{
    /// <summary>Names of the columns with the content of the files.</summary>
    public const string Image = "Image", Mask = "Mask";

    /// <summary>The option of masks in colours, which <see cref="Colors"/> reads.</summary>
    public static OptionSpec ColorsOption { get; } = new("color-masks", "", "masks have the colours of classes.txt instead of values or indices; other colours are errors") 
    {
        Sets = [nameof(RepVggSegmentationTrainer.Options.MaskColors)],
        Replacements =
        [
            ("Give MaskColors, the class of each colour, or", "Give --color-masks, with the colours of the classes in classes.txt, or"),
            ("give MaskColors, with the label of black and of white", "give --color-masks, with lines such as 'ground 0 0 0' and 'object 255 255 255' in classes.txt"),
            ("for which MaskColors has no class", "which no line of classes.txt has; a line 'ignored R G B' is for a colour without a class"),
            ("give MaskColors or other masks", "convert the masks"),
            (", or set ApplyExifOrientation to false", ", or store the image upright"),
            ("set IgnoredLabel to 255", "give --ignored-label 255"),
        ],
    };

    /// <summary>The option of the sliding window.</summary>
    public static OptionSpec SlidingWindowOption { get; } = new("sliding-window", "", "segment images at their own scale, in overlapping windows (default: for models that were trained with --crops)");

    /// <summary>Gets the label of each colour of the masks.</summary>
    /// <returns>The labels; null for masks of values or indices.</returns>
    /// <exception cref="InvalidDataException">The classes have no colours.</exception>
    public static IReadOnlyDictionary<Color, byte>? Colors(Arguments arguments, SegmentationDataSet files)
    {
        if (!arguments.Flag(ColorsOption.Name))
            return null;
        if (files.ClassColors.Count == 0)
            throw new InvalidDataException("--color-masks needs a file classes.txt in the folder, with the name and the colour of a class in each line, such as 'road 128 64 128'.");
        var labels = new Dictionary<Color, byte>();
        foreach (var (label, color) in files.ClassColors.Index())
        {
            if (!labels.TryAdd(color, (byte)label))
                throw new InvalidDataException($"Two classes of classes.txt have the colour {color.R} {color.G} {color.B}.");
        }
        foreach (var color in files.IgnoredColors)
        {
            if (!labels.TryAdd(color, (byte)(arguments.Integer("ignored-label", 0, byte.MaxValue) ?? byte.MaxValue)))
                throw new InvalidDataException($"The ignored colour {color.R} {color.G} {color.B} of classes.txt is also that of a class.");
        }
        return labels;
    }

    /// <summary>Creates a data view of files.</summary>
    public static IDataView Load(MLContext context, IReadOnlyList<SegmentationSample> samples)
    {
        var rows = context.Data.LoadFromEnumerable(samples);
        return context.Transforms.LoadRawImageBytes(Image, null, nameof(SegmentationSample.ImagePath)).Append(context.Transforms.LoadRawImageBytes(Mask, null, nameof(SegmentationSample.MaskPath))).Fit(rows).Transform(rows);
    }

    /// <summary>Saves a model that reads the column ImagePath, the paths of image files.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Save(MLContext context, RepVggSegmentationTransformer transformer, string path)
    {
        var rows = context.Data.LoadFromEnumerable(Array.Empty<SegmentationSample>());
        var load = context.Transforms.LoadImages(transformer.FeatureColumnName, "", nameof(SegmentationSample.ImagePath)).Fit(rows);
        // ML.NET cannot save the schema of a column of images.
        context.Model.SaveRepVgg(new TransformerChain<ITransformer>(load, transformer), null, path);
    }

    /// <summary>Loads a model.</summary>
    /// <param name="path">The file.</param>
    /// <param name="threads">Number of threads; 0 for all cores.</param>
    /// <returns>The model, which the caller disposes, and its network for segmentation.</returns>
    /// <exception cref="InvalidDataException">The file is no ML.NET model that this library wrote, or has no network for segmentation.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static (IDisposable Model, RepVggSegmentationTransformer Network) LoadModel(string path, int threads)
    {
        var model = new MLContext(seed: 1).Model.LoadRepVgg(path, out _, new RepVggLoadOptions { NumberOfThreads = threads });
        if (SavedClassifier.Steps(model).OfType<RepVggSegmentationTransformer>().FirstOrDefault() is { } network)
            return (model, network);
        model.Dispose();
        throw new InvalidDataException($"'{path}' contains no network for segmentation. Give the model.zip of a run of the command segment-train.");
    }
}
