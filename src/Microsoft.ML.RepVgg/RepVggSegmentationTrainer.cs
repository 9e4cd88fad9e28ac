using System.Globalization;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Segmentation;
using Microsoft.ML.Runtime;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.TorchSharp;
using RepVgg.Training;
using RepVgg.Training.Data;
using static Microsoft.ML.RepVgg.Interop.TrainingLog;

namespace Microsoft.ML.RepVgg;

/// <summary>Trains a PSPNet with a multi-branch RepVGG backbone to give every pixel of an image its class, and fuses it.</summary>
/// <remarks>
/// Created by <c>mlContext.Segmentation().Trainers.RepVggPsp(...)</c>. Rows are read once and cached (see <see cref="Options.CacheLimit"/>).
/// Sources: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017; Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021, section 4.3.
/// </remarks>
public sealed partial class RepVggSegmentationTrainer : IEstimator<RepVggSegmentationTransformer>
{
    private readonly IHostEnvironment? _environment;
    private readonly IHost? _host;
    private readonly Options _options;

    internal RepVggSegmentationTrainer(IHostEnvironment? environment, Options options)
    {
        options.Check();
        _environment = environment;
        _host = environment?.Register("RepVggSegmentation");
        _options = options.Clone();
    }

    /// <inheritdoc/>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        if (inputSchema.Find(_options.FeatureColumnName) is not { } feature)
            throw new ArgumentException($"Could not find feature column '{_options.FeatureColumnName}'", nameof(inputSchema));
        if (!FeatureInput.Check(feature, "feature"))
            throw NeedsImages();
        if (inputSchema.Find(_options.LabelColumnName) is not { } label)
            throw new ArgumentException($"Could not find label column '{_options.LabelColumnName}'", nameof(inputSchema));
        if (label.Kind == SchemaShape.Column.VectorKind.Scalar || label.ItemType != NumberDataViewType.Byte)
            throw new ArgumentException($"Schema mismatch for label column '{_options.LabelColumnName}': expected the content of PNG files, or a label for every pixel, as Vector<Byte>, got {label.ItemType}. Load the content of files with mlContext.Transforms.LoadRawImageBytes.", nameof(inputSchema));
        var builder = new DataViewSchema.Builder();
        // The dimensions are not part of a shape.
        builder.AddColumn(_options.PredictedMaskColumnName, new VectorDataViewType(NumberDataViewType.Byte, 1, 1));
        if (_options.ScoreColumnName is { } score)
            builder.AddColumn(score, new VectorDataViewType(NumberDataViewType.Single, 1, 1, 1));
        var added = SchemaShapes.Of(builder.ToSchema());
        return new SchemaShape([.. inputSchema.Where(column => added.Find(column.Name) is null), .. added]);
    }

    /// <summary>Reads the data, trains the network, and fuses it.</summary>
    /// <param name="input">The training data.</param>
    /// <returns>The fused network.</returns>
    /// <exception cref="ArgumentException">A column is missing or of the wrong type, or an option does not fit the data.</exception>
    /// <exception cref="InvalidDataException">The file of pretrained weights is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="IOException">The file of pretrained weights cannot be read, or a checkpoint cannot be written.</exception>
    /// <exception cref="InvalidOperationException">A row is invalid (see <see cref="RepVggScoringOptions.InvalidRows"/>), there is no valid row, or the masks have fewer than two labels.</exception>
    /// <exception cref="TrainingDivergedException">Training diverged. See <see cref="Options.OnDivergence"/>.</exception>
    /// <exception cref="OverflowException">Training succeeded, but a fused kernel or bias is too large for 32-bit floats.</exception>
    /// <exception cref="DeviceUnavailableException">The requested device cannot be used, and MLContext.FallbackToCpu is false.</exception>
    /// <exception cref="InsufficientMemoryException">The device does not have enough memory for the network and a batch.</exception>
    /// <exception cref="OperationCanceledException">Training was cancelled (see <see cref="Options.OnCancellation"/>).</exception>
    public RepVggSegmentationTransformer Fit(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        using var channel = _host?.Start("Training");
        GetOutputSchema(SchemaShapes.Of(input.Schema));
        ulong seed = (ulong)(_options.Seed ?? _host?.Rand.Next() ?? 1);
        var pretrained = PretrainedWeights.Read(_options.PretrainedWeightsPath, _options.Architecture?.TrainingForm, _options.PretrainedWeightsOptions);
        var features = CreateInput(input, channel);
        // Checked before the data are read, with as few classes as possible.
        var trainingOptions = _options.ToTrainingOptions(seed);
        trainingOptions.Validate(features.Height, features.Width);
        CreateArchitecture(pretrained, features, KnownClasses ?? 2);
        using var rows = Read(input, features, KnownClasses, "training", channel);
        int[] labels = [.. rows.Labels];
        if (labels.Length < 2)
        {
            throw new InvalidOperationException(
                (labels.Length == 0 ? $"No pixel of the masks in column '{_options.LabelColumnName}' has a label: all have the ignored label {_options.IgnoredLabel}. " : $"All labelled pixels of the masks in column '{_options.LabelColumnName}' have the label {labels[0]}; at least two classes are needed. ")
                + "If the masks have the values 0 and 255, for example, give MaskColors, with the label of black and of white.");
        }
        if (rows.Classes > PspNetArchitecture.MaximumClasses)
            throw new InvalidOperationException($"The masks in column '{_options.LabelColumnName}' have the label 255, but there can be 255 classes at most, 0 to 254. If pixels with 255 have no label, set IgnoredLabel to 255.");
        if (KnownClasses is null && labels.Length < rows.Classes)
            Log(channel, $"The masks have {labels.Length} different labels, but the largest is {labels[^1]}, so that the network gets {rows.Classes} classes. If labels are not 0, 1, 2, ..., give MaskColors or other masks.", isWarning: true);
        var architecture = CreateArchitecture(pretrained, features, rows.Classes);
        using var validationRows = _options.ValidationSet is { } set ? Read(set, features, rows.Classes, "validation", channel) : null;
        var (training, validation) = Divide(rows, validationRows, seed);
        var normalization = _options.Normalization ?? pretrained?.Normalization ?? PixelStatistics.Measure(training.Images, threads: _options.NumberOfThreads);
        var (gpuDeviceId, fallbackToCpu) = CatalogEnvironment.GpuSettings(_environment);
        using var backend = new DeviceChoice(_options.Device, gpuDeviceId, fallbackToCpu, _options.NumberOfThreads, _options.Bfloat16, architecture.Backbone, rows.Classes)
        {
            Log = (text, isWarning) => Log(channel, text, isWarning),
        }.Create();
        using var network = new TrainingNetwork(architecture, backend, seed, _options.FrozenStages, _options.FreezeBatchNorm);
        if (pretrained is not null)
        {
            Log(channel, pretrained.ImportInto(network), isWarning: false);
            pretrained.Log(architecture.Backbone, _options.Architecture is not null, _options.Normalization, (text, isWarning) => Log(channel, text, isWarning));
        }
        Log(channel, $"A PSPNet on {architecture.Backbone.Name} with stride {architecture.Backbone.OutputStride}, on {backend.Description}: {training.Count} images of {features.Width} x {features.Height} pixels, {rows.Classes} classes, {validation?.Count ?? 0} to validate on, seed {seed}.", isWarning: false);

        var result = TrainingLoop.Run(backend, network, training, validation, normalization, trainingOptions, Report(channel), _options.CancellationToken);
        if (result.StopReason == StopReason.Cancelled && (_options.OnCancellation == CancellationBehavior.Throw || result.BestEpoch == 0))
            throw new OperationCanceledException("Training was cancelled.", _options.CancellationToken);
        if (result.Divergence is { } divergence)
            Log(channel, $"The model is that of epoch {result.BestEpoch}, the best one before training diverged. {divergence.Message}", isWarning: true);
        if (result.Average is { } average)
            Log(channel, RepVggTrainer.Describe(average, result), isWarning: false);
        var fused = SegmentationNetwork.FromTrainingForm(architecture, result.Weights, features.Height, features.Width, normalization);
        return new RepVggSegmentationTransformer(fused, features, _options.PredictedMaskColumnName, _options.ScoreColumnName, _options.ClassNames ?? [], _options.TrainOnCrops, _options.ToScoringOptions(_host))
        {
            History = result.History,
            BestEpoch = result.BestEpoch,
            AveragedEpochs = result.Average is { IsReturned: true } returned ? returned.Epochs : [],
            StopReason = result.StopReason,
            SkippedTrainingRowCount = rows.Skipped + (validationRows?.Skipped ?? 0),
        };
    }

    /// <summary>Number of classes that the options say; null if the masks tell it.</summary>
    private int? KnownClasses => _options.NumberOfClasses ?? _options.ClassNames?.Count;

    private ArgumentException NeedsImages() =>
        new($"Schema mismatch for feature column '{_options.FeatureColumnName}': segmentation needs images, or the content of image files as Vector<Byte>. Vectors of pixels are converted with mlContext.Transforms.ConvertToImage.", "inputSchema");

    private FeatureInput CreateInput(IDataView input, IChannel? channel)
    {
        var settings = _options.ToImageSettings();
        int side = RepVggVariants.A0.DefaultImageSize;
        var (height, width) = (side, side);
        if (settings.Height is null && settings.Width is null && ImageSizes.Measure(input, input.Schema[_options.FeatureColumnName], settings.Decoding) is { Count: > 0 } sizes)
        {
            (height, width) = ImageSizes.Choose(sizes);
            Log(channel, $"The network's input has {width} x {height} pixels, which suits the images of the first rows. Options.ImageWidth and ImageHeight set another size.", isWarning: false);
        }
        return FeatureInput.Create(input.Schema, settings, height, width);
    }

    private PspNetArchitecture CreateArchitecture(PretrainedWeights? pretrained, FeatureInput features, int classes)
    {
        var backbone = (pretrained is null ? _options.Architecture : pretrained.ArchitectureToTrain(_options.Architecture)) ?? RepVggVariants.ForImageSize(Math.Max(features.Height, features.Width));
        pretrained?.CheckChannels(_options.FeatureColumnName, features.Channels);
        backbone = pretrained?.PaddedFor(backbone, features.Height, features.Width) ?? backbone;
        if (!Fusion.CanFuse(backbone.TrainingForm))
            throw new ArgumentException($"The training form {backbone.TrainingForm} of {backbone.Name} cannot be fused, which segmentation needs.");
        var architecture = PspNetArchitecture.Create(backbone with { InputChannels = features.Channels }, classes);
        int headWidth = _options.HeadWidth ?? Math.Min(architecture.HeadWidth, backbone.FeatureWidth), stride = architecture.Backbone.TotalStride;
        architecture = architecture with
        {
            Bins = _options.Bins,
            HeadWidth = headWidth,
            AuxiliaryWidth = _options.AuxiliaryWidth ?? Math.Max(1, headWidth / 2),
            // Only then do the middles of the corner pixels of a map coincide with those of the image.
            AlignCorners = features.Height % stride == 1 && features.Width % stride == 1,
        };
        architecture.Validate();
        architecture.ValidateImageSize(features.Height, features.Width);
        RepVggImageOptions.CheckNormalization(_options.Normalization, features.Channels);
        if (_options.FrozenStages > backbone.Stages.Length)
            throw new ArgumentException($"FrozenStages is {_options.FrozenStages}, but {backbone.Name} has {backbone.Stages.Length} stages, the stem included.");
        return architecture;
    }

    private MaskedRows Read(IDataView view, FeatureInput features, int? classes, string set, IChannel? channel)
    {
        var options = new MaskedRowOptions(
            features, _options.LabelColumnName, classes, _options.IgnoredLabel, _options.MaskColors, KeepsSize: _options.TrainOnCrops, _options.InvalidRows == InvalidRowHandling.Skip, _options.CacheLimit);
        var rows = MaskedRows.Read(view, options, _options.CancellationToken);
        if (rows.Skipped > 0)
            Log(channel, $"{rows.Skipped} rows of the {set} data were skipped; the first: {rows.FirstReason}", isWarning: true);
        if (rows.Unlabelled > 0)
            Log(channel, $"The masks of {rows.Unlabelled} images of the {set} data have only the ignored label {_options.IgnoredLabel}.", isWarning: true);
        if (rows.Count > 0)
            return rows;
        rows.Dispose();
        throw new InvalidOperationException(rows.Skipped > 0 ? $"None of the {rows.Skipped} rows of the {set} data can be used; the first: {rows.FirstReason}" : $"The {set} data has no rows.");
    }

    private (MaskedSamples Training, MaskedSamples? Validation) Divide(MaskedRows rows, MaskedRows? validation, ulong seed)
    {
        if (validation is not null || _options.ValidationSetFraction == 0)
            return (rows.Samples, validation?.Samples);
        if (rows.Count < 3)
            throw new InvalidOperationException($"{rows.Count} images are too few to split off a part for validation. Set Options.ValidationSetFraction = 0 to train without validation, or give Options.ValidationSet.");
        return rows.Samples.Split(_options.ValidationSetFraction, seed);
    }

    /// <summary>Writes the metrics of each epoch to the log, and passes every progress report to the user's callback.</summary>
    private Action<TrainingProgress> Report(IChannel? channel) => progress =>
    {
        if (progress.EpochResult is { } epoch)
        {
            string validation = epoch.ValidationLoss is { } loss ? string.Create(CultureInfo.InvariantCulture, $" validation loss {loss:f4}, mean IoU {epoch.ValidationMeanIoU:f4};") : "";
            Log(channel, string.Create(
                CultureInfo.InvariantCulture,
                $"Epoch {epoch.Epoch} of {progress.Epochs}: loss {epoch.TrainingLoss:f4}, mean IoU {epoch.TrainingMeanIoU:f4};{validation} {epoch.TrainingImagesPerSecond:f1} training images/s, {(int)progress.Remaining.TotalHours:00}:{progress.Remaining:mm\\:ss} left."), isWarning: false);
        }
        _options.MetricsCallback?.Invoke(progress);
    };
}
