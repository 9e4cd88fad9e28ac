using RepVgg.Networks;
using RepVgg.Tool.CommandLine;
using RepVgg.Weights.Onnx;

namespace RepVgg.Tool.Weights;

/// <summary>Writes networks as ONNX, with the options that the commands have in common.</summary>
internal static class OnnxOutput
{
    private const string ActivationMap = "activation-map";

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("precision", "NAME", "number format of the weights in ONNX: single or half (default: single)"),
        new("opset", "N", Invariant($"version of ONNX's operator set, {OnnxWriter.OldestOpset} to {OnnxWriter.NewestOpset}; older versions of ONNX Runtime need a lower one (default: 17)")) { Sets = [nameof(OnnxExportOptions.OpsetVersion)] },
        new(ActivationMap, "", "add the class activation maps to the ONNX file as a second output, activation_map"),
    ];

    /// <summary>Reads the options.</summary>
    public static OnnxExportOptions Options(Arguments arguments)
    {
        var options = new OnnxExportOptions
        {
            Precision = arguments.Choice("precision", ("single", OnnxPrecision.Single), ("half", OnnxPrecision.Half)),
            ActivationMap = arguments.Flag(ActivationMap),
        };
        return arguments.Integer("opset", OnnxWriter.OldestOpset, OnnxWriter.NewestOpset) is { } opset ? options with { OpsetVersion = opset } : options;
    }

    /// <summary>Refuses the options for a file of another format.</summary>
    public static void RefuseOptions(Arguments arguments)
    {
        if (CommandLineOptions.FirstOrDefault(option => arguments.IsGiven(option.Name)) is { } given)
            throw new UsageException($"--{given.Name} is for ONNX only.");
    }

    /// <summary>Writes a network.</summary>
    public static void Write(DeployNetwork network, string path, OnnxExportOptions options, Interrupt interrupt) => Write(QuantizedNetwork.WithoutIntegers(network), path, options, interrupt);

    /// <summary>Writes a network, which may have no integers.</summary>
    public static void Write(QuantizedNetwork network, string path, OnnxExportOptions options, Interrupt interrupt)
    {
        if (options.ActivationMap && network.Output != NetworkOutput.Logits)
            throw new UsageException($"--{ActivationMap} needs a classifier, which the network does not have.");
        if (network.HasIntegers && options.Precision != OnnxPrecision.Single)
            throw new UsageException("--precision: the network is quantized, so that its weights have 8 bits; the rest of it is written with 32-bit floats only.");
        if (network.HasIntegers && options.OpsetVersion < OnnxQuantization.OldestOpset)
            throw new UsageException($"--opset: a quantized network needs {OnnxQuantization.OldestOpset} or newer, not {options.OpsetVersion}.");
        interrupt.Defer(() => OnnxWriter.Write(network, path, options));
    }
}
