using System.Diagnostics;
using Microsoft.ML.RepVgg;
using Microsoft.ML.Transforms.Image;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Quantizers;
using RepVgg.Runtime;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Weights;
using RepVgg.Training.Data;
using RepVgg.Weights.Naming;
using RepVgg.Weights.Onnx;

namespace RepVgg.Tool.Classification;

/// <summary>Quantizes the network of a saved classifier or of a file of weights, and measures what that changes.</summary>
internal static class QuantizeCommand
{
    private const int DefaultImages = RepVggTransformer.DefaultCalibrationImages, FewestImages = 16;

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("data", "DIR", "labelled images, in any of the forms that train reads: those for training calibrate the network, the others are for measuring its accuracy (required)"),
        new("images", "N", Invariant($"number of calibration images (default: {DefaultImages})")),
        new("calibrator", "NAME", "how the ranges of activations are chosen: minmax, percentile, entropy or mse (default: mse)") { Sets = [nameof(QuantizationOptions.Calibrator)] },
        new("percentile", "X", "for the calibrator percentile: percentage of the values that are not limited (default: 99.999)") { Sets = [nameof(QuantizationOptions.Percentile)] },
        new("reduced-range", "", "weights of 7 bits, for processors without instructions for 8-bit dot products in other engines") { Sets = [nameof(QuantizationOptions.ReducedRange)] },
        new("equalization", "", "make the ranges of the channels of consecutive layers equal first") { Sets = [nameof(QuantizationOptions.Equalization)] },
        new("no-bias-correction", "", "do not correct the biases for the rounding of the weights") { Sets = [nameof(QuantizationOptions.BiasCorrection)] },
        new("quantize-classifier", "", "quantize the classifier, too") { Sets = [nameof(QuantizationOptions.QuantizeClassifier)] },
        new("float-blocks", "NAMES", "comma-separated names of blocks that stay in floating point, such as stage0,stage2.1") { Sets = [nameof(QuantizationOptions.FloatBlocks)] },
        new("max-loss", "X", "leave the most sensitive blocks in floating point until the accuracy is at most X points (percent) lower"),
        new("sensitivity", "", "print how much quantizing each block alone changes the logits"),
        OptionSpec.Threads,
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string path = arguments.Operand(0), output = Path.GetFullPath(arguments.Operand(1));
        if (!Path.GetExtension(output).Equals(".onnx", StringComparison.OrdinalIgnoreCase))
            throw new UsageException($"OUT.onnx is '{arguments.Operand(1)}'; its name must end in .onnx.");
        if (output == Path.GetFullPath(path))
            throw new UsageException("OUT.onnx is the model itself, which would be lost. Give another name.");
        string data = arguments.Required("data");
        var options = Options(arguments);
        // As a decimal number, as it was written.
        double? maximumLoss = arguments.Positive("max-loss") is { } points ? (double)(decimal)points : null;
        int wanted = arguments.Integer("images", FewestImages, int.MaxValue) ?? DefaultImages;

        var (network, labels) = Read(path);
        Arguments.Accept("--float-blocks", () => options.Layers.Check(network.Architecture));
        var images = DecodedImages.Read(data, (network.ImageHeight, network.ImageWidth), network.Architecture.InputChannels, interrupt.Token);
        if (images.Training.Classes != network.Classes)
            throw new InvalidDataException($"'{data}' has {images.Training.Classes} classes, and the network {network.Classes}.");
        if (labels is not null && !labels.SequenceEqual(images.Classes, StringComparer.Ordinal))
            throw new InvalidDataException($"The classes of '{data}' are {MessageText.Printable(string.Join(", ", images.Classes))}, and those of the model {MessageText.Printable(string.Join(", ", labels))}.");
        if (images.Training.Count < FewestImages)
            throw new InvalidDataException($"'{data}' has {images.Training.Count} images to calibrate with; at least {FewestImages} are needed, better a few hundred.");
        float[][] calibration = Spread(images.Training, wanted);
        if (calibration.Length < wanted)
            Console.WriteLine(Invariant($"There are {calibration.Length:n0} images to calibrate with, fewer than {wanted:n0}."));

