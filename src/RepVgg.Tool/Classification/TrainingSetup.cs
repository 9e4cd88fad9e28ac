using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.Runtime;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Reparameterization;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Weights;
using RepVgg.Tool.Workflow;
using RepVgg.Training;

namespace RepVgg.Tool.Classification;

/// <summary>What train and lr-find read from the command line: the images, and the options of the network and of its training.</summary>
internal sealed class TrainingSetup
{
    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("dataset", "DIR", "the same as DIR; the name that the tool mlnet has for it"),
        new("training-config", "FILE", "read the folder, the split, epochs and batch size from a configuration of Model Builder (.mbconfig)"),
        new("validation-dataset", "DIR", "labelled images for validation (default: val, valid, validation or test beside train, or else a share of the training images)"),
        new("validation-fraction", "X", "share of the images of each class that is held out for validation, if there are no others (default: 0.2)"),
        new("image-size", "N", "height and width of the network's input in pixels (default: found from the images)") { Sets = [nameof(RepVggTrainer.Options.ImageHeight), nameof(RepVggTrainer.Options.ImageWidth)] },
        new("architecture", "NAME", "RepVGG variant, such as RepVGG-A0 (default: found from the size)"),
        new("weights", "FILE", "start from the weights of a file, such as a checkpoint of the authors") { Sets = [nameof(RepVggTrainer.Options.PretrainedWeightsPath)] },
        new("training-form", "NAME", $"training form of the blocks, such as {TrainingForm.QARepVgg}, which loses less by quantization (default: that of the architecture or of the weights)") { Sets = [nameof(RepVggTrainer.Options.TrainingForm)] },
        new("quantization", "WHEN", "train a classifier of 8-bit integers: post-training calibrates it with some of the training images; aware trains it with the rounding, best in a few epochs from --weights (default: that of the preset, or none)") { Sets = [nameof(RepVggTrainer.Options.Quantization)] },
        new("preset", "NAME", $"hyperparameters under a name: {string.Join(", ", TrainingPreset.All.Select(preset => preset.Name))}; other options change them"),
        new("scales", "FILE", "scales of RepOptimizer, which search-scales has found, for --preset repopt") { Sets = [nameof(RepOptimizerOptions.ScalesPath)] },
        new("batch-size", "N", "images of one training step (default: that of the preset, or 32)"),
        new("head-learning-rate-scale", "X", "factor of the learning rate of the classifier (default: that of the preset, or 1)"),
        new("layer-learning-rate-decay", "X", "factor of the learning rate from each block to the one before it, at most 1, such as 0.7 for --weights that need small changes (default: that of the preset, or 1)"),
        new("weight-decay", "X", "weight decay (default: that of the preset, or of the optimizer)"),
        new("custom-l2", "", "decay the equivalent kernels of the blocks by the RepVGG authors' custom L2 penalty, instead of the kernels of the branches") { Sets = [nameof(RepVggTrainer.Options.CustomL2)] },
        new("label-smoothing", "X", "share of each target that is divided among all classes (default: that of the preset, or 0)"),
        new("ema-decay", "X", "decay of the moving average of the weights, which becomes the model; 0 for none (default: that of the preset, or 0)"),
        new("crop-padding", "N", "largest shift of the training images in pixels (default: that of the preset, or an eighth of the shorter side)") { Sets = [nameof(Augmentation.CropPadding)] },
        new("crop-scale", "X", "cut random rectangles of this share of the area or more out of the training images (default: that of the preset, or none)") { Sets = [nameof(RandomResizedCrop.MinimumScale)] },
        new("erasing", "X", "probability of random erasing (default: that of the preset, or 0)") { Sets = [nameof(Augmentation.ErasingProbability)] },
        new("mixup", "X", "mix pairs of images, with shares of a beta distribution of this parameter (default: that of the preset, or none)") { Sets = [nameof(Mixing.MixupAlpha)] },
        new("unmixed-epochs", "N", "last epochs without mixing (default: that of the preset, or 0)") { Sets = [nameof(Mixing.UnmixedEpochs)] },
        new("seed", "N", "seed of weights, split, shuffling and augmentation (default: 1)"),
        Recipe.DeviceOption,
        OptionSpec.Threads,
        new("skip-invalid", "", "skip images that cannot be read, instead of ending with an error") { Sets = [nameof(RepVggTrainer.Options.InvalidRows)] },
    ];

    private TrainingSetup(string path, double validationFraction, MbConfig? config, ImageDataset data, MLContext context, ClassifierData views, RepVggTrainer.Options options)
    {
        (Path, ValidationFraction, Config, Data, Context, Views, Options) = (path, validationFraction, config, data, context, views, options);
        Validation = data.Validation.Count > 0 ? views.Of(data.Validation) : null;
        options.ValidationSet = Validation;
        options.ImageChannels = data.GreySamples is null ? null : 1;
    }

    /// <summary>Path of the images, as it was given.</summary>
    public string Path { get; }

    /// <summary>Share of the images of each class that is held out for validation, if there are no others.</summary>
    public double ValidationFraction { get; }

    /// <summary>The configuration of Model Builder; null if none is given.</summary>
    public MbConfig? Config { get; }

    /// <summary>The images.</summary>
    public ImageDataset Data { get; }

    public MLContext Context { get; }

    /// <summary>Creates data views of the images.</summary>
    public ClassifierData Views { get; }

    /// <summary>The validation images; null if there are none.</summary>
    public IDataView? Validation { get; }

    /// <summary>The options of the trainer; the command sets those that only it has.</summary>
    public RepVggTrainer.Options Options { get; }

    /// <summary>Reads the command line and the list of the images.</summary>
    /// <param name="arguments">The command line, whose operand is the folder of the images.</param>
    /// <param name="warn">Shows a warning of the trainer.</param>
    /// <param name="cancellation">Ends reading and training.</param>
    /// <exception cref="UsageException">The command line is wrong.</exception>
    public static TrainingSetup Read(Arguments arguments, Action<string> warn, CancellationToken cancellation)
    {
        var config = arguments.Text("training-config") is { } file ? MbConfig.Read(file) : null;
        if (arguments.OptionalOperand(0) is not null && arguments.Text("dataset") is not null)
            throw new UsageException("DIR and --dataset are the same; give one of them.");
        string path = arguments.OptionalOperand(0) ?? arguments.Text("dataset") ?? config?.DataPath ?? throw new UsageException("DIR is missing: the folder with one subfolder of images per class.");
        double fraction = Fraction(arguments) ?? config?.ValidationFraction ?? 0.2;
        int seed = Recipe.Seed(arguments);
        var options = ReadOptions(arguments, config);
        options.CancellationToken = cancellation;
        var data = ImageDataset.Read(path, arguments.Text("validation-dataset"), fraction, seed);
        var context = new MLContext(seed);
        context.Log += (_, entry) =>
        {
            if (entry.Kind == ChannelMessageKind.Warning && entry.Source.StartsWith("RepVgg;", StringComparison.Ordinal))
                warn(entry.RawMessage);
        };
        return new TrainingSetup(path, fraction, config, data, context, new ClassifierData(context, data.Classes, cancellation), options);
    }

    private static RepVggTrainer.Options ReadOptions(Arguments arguments, MbConfig? config)
    {
        var options = new RepVggTrainer.Options
        {
            LabelColumnName = ClassifierData.Label,
            FeatureColumnName = ClassifierData.Image,
            BatchSize = 32,
            PretrainedWeightsPath = arguments.Text("weights"),
            ImageHeight = arguments.ImageSize,
            ValidationSetFraction = 0,
            Seed = Recipe.Seed(arguments),
            NumberOfThreads = arguments.Threads,
            Device = Recipe.Device(arguments),
            InvalidRows = arguments.Flag("skip-invalid") ? InvalidRowHandling.Skip : InvalidRowHandling.Error,
        };
        string? preset = arguments.Text("preset");
        if (preset is not null)
            Arguments.Accept("--preset", () => options.Apply(TrainingPreset.Find(preset)));
        options.BatchSize = arguments.Integer("batch-size", 2) ?? config?.BatchSize ?? options.BatchSize;
        options.Epochs = config?.Epochs ?? options.Epochs;
        options.HeadLearningRateScale = arguments.Positive("head-learning-rate-scale") ?? options.HeadLearningRateScale;
        options.LayerLearningRateDecay = arguments.Positive("layer-learning-rate-decay", 1) ?? options.LayerLearningRateDecay;
        options.WeightDecay = arguments.Number("weight-decay") ?? options.WeightDecay;
        options.CustomL2 = arguments.Flag("custom-l2");
        if (arguments.Text("quantization") is not null)
            options.Quantization = arguments.Choice("quantization", ("none", QuantizationMode.None), ("post-training", QuantizationMode.PostTraining), ("aware", QuantizationMode.Aware));
        options.LabelSmoothing = arguments.Number("label-smoothing", 1) ?? options.LabelSmoothing;
        options.EmaDecay = arguments.Number("ema-decay", 1) ?? options.EmaDecay;
        SetAugmentation(options, arguments);
        options.Optimizer = WithScales(options.Optimizer, arguments.Text("scales"));
        if (preset is not null && options.PretrainedWeightsPath is null && new[] { TrainingPreset.FineTune, TrainingPreset.QuantizationAware }.Any(other => other.Name.Equals(preset, StringComparison.OrdinalIgnoreCase)))
            throw new UsageException($"--preset {preset} starts from trained weights: name their file with --weights.");
        if (arguments.Text("architecture") is { } name)
            options.Architecture = Arguments.Accept("--architecture", () => RepVggVariants.Find(name));
        if (arguments.Text("training-form") is { } form)
            options.TrainingForm = WeightsCommands.ParseForm("training-form", form);
        if (options is { Quantization: QuantizationMode.Aware, TrainingForm: { } aware })
            Arguments.Accept("--training-form", () => QuantizedLayers.CheckForm(aware));
        if (options is { Quantization: QuantizationMode.PostTraining, TrainingForm: { } trained } && !Fusion.CanFuse(trained))
            throw new UsageException($"--training-form {trained} cannot be fused, and the fused network is quantized. Train another form, or without --quantization.");
        if (options is { Architecture: { } architecture, ImageHeight: { } size })
            Arguments.Accept("--image-size", () => architecture.ValidateImageSize(size, size));
        return options;
    }

    /// <summary>Changes the augmentation of the preset, or mirror images without a preset.</summary>
    private static void SetAugmentation(RepVggTrainer.Options options, Arguments arguments)
    {
        int? padding = arguments.Integer("crop-padding", 0), unmixed = arguments.Integer("unmixed-epochs", 0);
        float? scale = arguments.Number("crop-scale", 1), erasing = arguments.Number("erasing", 1), mixup = arguments.Positive("mixup");
        if (padding is null && scale is null && erasing is null && mixup is null && unmixed is null)
            return;
        if (padding is null && scale is null && options.Augmentation is null)
            throw new UsageException("--erasing and --mixup need --crop-padding or --crop-scale, or a --preset: the usual shifts depend on the size of the images.");
        var augmentation = options.Augmentation ?? new Augmentation { HorizontalFlip = true };
        var mixing = mixup is { } alpha ? (augmentation.Mixing ?? new Mixing()) with { MixupAlpha = alpha } : augmentation.Mixing;
        if (unmixed is not null && mixing is null)
            throw new UsageException("--unmixed-epochs needs --mixup, or a preset that mixes images.");
        options.Augmentation = augmentation with
        {
            CropPadding = padding ?? (scale is null ? augmentation.CropPadding : 0),
            RandomResizedCrop = scale is { } minimum ? new RandomResizedCrop { MinimumScale = minimum } : augmentation.RandomResizedCrop,
            ErasingProbability = erasing ?? augmentation.ErasingProbability,
            Mixing = unmixed is { } last ? mixing! with { UnmixedEpochs = last } : mixing,
        };
    }

    private static OptimizerOptions WithScales(OptimizerOptions optimizer, string? scales) => optimizer switch
    {
        RepOptimizerOptions repOptimizer => repOptimizer with { ScalesPath = scales ?? throw new UsageException("The preset is for RepOptimizer, which needs the scales of the network: search them with the command search-scales, and name their file with --scales.") },
        _ => scales is null ? optimizer : throw new UsageException($"--scales are those of RepOptimizer: give --preset {TrainingPreset.RepOpt.Name}, too."),
    };

    private static double? Fraction(Arguments arguments)
    {
        string? text = arguments.Text("validation-fraction");
        if (text is null)
            return null;
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && value is >= 0 and < 1 ? value
            : throw new UsageException($"--validation-fraction is '{text}'; it must be 0 or more and less than 1.");
    }
}
