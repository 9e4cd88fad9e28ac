using RepVgg.Architectures;
using RepVgg.Reparameterization;
using RepVgg.Tool.CommandLine;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Keras;
using RepVgg.Weights.Naming;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;

namespace RepVgg.Tool.Weights;

/// <summary>Converts weights between formats and forms.</summary>
internal static class ConvertCommand
{
    private enum Format
    {
        PyTorch,
        Safetensors,
        Onnx,
        Keras,
    }

    /// <summary>The option for Keras files.</summary>
    public static OptionSpec Rotate { get; } = new("rotate", "", "for OUT .weights.h5 in the deploy form: rotate the kernels by 180 degrees, because Keras pads images of even size differently; every image must then be rotated by 180 degrees in Keras, too");

    /// <summary>The options of every command that writes weights.</summary>
    public static IReadOnlyList<OptionSpec> OutputOptions { get; } =
    [
        new("format", "NAME", "pth, safetensors, onnx or keras (default: by the extension of OUT)"),
        new("names", "NAME", "authors, timm or mmpretrain: whose names the weights get (default: authors)"),
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        var (input, output) = (arguments.Operand(0), Path.GetFullPath(arguments.Operand(1)));
        var format = FormatOf(arguments, output);
        var onnx = OnnxOutput.Options(arguments);
        if (format != Format.Onnx)
            OnnxOutput.RefuseOptions(arguments);
        var weights = WeightsCommands.Read(input, WeightsCommands.FileOptions(arguments));
        var form = arguments.Choice("form", ("", (WeightsForm?)null), ("train", WeightsForm.Training), ("deploy", WeightsForm.Deploy))
            ?? (format == Format.Onnx ? WeightsForm.Deploy : weights.Form);
        if (arguments.Flag(Rotate.Name) && format != Format.Keras)
            throw new UsageException("--rotate is for Keras files (.weights.h5).");
        if (format == Format.Onnx && form == WeightsForm.Training)
            throw new UsageException("ONNX files hold the deploy form only.");
        if (form == WeightsForm.Training && weights.Form == WeightsForm.Deploy)
            throw new ArgumentException($"'{input}' holds the deploy form, which cannot be converted to the training form.");

        if (form == WeightsForm.Training && weights.Architecture.TrainingForm != TrainingForm.RepVgg && Names(arguments) is not null)
        {
            throw new UsageException(
                $"--names: '{input}' holds weights of the training form {weights.Architecture.TrainingForm}, which has no names in other libraries: theirs are for the form {TrainingForm.RepVgg}, so that they would compute another network. "
                + "Write the weights under the authors' names (--names authors).");
        }

        if (format == Format.Onnx)
        {
            if (Names(arguments) is not null)
                throw new UsageException("--names is not for ONNX.");
            var network = weights.ToDeployNetwork();
            var labels = weights.Description?.ClassLabels is { IsDefaultOrEmpty: false } known ? known : (IReadOnlyList<string>?)null;
            OnnxOutput.Write(network, output, onnx with { ClassLabels = labels }, interrupt);
        }
        else if (format == Format.Keras)
        {
            WriteKeras(weights, form, output, arguments, interrupt);
        }
        else
        {
            if (weights.Architecture.Stages.Any(stage => !stage.IsPaddedOnAllSides))
                throw new ArgumentException($"'{input}' holds a network whose convolutions are padded on one side, as TensorFlow pads inputs of even size, which PyTorch's RepVGG does not do. Write .onnx or .weights.h5, or convert for images of odd size, such as --image-size 225.");
            // Only the ONNX graph requires a normalisation. Other formats store a description if the normalisation is known.
            bool known = weights.KnownNormalization is not null;
            if (!known && (weights.Options.BatchNormEpsilon is not null || weights.Options.Strides is not null))
                throw new UsageException("--epsilon and --strides are stored together with the normalisation: give --mean and --std.");
            var state = form == weights.Form ? ActivationRanges.Remove(weights.State) : (known ? weights : weights.WithoutNormalization()).ToDeployNetwork().ExportState();
            Write(state, known ? weights.Describe() : null, output, format, arguments, interrupt);
        }
        Report(output, weights.Architecture.Name, form);
        WeightsCommands.PrintAssumptions(weights.Assumptions);
        return 0;
    }

    private static void WriteKeras(LoadedWeights weights, WeightsForm form, string output, Arguments arguments, Interrupt interrupt)
    {
        if (Names(arguments) is not null)
            throw new UsageException("--names is not for Keras.");
        if (!output.EndsWith(".weights.h5", StringComparison.OrdinalIgnoreCase))
            throw new UsageException($"Keras reads weights only from files whose names end in .weights.h5; OUT is '{output}'.");
        bool rotate = arguments.Flag(Rotate.Name);
        var state = form == weights.Form ? ActivationRanges.Remove(weights.State) : Fusion.Fuse(weights.Architecture, weights.State);
        interrupt.Defer(() => KerasWriter.Write(weights.Architecture, state, output, weights.ImageHeight, weights.ImageWidth, rotate));
        Console.WriteLine($"For a Keras model of images of {weights.ImageHeight} x {weights.ImageWidth} pixels (height x width){(rotate ? ", each rotated by 180 degrees" : "")}. The file does not hold the normalisation: {weights.KnownNormalization?.ToString() ?? "unknown"}.");
    }

    /// <summary>Writes weights in the format and with the names that the command line specifies.</summary>
    public static void Write(StateDict state, ModelDescription? description, string path, Arguments arguments, Interrupt interrupt) => Write(state, description, path, FormatOf(arguments, path), arguments, interrupt);

    /// <summary>Prints the name, architecture, form and size of the file that was written.</summary>
    public static void Report(string path, string architecture, WeightsForm form) =>
        Console.WriteLine($"{path}: {architecture}, {form.Name()} form, {Table.Number(new FileInfo(path).Length)} bytes.");

    private static void Write(StateDict state, ModelDescription? description, string path, Format format, Arguments arguments, Interrupt interrupt)
    {
        if (Names(arguments) is { } rename)
            state = rename(state);
        if (format == Format.PyTorch)
            interrupt.Defer(() => PthWriter.Write(state, path, description));
        else if (format == Format.Safetensors)
            interrupt.Defer(() => SafetensorsWriter.Write(state, path, description));
        else if (format == Format.Keras)
            throw new UsageException("Keras files are written by the command convert.");
        else
            throw new UsageException("ONNX files hold the deploy form only.");
    }

    /// <summary>Returns the conversion from the authors' names that the command line specifies; null for none.</summary>
    private static Func<StateDict, StateDict>? Names(Arguments arguments) =>
        arguments.Choice("names", ("authors", (Func<StateDict, StateDict>?)null), ("timm", TimmNames.FromAuthors), ("mmpretrain", MmPretrainNames.FromAuthors));

    private static Format FormatOf(Arguments arguments, string path) =>
        arguments.Choice("format", ("", (Format?)null), ("pth", Format.PyTorch), ("safetensors", Format.Safetensors), ("onnx", Format.Onnx), ("keras", Format.Keras))
        ?? Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".pth" or ".pt" or ".bin" => Format.PyTorch,
            ".safetensors" => Format.Safetensors,
            ".onnx" => Format.Onnx,
            ".h5" => Format.Keras,
            var extension => throw new UsageException($"'{extension}' is no known extension: name OUT .pth, .safetensors, .onnx or .weights.h5, or give --format."),
        };
}
