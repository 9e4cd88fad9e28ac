using RepVgg.Architectures;
using RepVgg.Tool.CommandLine;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;

namespace RepVgg.Tool.Weights;

/// <summary>The commands that read and write weights files.</summary>
internal static class WeightsCommands
{
    private const string File = "FILE: weights in a .pth, .safetensors, .onnx, .h5 or .keras file, or a training checkpoint";

    private static readonly OptionSpec[] _normalization =
    [
        new("mean", "R,G,B", "mean per channel, in pixel units (default: the file's, or ImageNet's)") { Sets = [nameof(WeightsFileOptions.Normalization)] },
        new("std", "R,G,B", "standard deviation per channel, in pixel units (default: likewise)") { Sets = [nameof(WeightsFileOptions.Normalization)] },
    ];

    private static readonly OptionSpec _imageSize = new("image-size", "N", "height and width of the images in pixels (default: the file's, or the architecture's)") { Sets = [nameof(WeightsFileOptions.ImageHeight), nameof(WeightsFileOptions.ImageWidth)] };

    /// <summary>The options for what a PyTorch checkpoint does not say.</summary>
    private static readonly OptionSpec[] _unsaid =
    [
        new("epsilon", "X", "epsilon of the batch norms (default: the file's, or 1e-5)") { Sets = [nameof(WeightsFileOptions.BatchNormEpsilon)] },
        new("strides", "N,N,...", "stride of every stage, the stem included (default: the file's, or the variant's)"),
        new("depths", "N,N,...", "number of blocks of every stage, 1 for the stem (default: those of the file)"),
        new("training-form", "NAME", "training form of the blocks, such as IdentityWithoutNorm, where the names do not tell it (default: found from the names)"),
        new("entry", "KEY", "key of the weights in a PyTorch checkpoint, such as ema (default: the usual ones)"),
    ];

    private static readonly OptionSpec _output = new("output", "NAME", "output of an ONNX graph that has several (default: the one of the classifier)");

    public static IReadOnlyList<CommandSpec> All { get; } =
    [
        new("list", "Lists the variants with their parameters and multiply-adds in both forms.",
            [new("image-size", "N", "height and width of the images in pixels (default: 224)"), new("classes", "N", "number of classes (default: 1000)")], (arguments, _) => ListCommand.Run(arguments)),
        new("create", "Writes the training form of a variant with fresh weights, for training elsewhere.",
            [
                new("classes", "N", "number of classes (default: 1000)"),
                new("channels", "N", "channels of the images: 1 or 3 (default: the variant's)"),
                new("seed", "N", "draws the weights (default: 1)"),
                new("training-form", "NAME", "training form of the blocks, such as QARepVgg (default: the variant's)"),
                .. ConvertCommand.OutputOptions,
            ], CreateCommand.Run) { Operands = ["VARIANT: a name from the command list, such as RepVGG-A0", "OUT: the file to write, .pth or .safetensors"] },
        new("inspect", "Says what a file of weights holds.", [_imageSize, .. _normalization, .. _unsaid, _output], (arguments, _) => InspectCommand.Run(arguments)) { Operands = [File] },
        new("verify", "Fuses a training form and compares both forms on random images, block by block and in all.",
            [
                new("bound", "X", "largest relative difference that is accepted (default: 1e-5)"),
                new("against", "FILE", "compare with this deploy form instead of fusing"),
                new("output", "NAME", "output of the ONNX graph of --against, if it has several (default: the one of the classifier)"),
                _imageSize,
                .. _unsaid,
                new("images", "N", "number of random images (default: 2)"),
                new("seed", "N", "draws the images (default: 1)"),
                OptionSpec.Threads,
            ], (arguments, _) => VerifyCommand.Run(arguments)) { Operands = [File] },
        new("convert", "Converts weights between formats and from the training to the deploy form.",
            [
                new("form", "FORM", "train or deploy (default: that of IN; deploy for ONNX)"),
                _imageSize,
                .. _normalization,
                .. _unsaid,
                _output,
                .. OnnxOutput.CommandLineOptions,
                .. ConvertCommand.OutputOptions,
                ConvertCommand.Rotate,
            ], ConvertCommand.Run) { Operands = ["IN: weights in a .pth, .safetensors, .onnx, .h5 or .keras file, or a training checkpoint", "OUT: the file to write, .pth, .safetensors, .onnx or .weights.h5 (Keras)"] },
        new("run", "Computes the logits of raw images in a NumPy file: float32 or uint8, [images, channels, height, width].",
            [.. _normalization, .. _unsaid, _output, OptionSpec.Threads], RunCommand.Run) { Operands = [File, "IMAGES.npy: the images, float32 or uint8, [images, channels, height, width]", "LOGITS.npy: the file to write"] },
    ];