        if (arguments.Flag("sensitivity"))
            PrintSensitivity(network, calibration, options, interrupt.Token);
        var before = Evaluate(new InferenceEngine(network, options.Threads), images.Test, interrupt.Token);
        Evaluation after = default;
        var quantized = Quantization.CalibrateWithin(network, calibration, IsAcceptable, options, interrupt.Token);
        quantized = quantized with
        {
            Details = quantized.Details! with { TestImages = images.Test.Count, FloatAccuracy = before.Accuracy, QuantizedAccuracy = after.Accuracy },
        };
        if (maximumLoss is { } most && quantized.IntegerBlocks == 0)
            throw new InvalidDataException(Invariant($"The accuracy is more than {most} points lower if any block is quantized. Give another --calibrator or more images, or train a network of the form QARepVgg."));
        interrupt.Defer(() => OnnxWriter.Write(quantized, output, new OnnxExportOptions { ClassLabels = labels }));

        var table = new Table("", "accuracy", "images/s", "bytes");
        table.Add("float32", Invariant($"{before.Accuracy:p2}"), Invariant($"{before.Rate:n0}"), Table.Number(SizeOf(network)));
        table.Add("int8", Invariant($"{after.Accuracy:p2}"), Invariant($"{after.Rate:n0}"), Table.Number(new FileInfo(output).Length));
        table.Write(Console.Out);
        Console.WriteLine();
        double same = before.Classes.Zip(after.Classes).Count(pair => pair.First == pair.Second) / (double)before.Classes.Length;
        Console.WriteLine(Invariant($"{images.Test.Count:n0} images; {same:p2} of them have the same class."));
        Console.WriteLine(Describe(quantized));
        Console.WriteLine($"{output}: {network.Architecture.Name}.");
        return 0;

        bool IsAcceptable(QuantizedNetwork candidate)
        {
            after = Evaluate(new InferenceEngine(candidate, options.Threads), images.Test, interrupt.Token);
            return maximumLoss is not { } limit || Loss() <= limit;
        }

