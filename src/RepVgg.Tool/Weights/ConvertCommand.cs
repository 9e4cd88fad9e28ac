using RepVgg.Architectures;
using RepVgg.Tool.CommandLine;
using RepVgg.Weights;
using RepVgg.Weights.Files;
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
    }

    /// <summary>The options of every command that writes weights.</summary>
    public static IReadOnlyList<OptionSpec> OutputOptions { get; } =
    [
        new("format", "NAME", "pth, safetensors or onnx (default: by the extension of OUT)"),
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
        else
        {
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
        else
            throw new UsageException("ONNX files hold the deploy form only.");
    }

    /// <summary>Returns the conversion from the authors' names that the command line specifies; null for none.</summary>
    private static Func<StateDict, StateDict>? Names(Arguments arguments) =>
        arguments.Choice("names", ("authors", (Func<StateDict, StateDict>?)null), ("timm", TimmNames.FromAuthors), ("mmpretrain", MmPretrainNames.FromAuthors));

    private static Format FormatOf(Arguments arguments, string path) =>
        arguments.Choice("format", ("", (Format?)null), ("pth", Format.PyTorch), ("safetensors", Format.Safetensors), ("onnx", Format.Onnx))
        ?? Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".pth" or ".pt" or ".bin" => Format.PyTorch,
            ".safetensors" => Format.Safetensors,
            ".onnx" => Format.Onnx,
            var extension => throw new UsageException($"'{extension}' is no known extension: name OUT .pth, .safetensors or .onnx, or give --format."),
        };
}
