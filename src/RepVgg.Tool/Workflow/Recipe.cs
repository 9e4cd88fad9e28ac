using System.Globalization;
using Microsoft.ML.RepVgg;
using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Tool.CommandLine;
using RepVgg.Training;

namespace RepVgg.Tool.Workflow;

/// <summary>An architecture and its training hyperparameters, which were found by experiment. Command-line options can change them.</summary>
internal sealed record Recipe
{
    /// <summary>The recipe for comparing training forms on the bundled images. Its architecture has blocks with an identity in three stages. Nothing is held out for validation.</summary>
    public static Recipe Ablation { get; } = new()
    {
        Architecture = "RepVGG-S1",
        Epochs = 15,
        BatchSize = 50,
        LearningRate = 0.1f,
        ValidationFraction = 0,
    };

    /// <summary>The recipe for searching the scales of RepOptimizer on the bundled images. The accuracy of the search says nothing about the scales.</summary>
    public static Recipe ScaleSearch { get; } = new()
    {
        Architecture = "RepVGG-S1",
        Epochs = 30,
        BatchSize = 64,
        ValidationFraction = 0,
    };

    public required string Architecture { get; init; }

    public required int Epochs { get; init; }

    public required int BatchSize { get; init; }

    /// <summary>Peak learning rate; null is that which the library takes if none is given.</summary>
    public float? LearningRate { get; init; }

    public required float ValidationFraction { get; init; }

    /// <summary>The command-line options of the recipe and of the hardware.</summary>
    public static IReadOnlyList<OptionSpec> TrainingOptions { get; } =
    [
        new("architecture", "NAME", "RepVGG variant, such as RepVGG-S1"),
        new("epochs", "N", "passes over the training images"),
        new("batch-size", "N", "images of one training step"),
        new("learning-rate", "X", "peak learning rate"),
        new("device", "NAME", "where to train: auto, cpu, torch-cpu, cuda or cuda:INDEX (default: auto)"),
        OptionSpec.Threads,
    ];

    /// <summary>The command-line options of commands with a single run.</summary>
    public static IReadOnlyList<OptionSpec> RunOptions { get; } =
    [
        new("seed", "N", "seed of weights, shuffling and augmentation (default: 1)"),
        new("checkpoint", "FILE", "write the state after every epoch, and go on from it when started again") { Sets = [nameof(RepVggTrainer.Options.CheckpointPath)] },
    ];

    /// <summary>Returns this recipe with the values of the command-line options.</summary>
    public Recipe With(Arguments arguments) => this with
    {
        Architecture = arguments.Text("architecture") is { } name ? Arguments.Accept("--architecture", () => RepVggVariants.Find(name)).Name : Architecture,
        Epochs = arguments.Integer("epochs", 1) ?? Epochs,
        BatchSize = arguments.Integer("batch-size", 2) ?? BatchSize,
        LearningRate = arguments.Positive("learning-rate") ?? LearningRate,
    };

    /// <summary>Creates the trainer's options. The column names are those of <c>ImageRow</c>.</summary>
    public RepVggTrainer.Options ToOptions(Arguments arguments) => new()
    {
        LabelColumnName = "Label",
        FeatureColumnName = "Image",
        Architecture = Architecture,
        Epochs = Epochs,
        BatchSize = BatchSize,
        Optimizer = new SgdOptions(Nesterov: true),
        LearningRate = LearningRate,
        LearningRateScheduler = new LearningRateScheduler { WarmUpEpochs = 1 },
        WeightDecay = 5e-4f,
        Augmentation = new Augmentation { HorizontalFlip = true, CropPadding = 2, ErasingProbability = 0.25 },
        ValidationSetFraction = ValidationFraction,
        MonitoredMetric = TrainingMetric.Loss,
        Seed = Seed(arguments),
        NumberOfThreads = arguments.Threads,
        Device = Device(arguments),
        CheckpointPath = arguments.Text("checkpoint"),
        OnCancellation = CancellationBehavior.ReturnBest,
    };

    /// <summary>Gets the seed of weights, shuffling and augmentation.</summary>
    public static int Seed(Arguments arguments) => arguments.Integer("seed", 0) ?? 1;

    /// <summary>Gets the device to train on.</summary>
    public static TrainingDevice Device(Arguments arguments)
    {
        const string CudaPrefix = "cuda:";
        string name = arguments.Text("device") ?? "auto";
        if (!name.StartsWith(CudaPrefix, StringComparison.Ordinal))
        {
            return name switch
            {
                "auto" => TrainingDevice.Auto,
                "cpu" => TrainingDevice.Cpu,
                "torch-cpu" => TrainingDevice.TorchCpu,
                "cuda" => TrainingDevice.Cuda(),
                _ => throw new UsageException($"--device is '{name}'; it must be one of: auto, cpu, torch-cpu, cuda, cuda:INDEX."),
            };
        }
        return int.TryParse(name.AsSpan(CudaPrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int index)
            ? TrainingDevice.Cuda(index)
            : throw new UsageException($"--device is '{name}'; the index after '{CudaPrefix}' must be a whole number of 0 or more.");
    }
}
