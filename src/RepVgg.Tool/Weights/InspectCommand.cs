using RepVgg.Architectures;
using RepVgg.Diagnostics;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Tool.CommandLine;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;
using RepVgg.Weights.Onnx;

namespace RepVgg.Tool.Weights;

/// <summary>Prints the architecture, metadata and size of the network in a weights file.</summary>
internal static class InspectCommand
{
    private const int MaximumEntries = 20;

    public static int Run(Arguments arguments)
    {
        string path = arguments.Operand(0);
        if (WeightsFile.IsQuantized(path))
            return Describe(path, OnnxReader.ReadQuantized(path));
        var weights = WeightsCommands.Read(path, WeightsCommands.FileOptions(arguments));
        var architecture = weights.Architecture;
        var figures = ModelStatistics.Of(architecture, weights.Form, weights.Classes, weights.ImageHeight, weights.ImageWidth);

        string features = string.Concat(
            architecture.Groups > 1 ? $", {architecture.Groups} groups on every second layer{(architecture.GroupsRestartInStages ? " of each stage" : "")}" : "",
            architecture.SqueezeExcitation switch { SqueezeExcitation.BeforeRelu => ", squeeze-and-excitation before the ReLU", SqueezeExcitation.AfterRelu => ", squeeze-and-excitation after the ReLU", _ => "" },
            architecture.Stages.Any(stage => !stage.IsPaddedOnAllSides) ? ", padded as by TensorFlow for images of this size" : "",
            weights.Form == WeightsForm.Training && architecture.Stages.Any(stage => stage.AuxiliaryHead) ? ", auxiliary heads" : "");
        Console.WriteLine($"File           {path}, {Table.Number(SizeOf(path))} bytes");
        Console.WriteLine($"Architecture   {architecture.Name}{features}");
        Console.WriteLine($"Origin         {weights.Origin ?? (weights.Description is null ? "weights under the RepVGG authors' names" : "this library")}");
        Console.WriteLine($"Form           {weights.Form.Name()}{(weights.Form == WeightsForm.Training ? $", {architecture.TrainingForm}{(architecture.TrainingForm == TrainingForm.MobileOne ? $" with {architecture.ConvolutionBranches} 3x3 branches" : "")}{(Fusion.CanFuse(architecture.TrainingForm) ? "" : ", which does not fuse")}" : "")}");
        Console.WriteLine($"Classes        {(weights.Classes == 0 ? "none: there is no classifier" : $"{weights.Classes}{Labels(weights.Description)}")}");
        Console.WriteLine($"Images         {architecture.InputChannels} x {weights.ImageHeight} x {weights.ImageWidth}");
        Console.WriteLine($"Normalisation  {weights.KnownNormalization?.ToString() ?? "unknown: give --mean and --std"}");
        Console.WriteLine($"Parameters     {Table.Number(figures.Parameters)}");
        Console.WriteLine($"Multiply-adds  {Table.Number(figures.MultiplyAdds)}");
        Console.WriteLine($"Activations    {Table.Number(figures.Activations)} values for one image, at most {Table.Number(figures.LargestActivation)} at once");
        if (weights.Entries.Count > 1)
            Console.WriteLine($"Entries        {MessageText.Join([.. weights.Entries.Select(entry => $"{(entry.Length == 0 ? "(the whole file)" : MessageText.Printable(entry))}{(entry == weights.Entry ? " (shown here)" : "")}")], MaximumEntries, ", ")}");
        if (weights.State.Names.Any(ActivationRanges.IsRange))
            Console.WriteLine("Quantization   the weights were trained with the rounding of a quantized network, and the file has the ranges of its activations");
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

    private static int Describe(string path, QuantizedNetwork network)
    {
        Console.WriteLine($"File           {path}, {Table.Number(SizeOf(path))} bytes");
        Console.WriteLine($"Architecture   {network.Architecture.Name}");
        Console.WriteLine($"Form           deploy, quantized: {network.IntegerBlocks} of {network.Blocks.Length} blocks, and the classifier {(network.QuantizedClassifier is null ? "in floating point" : "as well")}");
        Console.WriteLine($"Classes        {(network.Classes == 0 ? "none: there is no classifier" : $"{network.Classes}{Labels(OnnxReader.ReadDescription(path))}")}");
        Console.WriteLine($"Images         {network.Architecture.InputChannels} x {network.ImageHeight} x {network.ImageWidth}");
        Console.WriteLine($"Normalisation  {network.Normalization}");
        if (network.Details is { } details)
        {
            Console.WriteLine(Invariant($"Calibration    {MessageText.Printable(details.Calibrator)}{(details.Images > 0 ? Invariant($", {details.Images:n0} images") : "")}"));
            if (details.TestImages > 0)
                Console.WriteLine(Invariant($"Accuracy       {details.QuantizedAccuracy:p2}, in floating point {details.FloatAccuracy:p2} ({details.TestImages:n0} images)"));
        }
        Console.WriteLine();
        var table = new Table("block", "channels", "stride", "groups", "weights", "output scale");
        foreach (var block in network.Blocks)
        {
            var shape = block.Shape;
            table.Add(
                shape.Name, $"{shape.OutputChannels}", $"{shape.Stride}", $"{shape.Groups}", block.Convolution is null ? "float32" : "int8", block.Output is { } output ? Invariant($"{output.Scale:g4}") : "");
        }
        table.Write(Console.Out);
        return 0;
    }

    /// <summary>Gets the size of a file, or of the file that a symbolic link leads to.</summary>
    private static long SizeOf(string path)
    {
        using var file = InputFile.OpenHandle(path);
        return RandomAccess.GetLength(file);
    }

    private static string Labels(ModelDescription? description) =>
        description is null || description.ClassLabels.IsDefaultOrEmpty ? "" : $": {string.Join(", ", description.ClassLabels.Take(10).Select(MessageText.Printable))}{(description.ClassLabels.Length > 10 ? ", ..." : "")}";
}
