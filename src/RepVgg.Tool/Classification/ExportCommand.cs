using System.Globalization;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.Transforms.Image;
using RepVgg.Networks;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Weights;

namespace RepVgg.Tool.Classification;

/// <summary>Writes the network of a saved classifier as ONNX, and prints how images are brought to its input.</summary>
internal static class ExportCommand
{
    public static IReadOnlyList<OptionSpec> CommandLineOptions => OnnxOutput.CommandLineOptions;

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string path = arguments.Operand(0), output = Path.GetFullPath(arguments.Operand(1));
        var options = OnnxOutput.Options(arguments);
        if (!Path.GetExtension(output).Equals(".onnx", StringComparison.OrdinalIgnoreCase))
            throw new UsageException($"OUT.onnx is '{arguments.Operand(1)}'; its name must end in .onnx. To write weights in other formats, use convert.");
        if (output == Path.GetFullPath(path))
            throw new UsageException("OUT.onnx is the model itself, which would be lost. Give another name.");
        using var model = SavedClassifier.Load(path, threads: 1);
        var network = model.Classifier.Network;
        OnnxOutput.Write(model.Classifier.QuantizedNetwork ?? QuantizedNetwork.WithoutIntegers(network), output, options with { ClassLabels = model.Classifier.Labels }, interrupt);

        string shape = Invariant($"[N, {network.Architecture.InputChannels}, {network.ImageHeight}, {network.ImageWidth}]");
        Console.WriteLine(Invariant($"{output}: {network.Architecture.Name}, operator set {options.OpsetVersion}, {Table.Number(new FileInfo(output).Length)} bytes."));
        foreach (string line in DescribeInput(model.Classifier.Input, $"{options.InputName}, float32 {shape}"))
            Console.WriteLine(line);
        Console.WriteLine(Invariant($"Output  {options.OutputName}, float32 [N, {network.Classes}]: one for each class; their softmax is the probabilities. The names of the classes are in the metadata of the file."));
        if (options.ActivationMap)
            Console.WriteLine(Invariant($"Output  activation_map, float32 [N, {network.Classes}, {string.Join(", ", network.TakeFeatures(pooled: false).OutputShape[1..].Select(size => size.ToString(CultureInfo.InvariantCulture)))}]: how much each part of the image adds to the logits."));
        return 0;
    }

    /// <summary>Describes the pixels that the graph expects.</summary>
    private static IEnumerable<string> DescribeInput(FeatureInput input, string type)
    {
        if (input.IsVector)
        {
            yield return $"Input   {type}: the values of the model's input column. The graph normalises them.";
            yield break;
        }
        string colours = input.Channels == 1 ? "grey" : "first all red, then all green, then all blue ones";
        string resizing = input.Settings.Resizing switch
        {
            ImageResizingEstimator.ResizingKind.IsoCrop => $"scaled without distortion until they cover {(input.Crop.IsWhole ? "this size" : Invariant($"{input.Crop.ResizedWidth} x {input.Crop.ResizedHeight} pixels (width x height)"))}, and cropped (IsoCrop, {input.Settings.CropAnchor}){(input.Crop.IsWhole ? "" : "; the centre of this size is cut out")}",
            ImageResizingEstimator.ResizingKind.IsoPad => "scaled without distortion until they fit, and padded with the background colour (IsoPad)",
            _ => "scaled to this size, with another aspect ratio if need be (Fill)",
        };
        yield return $"Input   {type}: pixels from 0 to 255, {colours}. The graph normalises them.";
        yield return $"Images  {resizing}; transparent ones are put on the background colour {string.Join(", ", input.Background.Select(value => value.ToString(CultureInfo.InvariantCulture)))}.";
    }
}
