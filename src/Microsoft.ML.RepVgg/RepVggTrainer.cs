using System.Globalization;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Scoring;
using Microsoft.ML.Runtime;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Quantizers;
using RepVgg.Reparameterization;
using RepVgg.Runtime;
using RepVgg.TorchSharp;
using RepVgg.Training;
using RepVgg.Training.Data;
using static Microsoft.ML.RepVgg.Interop.TrainingLog;

namespace Microsoft.ML.RepVgg;

/// <summary>Trains a multi-branch RepVGG image classifier and fuses each block into one 3x3 convolution.</summary>
/// <remarks>
/// Created by <c>mlContext.MulticlassClassification.Trainers.RepVgg(...)</c>. Rows are read once and cached (see <see cref="Options.CacheLimit"/>).
/// Source of the network architecture: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021.
/// </remarks>
public sealed partial class RepVggTrainer : IEstimator<RepVggTransformer>
{
    private const string LogName = "RepVgg";
    private const string Role = "feature";
    private const double MebiByte = 1 << 20;

    private readonly IHostEnvironment? _environment;
    private readonly IHost? _host;
    private readonly Options _options;

    internal RepVggTrainer(IHostEnvironment? environment, Options options)
    {
        options.Check();
        _environment = environment;
        _host = environment?.Register(LogName);
        _options = options.Clone();
    }

    /// <inheritdoc/>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        // ML.NET's maximum-entropy trainer checks the columns and computes the output shape. It does not accept images, so it gets a vector of floats instead.
        var shown = inputSchema;
        if (inputSchema.Find(_options.FeatureColumnName) is { } feature && FeatureInput.Check(feature, Role))
            shown = new SchemaShape([.. inputSchema.Where(column => column.Name != _options.FeatureColumnName), SchemaShapes.FloatVector(_options.FeatureColumnName, 1)]);
        var context = new MLContext(seed: 1);
        var output = context.MulticlassClassification.Trainers
            .LbfgsMaximumEntropy(_options.LabelColumnName, _options.FeatureColumnName, _options.ExampleWeightColumnName)
            .GetOutputSchema(shown);
        if (_options.ScoreColumnName != StockChain.Score)
            output = context.Transforms.CopyColumns(_options.ScoreColumnName, StockChain.Score).GetOutputSchema(output);
        if (_options.PredictedLabelColumnName != StockChain.PredictedLabel)
            output = context.Transforms.CopyColumns(_options.PredictedLabelColumnName, StockChain.PredictedLabel).GetOutputSchema(output);

