using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Tool.CommandLine;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;

namespace RepVgg.Tool.Weights;

/// <summary>Writes the training form of a variant with random weights, as a starting point for training in another program.</summary>
internal static class CreateCommand
{
    private const int MaximumClasses = 1 << 20;

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        var variant = Arguments.Accept("VARIANT", () => RepVggVariants.Find(arguments.Operand(0)));
        var architecture = variant with
        {
            InputChannels = arguments.Choice("channels", ("", variant.InputChannels), ("1", 1), ("3", 3)),
            TrainingForm = arguments.Text("training-form") is { } form ? WeightsCommands.ParseForm("training-form", form) : variant.TrainingForm,
        };
        int classes = arguments.Integer("classes", 1, MaximumClasses) ?? 1000;
        string path = Path.GetFullPath(arguments.Operand(1));
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(architecture, classes, backend, (ulong)(arguments.Integer("seed", 0) ?? 1));
        var state = network.ExportState();
        var weights = new LoadedWeights(state, WeightsForm.Training, architecture, classes, null);
        ConvertCommand.Write(state, architecture.InputChannels == 3 ? weights.Describe() : null, path, arguments, interrupt);
        ConvertCommand.Report(path, architecture.Name, WeightsForm.Training);
        return 0;
    }
}
