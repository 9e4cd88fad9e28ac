using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Diagnostics;
using RepVgg.Networks;
using RepVgg.Samples.CommandLine;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;

namespace RepVgg.Samples.Weights;

/// <summary>Prints the architecture, metadata and size of the network in a weights file.</summary>
internal static class InspectCommand
{
    public static int Run(Arguments arguments)
    {
        string path = arguments.Operand(0);
        var weights = WeightsFile.Read(path, WeightsCommands.FileOptions(arguments));
        int? size = weights.Options.Height;
        var architecture = weights.Architecture;
        int height = size ?? weights.Description?.ImageHeight ?? architecture.DefaultImageSize, width = size ?? weights.Description?.ImageWidth ?? architecture.DefaultImageSize;
        var figures = ModelStatistics.Of(architecture, weights.Form, weights.Classes, height, width);

        string features = string.Concat(
            architecture.Groups > 1 ? $", {architecture.Groups} groups on every second layer" : "",
            architecture.SqueezeExcitation switch { SqueezeExcitation.BeforeRelu => ", squeeze-and-excitation before the ReLU", SqueezeExcitation.AfterRelu => ", squeeze-and-excitation after the ReLU", _ => "" },
            weights.Form == WeightsForm.Training && architecture.Stages.Any(stage => stage.AuxiliaryHead) ? ", auxiliary heads" : "");
        Console.WriteLine($"File           {path}, {Table.Number(new FileInfo(path).Length)} bytes");
        Console.WriteLine($"Architecture   {architecture.Name}{features}");
        Console.WriteLine($"Form           {weights.Form.Name()}");
        Console.WriteLine($"Classes        {(weights.Classes == 0 ? "none: there is no classifier" : $"{weights.Classes}{Labels(weights.Description)}")}");
        Console.WriteLine($"Images         {architecture.InputChannels} x {height} x {width}");
        Console.WriteLine($"Normalisation  {Describe(weights.Options.Normalization ?? weights.Description?.Normalization)}");
        Console.WriteLine($"Parameters     {Table.Number(figures.Parameters)}");
        Console.WriteLine($"Multiply-adds  {Table.Number(figures.MultiplyAdds)}");
        Console.WriteLine($"Activations    {Table.Number(figures.Activations)} values for one image, at most {Table.Number(figures.LargestActivation)} at once");
        if (weights.Entries.Count > 1)
            Console.WriteLine($"Entries        {string.Join(", ", weights.Entries.Select(entry => $"{(entry.Length == 0 ? "(the whole file)" : entry)}{(entry == weights.Entry ? " (shown here)" : "")}"))}");
        if (weights.LeftOut.Count > 0)
            Console.WriteLine($"Left out       {string.Join(", ", weights.LeftOut)}");
        Console.WriteLine();
        var table = new Table("block", "output", "stride", "groups", "parameters", "multiply-adds", "activations");
        foreach (var block in figures.Blocks)
        {
            var shape = block.Block;
            table.Add(
                shape.Name, $"{shape.OutputChannels} x {block.Height} x {block.Width}", $"{shape.Stride}", $"{shape.Groups}",
                Table.Number(block.Parameters), Table.Number(block.MultiplyAdds), Table.Number(block.Activations));
        }
        table.Write(Console.Out);
        if (weights.Assumptions.Count > 0)
            Console.WriteLine();
        WeightsCommands.PrintAssumptions(weights.Assumptions);
        return 0;
    }

    private static string Labels(ModelDescription? description) =>
        description is null || description.ClassLabels.IsDefaultOrEmpty ? "" : $": {string.Join(", ", description.ClassLabels.Take(10))}{(description.ClassLabels.Length > 10 ? ", ..." : "")}";

    private static string Describe(Normalization? normalization) => normalization is null
        ? "not said"
        : $"mean {Join(normalization.Mean)}, scale {Join(normalization.Scale)}";

    private static string Join(IEnumerable<float> values) => string.Join(" ", values.Select(value => value.ToString("g6", CultureInfo.InvariantCulture)));
}