        double Loss() => 100 * (before.Accuracy - after.Accuracy);
    }

    /// <summary>Says which blocks are quantized, and how.</summary>
    public static string Describe(QuantizedNetwork network)
    {
        string[] left = [.. network.Blocks.Where(block => block.Float is not null).Select(block => block.Shape.Name)];
        string blocks = left.Length == 0 ? $"All {network.Blocks.Length} blocks are quantized." : $"{network.IntegerBlocks} of {network.Blocks.Length} blocks are quantized; in floating point: {string.Join(", ", left)}.";
        return network.Details is { Images: > 0 } details ? Invariant($"Calibrated with {details.Images:n0} images, calibrator {details.Calibrator}. {blocks}") : blocks;
    }

    private static QuantizationOptions Options(Arguments arguments)
    {
        var options = new QuantizationOptions
        {
            Calibrator = arguments.Choice("calibrator", ("mse", Calibrator.MeanSquaredError), ("minmax", Calibrator.MinMax), ("percentile", Calibrator.Percentile), ("entropy", Calibrator.Entropy)),
            ReducedRange = arguments.Flag("reduced-range"),
            Equalization = arguments.Flag("equalization"),
            BiasCorrection = !arguments.Flag("no-bias-correction"),
            QuantizeClassifier = arguments.Flag("quantize-classifier"),
            FloatBlocks = arguments.Text("float-blocks") is { } names ? [.. names.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)] : [],
            Threads = arguments.Threads,
        };
        if (arguments.Positive("percentile") is not { } percentile)
            return options;
        return options.Calibrator == Calibrator.Percentile ? options with { Percentile = percentile } : throw new UsageException("--percentile is for --calibrator percentile only.");
    }

    /// <summary>Reads the network of a saved classifier, or of a file of weights, and the names of its classes.</summary>
    private static (DeployNetwork Network, IReadOnlyList<string>? Labels) Read(string path)
    {
        if (Path.GetExtension(path).Equals(".zip", StringComparison.OrdinalIgnoreCase))
        {
            using var model = SavedClassifier.Load(path, threads: 1);
            var input = model.Classifier.Input;
            if (model.Classifier.QuantizedNetwork is not null)
                throw new InvalidDataException($"'{path}' is quantized already. Give a model in floating point, such as one that was trained without --quantization.");
            if (input.IsVector)
                throw new InvalidDataException($"'{path}' reads a column of vectors, not images. Quantize it in a program, with Quantization.Calibrate.");
            if (input.Settings.Resizing != ImageResizingEstimator.ResizingKind.IsoCrop || !input.Crop.IsWhole)
                Console.Error.WriteLine($"Warning: '{path}' brings images to its size in another way ({input.Settings.Resizing}{(input.Crop.IsWhole ? "" : ", the centre of a larger image")}) than this command, which covers the size and crops (IsoCrop): the accuracies can differ from those of evaluate.");
            return (model.Classifier.Network, model.Classifier.Labels);
        }
        var weights = WeightsCommands.Read(path, new());
        WeightsCommands.PrintAssumptions(weights.Assumptions);
        if (weights.State.Names.Any(ActivationRanges.IsRange))
            Console.Error.WriteLine($"Warning: '{path}' is a checkpoint of quantization-aware training. Its ranges are not used: the network is calibrated again. The quantized network of the run is its model.zip.");
        if (weights.Classes == 0)
            throw new InvalidDataException($"'{path}' holds no classifier: 'linear.weight' is missing, so that no accuracy can be measured.");
        return (weights.ToDeployNetwork(), weights.Description?.ClassLabels is { IsDefaultOrEmpty: false } known ? known : null);
    }

    /// <summary>Some samples, evenly distributed over all.</summary>
    private static float[][] Spread(ISampleSource samples, int count)
    {
        count = Math.Min(count, samples.Count);
        float[][] images = new float[count][];
        for (int i = 0; i < count; i++)
        {
            images[i] = new float[samples.Channels * samples.Height * samples.Width];
            samples.Read((int)((long)i * samples.Count / count), images[i]);
        }
        return images;
    }

    private static void PrintSensitivity(DeployNetwork network, float[][] images, QuantizationOptions options, CancellationToken cancellation)
    {
        var table = new Table("block", "relative error");
        foreach (var block in Quantization.MeasureSensitivity(network, images, options, cancellation))
            table.Add(block.Name, Invariant($"{block.RelativeError:p2}"));
        Console.WriteLine("Change of the logits if one block alone is quantized:");
        table.Write(Console.Out);
        Console.WriteLine();
    }

    /// <summary>The classes that an engine gives images, the share of them that are right, and images per second.</summary>
    private readonly record struct Evaluation(int[] Classes, double Accuracy, double Rate);

    private static Evaluation Evaluate(InferenceEngine engine, ISampleSource samples, CancellationToken cancellation)
    {
        const int Batch = 16;
        using (engine)
        {
            float[] pixels = new float[Batch * engine.InputLength], logits = new float[Batch * engine.Classes];
            int[] classes = new int[samples.Count];
            int right = 0;
            var time = TimeSpan.Zero;
            for (int first = 0; first < samples.Count; first += Batch)
            {
                cancellation.ThrowIfCancellationRequested();
                int count = Math.Min(Batch, samples.Count - first);
                int[] expected = new int[count];
                for (int i = 0; i < count; i++)
                    expected[i] = samples.Read(first + i, pixels.AsSpan(i * engine.InputLength, engine.InputLength));
                long start = Stopwatch.GetTimestamp();
                engine.Run(pixels.AsSpan(0, count * engine.InputLength), count, logits.AsSpan(0, count * engine.Classes));
                time += Stopwatch.GetElapsedTime(start);
                for (int i = 0; i < count; i++)
                {
                    classes[first + i] = Logits.IndexOfMax(logits.AsSpan(i * engine.Classes, engine.Classes));
                    right += classes[first + i] == expected[i] ? 1 : 0;
                }
            }
            return new Evaluation(classes, (double)right / samples.Count, samples.Count / time.TotalSeconds);
        }
    }

    private static long SizeOf(DeployNetwork network) => sizeof(float) * (network.Blocks.Sum(block =>
        (long)block.Kernel.Length + block.Bias.Length + SizeOf(block.Squeeze) + SizeOf(block.Excite)) + SizeOf(network.Classifier));

    private static long SizeOf(LinearWeights? layer) => layer is null ? 0 : (long)layer.Weight.Length + layer.Bias.Length;
}