    /// <summary>Gets the name of a form on the command line.</summary>
    public static string Name(this WeightsForm form) => form == WeightsForm.Training ? "train" : "deploy";

    /// <summary>Reads a file of weights. Options that contradict it are an error of the command line.</summary>
    public static LoadedWeights Read(string path, WeightsFileOptions options) => Arguments.Accept($"'{path}'", () =>
    {
        var weights = WeightsFile.Read(path, options);
        int channels = weights.Architecture.InputChannels;
        if (options.Normalization is { } normalization && normalization.Mean.Length != channels)
            throw new UsageException(Invariant($"--mean and --std have {normalization.Mean.Length} numbers each, but the images of '{path}' have {channels} channels."));
        weights.Architecture.ValidateImageSize(weights.ImageHeight, weights.ImageWidth);
        return weights;
    });

    /// <summary>Reads what the file does not say from the options of the command line.</summary>
    public static WeightsFileOptions FileOptions(Arguments arguments) => new()
    {
        BatchNormEpsilon = arguments.Positive("epsilon"),
        Strides = Strides(arguments),
        Depths = Depths(arguments),
        TrainingForm = arguments.Text("training-form") is { } form ? ParseForm("training-form", form) : null,
        Entry = arguments.Text("entry"),
        Output = arguments.Text("output"),
        ImageHeight = arguments.ImageSize,
        Normalization = Normalization(arguments),
        Warn = static _ => { }, // the commands print all assumptions
    };

    /// <summary>Reads the name of a training form, which is not case-sensitive.</summary>
    /// <exception cref="UsageException">There is no such form; the message lists all.</exception>
    public static TrainingForm ParseForm(string option, string name) => TrainingForms.All.Where(form => form.ToString().Equals(name, StringComparison.OrdinalIgnoreCase)).Cast<TrainingForm?>().FirstOrDefault()
        ?? throw new UsageException($"--{option} contains '{name}', which is not a training form. The forms are: {string.Join(", ", TrainingForms.All)}.");

    /// <summary>Prints what was assumed about a file, one line each.</summary>
    public static void PrintAssumptions(IEnumerable<WeightsAssumption> assumptions)
    {
        foreach (var assumption in assumptions)
            Console.WriteLine($"Assumed: {assumption}.{(Option(assumption.Kind) is { } option ? $" Give {option} if that is wrong." : "")}");
    }

    /// <summary>Reads the strides from the option --strides; null if it is not given.</summary>
    private static int[]? Strides(Arguments arguments) => arguments.Numbers("strides") is not { } numbers ? null
        : numbers.All(number => number is 1 or 2) ? Array.ConvertAll(numbers, number => (int)number)
        : throw new UsageException($"--strides is '{arguments.Text("strides")}'; it must be one stride per stage, each 1 or 2.");

    /// <summary>Reads the numbers of blocks from the option --depths; null if it is not given.</summary>
    private static int[]? Depths(Arguments arguments) => arguments.Numbers("depths") is not { } numbers ? null
        : numbers[0] == 1 && numbers.All(number => number is >= 1 and <= 1000 && number == (int)number) ? Array.ConvertAll(numbers, number => (int)number)
        : throw new UsageException($"--depths is '{arguments.Text("depths")}'; it must be the number of blocks of every stage, 1 for the stem.");

    private static string? Option(WeightsAssumptionKind kind) => kind switch
    {
        WeightsAssumptionKind.Entry => "--entry",
        WeightsAssumptionKind.BatchNormEpsilon => "--epsilon",
        WeightsAssumptionKind.Strides => "--strides",
        WeightsAssumptionKind.Normalization => "--mean and --std",
        WeightsAssumptionKind.ImageSize => "--image-size",
        WeightsAssumptionKind.Output => "--output",
        _ => null,
    };

    /// <summary>Reads the normalisation from the options --mean and --std; null if neither is given.</summary>
    private static Normalization? Normalization(Arguments arguments)
    {
        var (mean, deviation) = (arguments.Numbers("mean"), arguments.Numbers("std"));
        if (mean is null && deviation is null)
            return null;
        if (mean is null || deviation is null || mean.Length != deviation.Length || deviation.Any(value => value <= 0))
            throw new UsageException("--mean and --std must both be given, with one number per channel; those of --std above 0.");
        return RepVgg.Architectures.Normalization.FromMeanStd(mean, deviation, maxPixelValue: 1);
    }
}
