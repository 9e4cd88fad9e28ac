using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Samples.CommandLine;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;

namespace RepVgg.Samples.Weights;

/// <summary>The commands that read and write weights files.</summary>
internal static class WeightsCommands
{
    private static readonly OptionSpec[] _normalization =
    [
        new("mean", "R,G,B", "mean per channel, in pixel units (default: the file's, or ImageNet's)"),
        new("std", "R,G,B", "standard deviation per channel, in pixel units (default: likewise)"),
    ];

    private static readonly OptionSpec _imageSize = new("image-size", "N", "height and width of the images in pixels (default: the file's, or the architecture's)");

    public static IReadOnlyList<CommandSpec> All { get; } =
    [
        new("list", "Lists the variants with their parameters and multiply-adds in both forms.",
            [new("image-size", "N", "height and width of the images in pixels (default: 224)"), new("classes", "N", "number of classes (default: 1000)")], ListCommand.Run),
        new("create", "Writes the training form of a variant with fresh weights, for training elsewhere.",
            [
                new("classes", "N", "number of classes (default: 1000)"),
                new("channels", "N", "channels of the images: 1 or 3 (default: the variant's)"),
                new("seed", "N", "draws the weights (default: 1)"),
                .. ConvertCommand.OutputOptions,
            ], CreateCommand.Run) { Operands = ["VARIANT", "OUT"] },
        new("inspect", "Says what a file of weights holds.", [_imageSize], InspectCommand.Run) { Operands = ["FILE"] },
        new("verify", "Fuses a training form and compares both forms on random images, block by block and in all.",
            [
                new("bound", "X", "largest relative difference that is accepted (default: 1e-5)"),
                new("against", "FILE", "compare with this deploy form instead of fusing"),
                _imageSize,
                new("images", "N", "number of random images (default: 2)"),
                new("seed", "N", "draws the images (default: 1)"),
                new("threads", "N", "threads; 0 takes every core (default: 0)"),
            ], VerifyCommand.Run) { Operands = ["FILE"] },
        new("convert", "Converts weights between formats and from the training to the deploy form.",
            [
                new("form", "FORM", "train or deploy (default: that of IN; deploy for ONNX)"),
                _imageSize,
                .. _normalization,
                new("precision", "NAME", "single or half; half for ONNX only (default: single)"),
                .. ConvertCommand.OutputOptions,
            ], ConvertCommand.Run) { Operands = ["IN", "OUT"] },
        new("run", "Computes the logits of raw images in a NumPy file: float32 or uint8, [images, channels, height, width].",
            [.. _normalization, new("threads", "N", "threads; 0 takes every core (default: 0)")], RunCommand.Run) { Operands = ["FILE", "IMAGES.npy", "LOGITS.npy"] },
    ];

    /// <summary>Gets the name of a form on the command line.</summary>
    public static string Name(this WeightsForm form) => form == WeightsForm.Training ? "train" : "deploy";

    /// <summary>Reads the normalisation from the options --mean and --std; null if neither is given.</summary>
    public static Normalization? Normalization(Arguments arguments, LoadedWeights weights)
    {
        var (mean, deviation) = (arguments.Numbers("mean"), arguments.Numbers("std"));
        if (mean is null && deviation is null)
            return null;
        int channels = weights.Architecture.InputChannels;
        if (mean?.Length != channels || deviation?.Length != channels || deviation.Any(value => value <= 0))
            throw new UsageException($"--mean and --std must both be given, with {channels} numbers each; those of --std above 0.");
        return RepVgg.Architectures.Normalization.FromMeanStd(mean, deviation, maxPixelValue: 1);
    }

    /// <summary>Formats a normalisation as the options --mean and --std.</summary>
    public static string Options(Normalization normalization) => string.Create(
        CultureInfo.InvariantCulture,
        $"--mean {string.Join(',', normalization.Mean.Select(Invariant))} --std {string.Join(',', normalization.Scale.Select(scale => Invariant(1 / scale)))}");

    private static string Invariant(float value) => value.ToString(CultureInfo.InvariantCulture);
}
