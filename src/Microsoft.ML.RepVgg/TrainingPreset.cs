using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using RepVgg.Optimizers;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg;

/// <summary>Training hyperparameters under a name: those of publications, and those that were found by experiment. <see cref="RepVggTrainer.Options.Apply"/> sets them.</summary>
/// <remarks>
/// A preset is a record: <c>TrainingPreset.Paper with { Epochs = 200 }</c> is a variation of it, and <see cref="ToString"/> prints every number. It does not contain the architecture,
/// except where a publication trains in a certain form, which <see cref="Source"/> says.
/// </remarks>
public sealed record TrainingPreset
{
    /// <summary>Name of the preset, such as <c>paper</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Where the numbers are from, and what the preset is for.</summary>
    public required string Source { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.Epochs"/>
    public required int Epochs { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.BatchSize"/>
    public required int BatchSize { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.Optimizer"/>
    public OptimizerOptions Optimizer { get; init; } = new SgdOptions();

    /// <inheritdoc cref="RepVggTrainer.Options.LearningRate"/>
    public float? LearningRate { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.LearningRateBaseSize"/>
    public int? LearningRateBaseSize { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.LearningRateScheduler"/>
    public LearningRateScheduler LearningRateScheduler { get; init; } = new();

    /// <inheritdoc cref="RepVggTrainer.Options.HeadLearningRateScale"/>
    public float HeadLearningRateScale { get; init; } = 1;

    /// <inheritdoc cref="RepVggTrainer.Options.LayerLearningRateDecay"/>
    public float LayerLearningRateDecay { get; init; } = 1;

    /// <inheritdoc cref="RepVggTrainer.Options.WeightDecay"/>
    public float? WeightDecay { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.LabelSmoothing"/>
    public float LabelSmoothing { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.Dropout"/>
    public float Dropout { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.StochasticDepth"/>
    public float StochasticDepth { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.AuxiliaryLossWeight"/>
    public float AuxiliaryLossWeight { get; init; } = 0.1f;

    /// <inheritdoc cref="RepVggTrainer.Options.EmaDecay"/>
    public float EmaDecay { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.Augmentation"/>
    public Augmentation? Augmentation { get; init; }

    /// <inheritdoc cref="RepVggTrainer.Options.ProgressiveResizing"/>
    public ProgressiveResizing? ProgressiveResizing { get; init; }

    /// <inheritdoc cref="RepVggImageOptions.CropFraction"/>
    public double CropFraction { get; init; } = 1;

    /// <inheritdoc cref="RepVggTrainer.Options.Quantization"/>
    public QuantizationMode Quantization { get; init; }

    /// <summary>The training of the RepVGG paper on ImageNet: random resized crops and mirror images, 120 epochs, a batch of 256 images for a learning rate of 0.1.</summary>
    public static TrainingPreset Paper { get; } = new()
    {
        Name = "paper",
        Source = "RepVGG, CVPR 2021, section 4.1, and the authors' code: the A and B series on ImageNet, with images of 256 pixels of which the central 224 are classified",
        Epochs = 120,
        BatchSize = 256,
        LearningRate = 0.1f,
        LearningRateBaseSize = 256,
        WeightDecay = 1e-4f,
        Augmentation = new Augmentation { HorizontalFlip = true, RandomResizedCrop = new RandomResizedCrop() },
        CropFraction = 224.0 / 256,
    };

    /// <summary>The training of RepVGGplus on ImageNet: 300 epochs with RandAugment, mixup, random erasing and label smoothing.</summary>
    public static TrainingPreset Plus { get; } = new()
    {
        Name = "plus",
        Source = "the RepVGG authors' code for RepVGGplus (train/config.py and the command in its documentation). Erased rectangles have the mean colour; the authors' have random pixels",
        Epochs = 300,
        BatchSize = 256,
        LearningRate = 0.1f,
        LearningRateBaseSize = 256,
        LearningRateScheduler = new LearningRateScheduler { WarmUpEpochs = 5, WarmUpPrefix = false },
        WeightDecay = 4e-5f,
        LabelSmoothing = 0.1f,
        AuxiliaryLossWeight = 0.1f,
        Augmentation = new Augmentation
        {
            HorizontalFlip = true,
            RandomResizedCrop = new RandomResizedCrop(),
            RandAugment = new RandAugment(),
            ErasingProbability = 0.25,
            Mixing = new Mixing { MixupAlpha = 0.2 },
        },
    };

    /// <summary>
    /// The training of RepOpt-VGG on ImageNet with RepOptimizer, for an architecture of the training form Plain, such as <see cref="global::RepVgg.Architectures.RepVggVariants.RepOptB1"/>. The scales are missing:
    /// give <see cref="RepVggTrainer.Options.Optimizer"/> a <see cref="RepOptimizerOptions"/> with them, before or after <see cref="RepVggTrainer.Options.Apply"/>.
    /// </summary>
    public static TrainingPreset RepOpt { get; } = new()
    {
        Name = "repopt",
        Source = "Re-parameterizing Your Optimizers rather than Architectures, ICLR 2023, and the authors' code: RepOpt-VGG on ImageNet, with the augmentation raug15",
        Epochs = 120,
        BatchSize = 256,
        Optimizer = new RepOptimizerOptions { Base = new SgdOptions(Nesterov: true) },
        LearningRate = 0.1f,
        LearningRateBaseSize = 256,
        LearningRateScheduler = new LearningRateScheduler { WarmUpEpochs = 5, WarmUpPrefix = false },
        WeightDecay = 4e-5f,
        LabelSmoothing = 0.1f,
        Augmentation = new Augmentation
        {
            HorizontalFlip = true,
            RandomResizedCrop = new RandomResizedCrop(),
            RandAugment = new RandAugment { Operations = RandAugmentOperations.All, Probability = 1, Magnitude = 14, MaximumMagnitude = 14, MagnitudeDeviation = double.PositiveInfinity },
        },
    };

    /// <summary>The usual training on CIFAR-10 and CIFAR-100: images of 32x32 pixels, 200 epochs with shifts of up to 4 pixels and mirror images.</summary>
    public static TrainingPreset Cifar { get; } = new()
    {
        Name = "cifar",
        Source = "the usual training of residual networks on CIFAR (He et al., CVPR 2016, section 4.2), with a cosine schedule and a weight decay of 5e-4",
        Epochs = 200,
        BatchSize = 128,
        Optimizer = new SgdOptions(Nesterov: true),
        LearningRate = 0.1f,
        WeightDecay = 5e-4f,
        Augmentation = new Augmentation { HorizontalFlip = true, CropPadding = 4 },
    };

    /// <summary>Training from random weights on some thousand to some ten thousand small images, in minutes on a CPU.</summary>
    public static TrainingPreset SmallScratch { get; } = new()
    {
        Name = "small-scratch",
        Source = "usual values for small images, with shifts and random erasing; without RandAugment, with which runs of 40 epochs on 2,259 emoji of 64x64 pixels were less accurate than with crops alone",
        Epochs = 60,
        BatchSize = 32,
        Optimizer = new SgdOptions(Nesterov: true),
        LearningRate = 0.05f,
        LearningRateScheduler = new LearningRateScheduler { WarmUpEpochs = 1 },
        WeightDecay = 5e-4f,
        LabelSmoothing = 0.1f,
        EmaDecay = 0.998f,
        Augmentation = new Augmentation { HorizontalFlip = true, CropPadding = 4, ErasingProbability = 0.25 },
    };

    /// <summary>Fine-tuning of pretrained weights on a small set: <see cref="RepVggTrainer.Options.PretrainedWeightsPath"/> names them.</summary>
    public static TrainingPreset FineTune { get; } = new()
    {
        Name = "finetune",
        Source = "usual values for fine-tuning: a tenth of the learning rate, and that of training from random weights for the classifier",
        Epochs = 30,
        BatchSize = 32,
        Optimizer = new SgdOptions(Nesterov: true),
        LearningRate = 0.01f,
        LearningRateScheduler = new LearningRateScheduler { WarmUpEpochs = 1 },
        HeadLearningRateScale = 10,
        WeightDecay = 1e-4f,
        LabelSmoothing = 0.1f,
    };

    /// <summary>Quantization-aware fine-tuning of a trained network, whose weights <see cref="RepVggTrainer.Options.PretrainedWeightsPath"/> names: the learning rate 0.001, a hundredth of the usual one of SGD, and weak augmentation.</summary>
    public static TrainingPreset QuantizationAware { get; } = new()
    {
        Name = "quantization-aware",
        Source = "learning rate and weight decay of the RepVGG authors' code for quantization-aware training, which has batches of 256 images and 20 epochs with one of warm-up; the number of epochs is that of RepOptimizer and QARepVGG",
        Epochs = 10,
        BatchSize = 64,
        Optimizer = new SgdOptions(Nesterov: true),
        LearningRate = 0.001f,
        WeightDecay = 4e-5f,
        Quantization = QuantizationMode.Aware,
    };

    private static readonly JsonSerializerOptions _json = new()
    {
        WriteIndented = true,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        Converters = { new JsonStringEnumConverter() },
    };

    /// <summary>All presets.</summary>
    public static ImmutableArray<TrainingPreset> All { get; } = [Paper, Plus, RepOpt, Cifar, SmallScratch, FineTune, QuantizationAware];

    /// <summary>Finds a preset by its name.</summary>
    /// <param name="name">The name, such as <c>paper</c>. It is not case-sensitive.</param>
    /// <returns>The preset.</returns>
    /// <exception cref="ArgumentException">There is no preset of this name. The message lists all.</exception>
    public static TrainingPreset Find(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return All.FirstOrDefault(preset => preset.Name.Equals(name.Trim(), StringComparison.OrdinalIgnoreCase))
            ?? throw new ArgumentException($"There is no preset named '{name}'. The presets are: {string.Join(", ", All.Select(preset => preset.Name))}.", nameof(name));
    }

    /// <summary>Prints the preset as JSON, with every number, in the same way under every culture.</summary>
    public override string ToString() => JsonSerializer.Serialize(this, _json);
}