        string[] added = [_options.ScoreColumnName, _options.PredictedLabelColumnName];
        return new SchemaShape([.. inputSchema.Where(column => !added.Contains(column.Name)), .. output.Where(column => added.Contains(column.Name))]);
    }

    /// <summary>Reads the data, trains the network, and fuses its branches.</summary>
    /// <param name="input">The training data.</param>
    /// <returns>The fused classifier.</returns>
    /// <exception cref="ArgumentException">A column is missing or of the wrong type, there are fewer than two classes, or an option does not fit the data.</exception>
    /// <exception cref="InvalidDataException">The file of pretrained weights is damaged, or does not contain a RepVGG network; or the file of RepOptimizer's scales is damaged, or contains no scales.</exception>
    /// <exception cref="IOException">The file of pretrained weights or of RepOptimizer's scales cannot be read, or a checkpoint cannot be written.</exception>
    /// <exception cref="InvalidOperationException">A row is invalid (see <see cref="RepVggScoringOptions.InvalidRows"/>), there is no valid row, or all rows have the same label.</exception>
    /// <exception cref="TrainingDivergedException">Training diverged: the loss or a weight is not finite, or the running mean of the loss exceeds 20 ln(number of classes). See <see cref="Options.OnDivergence"/>.</exception>
    /// <exception cref="OverflowException">Training succeeded, but a fused kernel or bias is too large for 32-bit floats, as with a batch norm whose running variance is almost 0. A smaller learning rate or more weight decay can help.</exception>
    /// <exception cref="DeviceUnavailableException">The requested device cannot be used, and MLContext.FallbackToCpu is false.</exception>
    /// <exception cref="InsufficientMemoryException">The device does not have enough memory for the network and a batch; the message suggests a smaller batch size.</exception>
    /// <exception cref="OperationCanceledException">Training was cancelled (see <see cref="Options.OnCancellation"/>).</exception>
    public RepVggTransformer Fit(IDataView input)
    {
        using var channel = _host?.Start("Training");
        var trained = Train(input, channel);
        var (features, result) = (trained.Features, trained.Result);
        var scoring = _options.ToScoringOptions(_host);
        string score = _options.ScoreColumnName, predictedLabel = _options.PredictedLabelColumnName;
        if (!Fusion.CanFuse(trained.Architecture.TrainingForm))
        {
            Log(channel, $"The training form {trained.Architecture.TrainingForm} cannot be fused, so the model scores in its training form and cannot be saved or exported.", isWarning: true);
            var engine = new TrainingFormEngine(trained.Architecture, result.Weights, features.Height, features.Width, trained.Normalization, scoring.Threads);
            return WithResults(new RepVggTransformer(trained.Architecture, engine, features, score, predictedLabel, trained.Label, scoring));
        }
        var network = trained.Quantized
            ?? QuantizedNetwork.WithoutIntegers(DeployNetwork.FromTrainingForm(trained.Architecture, result.Weights, features.Height, features.Width, trained.Normalization));
        if (trained.Calibration is { } calibration)
            network = network.WithTemperature(calibration.Temperature);
        return WithResults(new RepVggTransformer(network, features, score, predictedLabel, trained.Label, scoring) { Calibration = trained.Calibration });

        RepVggTransformer WithResults(RepVggTransformer transformer)
        {
            transformer.History = result.History;
            transformer.BestEpoch = result.BestEpoch;
            transformer.AveragedEpochs = result.Average is { IsReturned: true } average ? average.Epochs : [];
            transformer.StopReason = result.StopReason;
            transformer.SkippedTrainingRowCount = trained.SkippedRows;
            return transformer;
        }
    }

    /// <summary>Reads the data and trains the network; see <see cref="Fit"/>.</summary>
    internal TrainedNetwork Train(IDataView input)
    {
        using var channel = _host?.Start("Training");
        return Train(input, channel);
    }

    /// <summary>Reads the training data, and measures the normalization unless the options have one.</summary>
    /// <returns>The normalization, and the size of the network's input in pixels.</returns>
    internal (Normalization Normalization, int Height, int Width) Measure(IDataView input) =>
        Prepare(input, (ulong)(_options.Seed ?? 1), needsValidation: false, channel: null, run => (run.Normalization, run.Features.Height, run.Features.Width));

    private TrainedNetwork Train(IDataView input, IChannel? channel)
    {
        ArgumentNullException.ThrowIfNull(input);
        ulong seed = (ulong)(_options.Seed ?? _host?.Rand.Next() ?? 1);
        return Prepare(input, seed, needsValidation: true, channel, run =>
        {
            WarnOfLearningRates(run, channel);
            var result = TrainingLoop.Run(run.Backend, run.Network, run.Training, run.Validation, run.Normalization, run.Options, Report(channel), _options.CancellationToken);
            if (result.StopReason == StopReason.Cancelled && (_options.OnCancellation == CancellationBehavior.Throw || result.BestEpoch == 0))
                throw new OperationCanceledException("Training was cancelled.", _options.CancellationToken);
            if (result.Divergence is { } divergence)
                Log(channel, FormattableString.Invariant($"The model is that of epoch {result.BestEpoch}, the best one before training diverged. {divergence.Message}"), isWarning: true);
            if (result.Average is { } average)
                Log(channel, Describe(average, result), isWarning: false);
            var quantized = _options.Quantization == QuantizationMode.None ? null : Quantize(run, result);
            var calibration = _options.CalibrateTemperature ? Calibrate(run, quantized, channel) : null;
            return new TrainedNetwork(run.Network.Architecture, run.Features, run.Normalization, run.Label, result, run.SkippedRows, calibration, quantized);
        });
    }

    /// <summary>Reads the data, and creates the network with its initial weights.</summary>
    /// <param name="input">The training data.</param>
    /// <param name="seed">Seed of the initial weights and of the validation split.</param>
    /// <param name="needsValidation">Whether a separate validation set is read. Rows that are split off for validation are left out of the training set in any case.</param>
    /// <param name="channel">The log; may be null.</param>
    /// <param name="use">Uses them; they are released afterwards.</param>
    private T Prepare<T>(IDataView input, ulong seed, bool needsValidation, IChannel? channel, Func<PreparedTraining, T> use)
    {
        GetOutputSchema(SchemaShapes.Of(input.Schema));
        var label = input.Schema[_options.LabelColumnName];
        int classes = CountClasses(label);
        var pretrained = PretrainedWeights.Read(_options.PretrainedWeightsPath, _options.TrainingForm ?? _options.Architecture?.TrainingForm, _options.PretrainedWeightsOptions);
        var (architecture, features) = Resolve(input, pretrained, channel);
        var options = _options.ToTrainingOptions(seed, features.Height, features.Width);
        options.Validate(features.Height, features.Width);
        int workingSize = _options.WorkingSizeFor(features.Height, features.Width);
        options = TrainingLoop.Prepare(options, architecture);
        if (_options.Distillation is { } distillation)
            options = options with { Distillation = distillation.Resolve(KeyValues.Read(label, classes), features.Channels, features.Height, features.Width, _options.NumberOfThreads) };
        using var backend = CreateBackend(architecture, classes, channel);
        var quantized = _options.Quantization == QuantizationMode.Aware ? (_options.QuantizationOptions ?? new QuantizationOptions()).Layers : null;
        using var network = new TrainingNetwork(architecture, classes, backend, seed, _options.FrozenStages, _options.FreezeBatchNorm, _options.BranchScales, quantized);
        if (pretrained is not null)
        {
            // Not an argument of the call, which is not evaluated if there is no channel.
            string imported = pretrained.ImportInto(network);
            channel?.Info(MessageSensitivity.UserData, "{0}", imported);
            if (options.Optimizer is RepOptimizerOptions)
                Log(channel, "RepOptimizer multiplies the gradients of the pretrained kernels. The kernels are not initialised from its scales, which is only for training from random weights.", isWarning: false);
            pretrained.Log(architecture, _options.Architecture is not null, _options.Normalization, (text, isWarning) => Log(channel, text, isWarning));
        }
        var expected = pretrained?.Normalization;
        long skippedRows = 0;
        using var samples = Read(
            input,
            features.IsVector || options.Augmentation.RandomResizedCrop is null
                ? TrainingImages.AtNetworkSize(features, classes, _options.CacheLimit)
                : TrainingImages.AtOwnSize(input, features, classes, workingSize, isDivided: _options is { ValidationSet: null, ValidationSetFraction: > 0 } or { Quantization: QuantizationMode.PostTraining }, hashes: _options.CheckpointPath is not null, _options.CacheLimit),
            features, isTraining: true, channel, ref skippedRows);
        using var validationSamples = needsValidation && _options.ValidationSet is { } set
            ? Read(CheckValidation(set, label), TrainingImages.AtNetworkSize(features, classes, _options.CacheLimit), features, isTraining: false, channel, ref skippedRows)
            : null;
        var (training, validation) = Divide(samples, validationSamples, seed);
        if (samples.Whole is { } whole)
        {
            channel?.Info(
                MessageSensitivity.None,
                "The training images are kept whole, with shorter sides of up to {0} pixels: {1:f1} MiB in memory and {2:f1} MiB in a temporary file. {3} of {4} are decoded in every epoch.",
                workingSize, whole.MemoryBytes / MebiByte, whole.SpilledBytes / MebiByte, whole.UndecodedCount, training.Count);
        }
        if (_options.ClassWeights is { } weights)
            options = options with { ClassWeights = weights.Resolve(KeyValues.Read(label, classes), TrainingLoop.CountLabels(training)) };

        var normalization = _options.Normalization ?? expected;
        var outliers = FindOutliers(training, "training", isMeasured: normalization is null, channel);
        if (validation is not null)
            FindOutliers(validation, "validation", isMeasured: false, channel);
        normalization ??= PixelStatistics.Measure(training, outliers?.MeasurementLimit ?? float.PositiveInfinity, _options.NumberOfThreads);
        channel?.Info(MessageSensitivity.None, "{0}, training form {1}, by {2} on {3}: {4} images of {5} x {6} x {7}, {8} classes, {9} to validate on, seed {10}.", architecture.Name, architecture.TrainingForm, options.Optimizer.Name, backend.Description, training.Count, features.Channels, features.Height, features.Width, classes, validation?.Count ?? 0, seed);

        return use(new PreparedTraining(backend, network, features, label, training, validation, normalization, options, skippedRows, samples));
    }

    /// <summary>Fits the temperature to the validation images, with the quantized network or with the weights of the result.</summary>
    private TemperatureScaling Calibrate(PreparedTraining run, QuantizedNetwork? quantized, IChannel? channel)
    {
        var validation = run.Validation!;
        var cancellation = CancellationAfterTraining;
        var logits = quantized is not null ? Score(quantized, validation) : TrainingLoop.Evaluate(run.Backend, run.Network, validation, run.Normalization, _options.BatchSize, cancellation)
            ?? throw new OperationCanceledException("Training was cancelled.", cancellation);
        var calibration = TemperatureScaling.Fit(KeyValues.Read(run.Label, validation.Classes), logits, [.. Enumerable.Range(0, validation.Count).Select(validation.LabelOf)]);
        Log(channel, calibration.Describe(), isWarning: calibration.IsAtLimit);
        return calibration;
    }

    /// <summary>The token for what is computed after training: a run that is cancelled and returns its best model completes it.</summary>
    private CancellationToken CancellationAfterTraining => _options.OnCancellation == CancellationBehavior.ReturnBest ? CancellationToken.None : _options.CancellationToken;

    internal static string Describe(CheckpointAverage average, TrainingResult result)
    {
        string epochs = string.Join(", ", average.Epochs);
        if (average.ValidationLoss is not { } loss)
            return $"The model has the average of the weights of the epochs {epochs}.";
        var best = result.History[result.BestEpoch - 1];
        string metrics = string.Create(CultureInfo.InvariantCulture, $"validation loss {loss:f4}, accuracy {average.ValidationAccuracy:f4}; that of epoch {best.Epoch}: {best.ValidationLoss:f4}, {best.ValidationAccuracy:f4}");
        return average.IsReturned
            ? $"The model has the average of the weights of the epochs {epochs} ({metrics})."
            : $"The average of the weights of the epochs {epochs} is worse than epoch {best.Epoch}, whose weights the model has ({metrics}).";
    }

    private static int CountClasses(DataViewSchema.Column label)
    {
        ulong count = label.Type is KeyDataViewType key ? key.Count : 0;
        if (KeyValues.HasNone(label))
            throw new ArgumentException($"The label column '{label.Name}' has no classes: the data that its key mapping was fitted to has no rows, or no row with a label. Check the folder, file or filter that the data comes from.");
        if (count < 2)
            throw new ArgumentException($"The label column '{label.Name}' has one class, '{KeyValues.Read(label, 1)[0]}'; at least two are needed.");
        if (count > 1_000_000)
            throw new ArgumentException($"The label column '{label.Name}' has {count} classes, more than a classifier can have. Map it with MapValueToKey.");
        return (int)count;
    }

    private (RepVggArchitecture Architecture, FeatureInput Features) Resolve(IDataView input, PretrainedWeights? pretrained, IChannel? channel)
    {
        var schema = input.Schema;
        var named = pretrained is null ? _options.Architecture : pretrained.ArchitectureToTrain(_options.Architecture);
        bool isImage = schema.GetColumnOrNull(_options.FeatureColumnName) is { } column && FeatureInput.IsImage(column.Type);
        int? channels = _options.ImageChannels ?? (isImage ? pretrained?.Architecture.InputChannels : null);
        var settings = _options.ToImageSettings(Role, _options.FeatureColumnName, channels);
        var (height, width) = pretrained?.ImageSize ?? DefaultImageSize(input, named, settings, channel);
        var features = FeatureInput.Create(schema, settings, height, width);
        var architecture = named ?? RepVggVariants.ForImageSize(Math.Max(features.Height, features.Width));
        pretrained?.CheckChannels(_options.FeatureColumnName, features.Channels);
        architecture = architecture with { InputChannels = features.Channels, TrainingForm = _options.TrainingForm ?? architecture.TrainingForm };
        architecture = pretrained?.PaddedFor(architecture, features.Height, features.Width) ?? architecture;
        architecture.Validate();
        if (_options.FrozenStages > architecture.Stages.Length)
            throw new ArgumentException($"FrozenStages is {_options.FrozenStages}, but {architecture.Name} has {architecture.Stages.Length} stages, the stem included.");
        architecture.ValidateImageSize(features.Height, features.Width);
        RepVggImageOptions.CheckNormalization(_options.Normalization, features.Channels);
        MultiViewEngine.Check(features, _options.ToScoringOptions(null).Views);
        if (_options.Quantization != QuantizationMode.None && !Fusion.CanFuse(architecture.TrainingForm))
            throw new ArgumentException($"Quantization is {_options.Quantization}, but the training form {architecture.TrainingForm} cannot be fused, and the fused network is quantized. Leave it out, or train another form.");
        if (_options.Quantization != QuantizationMode.None)
            _options.QuantizationOptions?.Check(architecture);
        if (_options.CalibrateTemperature && !Fusion.CanFuse(architecture.TrainingForm))
            throw new ArgumentException($"CalibrateTemperature is true, but the training form {architecture.TrainingForm} cannot be fused, and the temperature is a part of the fused network. Leave it out.");
        return (architecture, features);
    }

    /// <summary>Chooses the size of the network's input for a column of images if the options and the pretrained weights specify none.</summary>
    private (int Height, int Width) DefaultImageSize(IDataView input, RepVggArchitecture? architecture, ImageSettings settings, IChannel? channel)
    {
        int side = (architecture ?? RepVggVariants.A0).DefaultImageSize;
        if (architecture is not null || settings.Height is not null || settings.Width is not null || input.Schema.GetColumnOrNull(settings.ColumnName) is not { } images || !FeatureInput.IsImage(images.Type))
            return (side, side);
        if (images.Type is ImageDataViewType { Height: > 0, Width: > 0 } type)
            return ImageSizes.Choose([(type.Width, type.Height)]);
        var sizes = ImageSizes.Measure(input, images, settings.Decoding);
        if (sizes.Count == 0)
            return (side, side);
        var (height, width) = ImageSizes.Choose(sizes);
        channel?.Info(
            MessageSensitivity.None,
            "The images of the first rows have {0} x {1} to {2} x {3} pixels, so the network is trained on {4} x {5} pixels (width x height). Options.ImageWidth and ImageHeight set another size.",
            sizes.Min(size => size.Width), sizes.Min(size => size.Height), sizes.Max(size => size.Width), sizes.Max(size => size.Height), width, height);
        return (height, width);
    }

    /// <summary>Reads the rows of a set, and disposes the images if a row cannot be used.</summary>
    private TrainingImages Read(IDataView view, TrainingImages images, FeatureInput features, bool isTraining, IChannel? channel, ref long skippedRows)
    {
        string what = isTraining ? "training data" : "validation data";
        try
        {
            var (skipped, reason, lostLabels, weightless) = TrainingRows.Read(view, features, _options.LabelColumnName, isTraining ? _options.ExampleWeightColumnName : null, images, _options.InvalidRows == InvalidRowHandling.Skip, _options.CancellationToken, _options.NumberOfThreads);
            skippedRows += skipped;
            if (skipped > 0)
                channel?.Warning(MessageSensitivity.UserData, "{0} rows of the {1} were skipped; the first: {2}", skipped, what, reason);
            if (images.Samples.Count == 0)
            {
                string weighted = isTraining && _options.ExampleWeightColumnName is { } name ? $" with a weight of more than 0 in the column '{name}'" : "";
                throw new InvalidOperationException(skipped > 0 ? $"None of the {skipped} rows of the {what} can be used; the first: {reason}" : $"The {what} has no rows{weighted}.");
            }
            if (isTraining && lostLabels.Count > 0)
            {
                throw new InvalidOperationException($"All rows of {Classes(lostLabels)} would be skipped, so that the model could never predict it. The first skipped row: {reason} Correct the rows, or leave the class out.");
            }
            if (weightless.Count > 0)
                Log(channel, $"All rows of {Classes(weightless)} have the weight 0 in column '{_options.ExampleWeightColumnName}', so that the model does not learn to predict it.", isWarning: true);
            return images;
        }
        catch
        {
            images.Dispose();
            throw;
        }

        string Classes(IReadOnlyList<int> labels)
        {
            var names = KeyValues.Read(view.Schema[_options.LabelColumnName], images.Samples.Classes);
            return $"{(labels.Count == 1 ? "the class" : "the classes")} {MessageText.Join([.. labels.Select(label => $"'{names[label]}'")], separator: ", ")}";
        }
    }

    /// <summary>Finds images with absurd pixels and warns of them.</summary>
    /// <param name="samples">The images.</param>
    /// <param name="set">Name of the set.</param>
    /// <param name="isMeasured">Whether the normalisation is measured from the set.</param>
    /// <param name="channel">The log; may be null.</param>
    private PixelOutliers? FindOutliers(ISampleSource samples, string set, bool isMeasured, IChannel? channel)
    {
        var outliers = PixelOutliers.Find(samples, _options.CancellationToken);
        if (outliers is not null)
        {
            string use = isMeasured && outliers.AreLeftOut
                ? FormattableString.Invariant($"The normalisation is computed without pixels beyond {outliers.MeasurementLimit:g6} ({PixelOutliers.MeasurementFactor} times the median, and at least 255), but the images are used in training.")
                : "The images are used.";
            Log(channel, $"{outliers.Describe(set)} {use} Correct or remove the rows if the values are errors.", isWarning: true);
        }
        return outliers;
    }

    /// <summary>Checks that the label keys of the validation set stand for the same classes as those of the training set. Otherwise the validation metrics would be wrong without an error.</summary>
    private IDataView CheckValidation(IDataView set, DataViewSchema.Column trainingLabel)
    {
        try
        {
            GetOutputSchema(SchemaShapes.Of(set.Schema));
        }
        catch (ArgumentException error)
        {
            throw new ArgumentException($"Options.ValidationSet does not fit: {error.Message.TrimEnd('.')}. Transform it with the same fitted transformers as the training data.", error);
        }
        KeyValues.CheckSame(set.Schema[_options.LabelColumnName], trainingLabel, CountClasses(trainingLabel));
        return set;
    }

    private (ISampleSource Training, ISampleSource? Validation) Divide(TrainingImages images, TrainingImages? validation, ulong seed)
    {
        var samples = images.Samples;
        int present = Enumerable.Range(0, samples.Count).Select(samples.LabelOf).Distinct().Take(2).Count();
        if (present < 2)
            throw new InvalidOperationException($"Every row has the same label in column '{_options.LabelColumnName}'; at least two classes are needed.");
        if (_options.ValidationSet is not null)
            return (samples, validation?.Samples);
        if (_options.ValidationSetFraction == 0)
            return (samples, null);
        SampleSubset first, second;
        try
        {
            (first, second) = SampleSubset.Split(samples, _options.ValidationSetFraction, seed);
        }
        catch (ArgumentException error)
        {
            throw new InvalidOperationException(
                FormattableString.Invariant($"{samples.Count} images are too few to split off {_options.ValidationSetFraction} of each class for validation. ")
                + "Set Options.ValidationSetFraction = 0 to train without validation, or give Options.ValidationSet.", error);
        }
        return (first, images.AtNetworkSize(second, _options.CancellationToken, _options.NumberOfThreads));
    }

    private Backend CreateBackend(RepVggArchitecture architecture, int classes, IChannel? channel)
    {
        var (gpuDeviceId, fallbackToCpu) = CatalogEnvironment.GpuSettings(_environment);
        return new DeviceChoice(_options.Device, gpuDeviceId, fallbackToCpu, _options.NumberOfThreads, _options.Bfloat16, architecture, classes)
        {
            Log = (text, isWarning) => Log(channel, text, isWarning),
        }.Create();
    }

    /// <summary>Writes the metrics of each epoch to the log, and passes every progress report to the user's callback.</summary>
    private Action<TrainingProgress> Report(IChannel? channel) => progress =>
    {
        if (progress.EpochResult is { } epoch)
        {
            string validation = epoch.ValidationLoss is { } loss ? string.Create(CultureInfo.InvariantCulture, $" validation loss {loss:f4}, accuracy {epoch.ValidationAccuracy:f4};") : "";
            channel?.Info(MessageSensitivity.None, "{0}", string.Create(
                CultureInfo.InvariantCulture,
                $"Epoch {epoch.Epoch} of {progress.Epochs}: loss {epoch.TrainingLoss:f4}, accuracy {epoch.TrainingAccuracy:f4};{validation} {epoch.TrainingImagesPerSecond:f0} training images/s, {(int)progress.Remaining.TotalHours:00}:{progress.Remaining:mm\\:ss} left."));
        }
        _options.MetricsCallback?.Invoke(progress);
    };
}
