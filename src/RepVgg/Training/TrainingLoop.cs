using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;

namespace RepVgg.Training;

/// <summary>Trains a network, on any backend.</summary>
internal static partial class TrainingLoop
{
    /// <summary>Trains a network and copies the best weights to it.</summary>
    /// <remarks>
    /// On the CPU backend the result depends on the data, the options and the network's initial weights alone: it does
    /// not depend on the number of threads or on whether the run was interrupted and resumed from its checkpoint. The
    /// times in the history are measured and differ between runs.
    /// </remarks>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="network">The network. Training starts from its current weights, unless a checkpoint is resumed.</param>
    /// <param name="train">The training set.</param>
    /// <param name="validation">The validation set; null for none. The whole set is evaluated after every epoch, in evaluation mode.</param>
    /// <param name="normalization">Applied to every image before the network.</param>
    /// <param name="options">The training options.</param>
    /// <param name="progress">Called after every batch, on the calling thread; may be null.</param>
    /// <param name="cancellationToken">Checked before every batch. Cancellation does not throw: <see cref="TrainingResult.StopReason"/> reports it, and the result has the best weights so far.</param>
    /// <returns>The best weights, the history, and how the run ended.</returns>
    /// <exception cref="ArgumentException">The options or the data are invalid; the message states which value and why.</exception>
    /// <exception cref="TrainingDivergedException">Training diverged: the loss or a weight is not finite, or the loss is far too large. See also <see cref="TrainingOptions.ReturnBestOnDivergence"/>.</exception>
    /// <exception cref="InvalidOperationException">The checkpoint belongs to another run.</exception>
    /// <exception cref="InvalidDataException">The checkpoint is damaged.</exception>
    /// <exception cref="IOException">The checkpoint cannot be written.</exception>
    public static TrainingResult Run(
        Backend backend,
        TrainingNetwork network,
        ISampleSource train,
        ISampleSource? validation,
        Normalization normalization,
        TrainingOptions options,
        Action<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default) =>
        Run(backend, network, train, validation, normalization, options, progress, TimeProvider.System, cancellationToken);

    /// <summary>Trains a network; times are measured with the given clock.</summary>
    internal static TrainingResult Run(
        Backend backend,
        TrainingNetwork network,
        ISampleSource train,
        ISampleSource? validation,
        Normalization normalization,
        TrainingOptions options,
        Action<TrainingProgress>? progress,
        TimeProvider clock,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(backend);
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(train);
        ArgumentNullException.ThrowIfNull(normalization);
        ArgumentNullException.ThrowIfNull(options);
        CheckInputs(network, train, validation, normalization, options);
        options = Prepare(options, network.Architecture);
        using var run = new TrainingRun(backend, network, train, validation, normalization, options, progress, clock, cancellationToken);
        return run.Execute();
    }

    /// <summary>Checks the network, the data and the options before a run starts.</summary>
    private static void CheckInputs(TrainingNetwork network, ISampleSource train, ISampleSource? validation, Normalization normalization, TrainingOptions options)
    {
        options.Validate(train.Height, train.Width);
        CheckImages(network, train, "training");
        network.Architecture.ValidateImageSize(train.Height, train.Width);
        if (normalization.Mean.Length != train.Channels || normalization.Scale.Length != train.Channels)
            throw new ArgumentException($"The normalisation has {normalization.Mean.Length} means and {normalization.Scale.Length} scales; the images have {train.Channels} channels.", nameof(normalization));
        int batches = BatchLoader.TrainingBatches(train.Count, options.BatchSize);
        if (options.GradientAccumulationSteps > batches)
            throw new ArgumentException($"GradientAccumulationSteps is {options.GradientAccumulationSteps}, but an epoch has {batches} batch{(batches == 1 ? "" : "es")}: {train.Count} images, {options.BatchSize} per batch. Set it to {batches} or less, or make BatchSize smaller.", nameof(options));
        CheckLabels(train, options.MinimumSamplesPerClass);
        if (options.Augmentation.RandomResizedCrop is null)
            SampleShape.CheckSizes(train, "training");
        if (options.ClassWeights is { } weights)
            ClassWeights.Check(weights, train.Classes);
        options.Distillation?.Validate(train.Channels, train.Height, train.Width, train.Classes);

        if (validation is null)
            return;
        CheckImages(network, validation, "validation");
        SampleShape.CheckSizes(validation, "validation");
        if ((validation.Height, validation.Width) != (train.Height, train.Width))
            throw new ArgumentException($"The validation images are {validation.Width}x{validation.Height} pixels, the training images {train.Width}x{train.Height}.", nameof(validation));
    }

    /// <summary>Checks that the options have a meaning for an architecture, and reads the file of scales if RepOptimizer has one.</summary>
    /// <param name="options">The options.</param>
    /// <param name="architecture">The architecture.</param>
    /// <returns>The options, with the scales that were read.</returns>
    /// <exception cref="ArgumentException">An option does not suit the training form, or scales are those of another network.</exception>
    /// <exception cref="InvalidDataException">The file of scales cannot be used.</exception>
    /// <exception cref="IOException">The file of scales cannot be read.</exception>
    public static TrainingOptions Prepare(TrainingOptions options, RepVggArchitecture architecture)
    {
        var form = architecture.TrainingForm;
        if (options.CustomL2 && !TrainingForms.HasCustomL2(form))
            throw new ArgumentException($"CustomL2 is true, but the custom L2 penalty is defined for the 3x3 and the 1x1 branch of a RepVGG block, not for the training form {form}. Leave it out, so that ordinary weight decay applies.", nameof(options));
        if (options.StochasticDepth > 0 && !TrainingForms.HasIdentityBranch(form))
            throw new ArgumentException(FormattableString.Invariant($"StochasticDepth is {options.StochasticDepth}, but the training form {form} has no identity branch that is computed by itself, to which it applies. Set it to 0."), nameof(options));
        return options.Optimizer is RepOptimizerOptions repOptimizer ? options with { Optimizer = repOptimizer.For(architecture) } : options;
    }

    private static void CheckImages(TrainingNetwork network, ISampleSource source, string name)
    {
        if (source.Count == 0)
            throw new ArgumentException($"The {name} set is empty.");
        if (source.Channels != network.Architecture.InputChannels)
            throw new ArgumentException($"The {name} images have {source.Channels} channel(s), but {network.Architecture.Name} reads {network.Architecture.InputChannels}.");
        if (source.Classes != network.Classes)
            throw new ArgumentException($"The {name} set has {source.Classes} classes, but the network has {network.Classes}.");
    }

    /// <summary>Counts the samples of each class.</summary>
    public static int[] CountLabels(ISampleSource samples)
    {
        var counts = new int[samples.Classes];
        for (int i = 0; i < samples.Count; i++)
            counts[samples.LabelOf(i)]++;
        return counts;
    }

    private static void CheckLabels(ISampleSource train, int minimum)
    {
        int[] counts = CountLabels(train);
        int present = counts.Count(count => count > 0);
        if (present < 2)
            throw new ArgumentException($"All {train.Count} training samples have label {Array.FindIndex(counts, count => count > 0)}; a classifier needs at least two classes.", nameof(train));
        int[] scarce = [.. Enumerable.Range(0, counts.Length).Where(label => counts[label] < minimum)];
        if (scarce.Length > 0)
        {
            string list = string.Join(", ", scarce.Take(10).Select(label => $"{label} ({counts[label]})")) + (scarce.Length > 10 ? ", ..." : "");
            throw new ArgumentException($"Classes with fewer training samples than {nameof(TrainingOptions.MinimumSamplesPerClass)} = {minimum}: {list}. Add samples, drop those classes, or lower the option.", nameof(train));
        }
    }
}

/// <summary>One run of the training loop: its state and the work of each epoch.</summary>
internal sealed partial class TrainingRun : IDisposable
{
    private readonly Backend _backend;
    private readonly TrainingNetwork _network;
    private readonly ISampleSource _train;
    private readonly ISampleSource? _validation;
    private readonly TrainingOptions _options;
    private readonly Normalization _normalization;
    private readonly ImageAugmenter _augmenter;
    private readonly CancellationToken _cancellation;
    private readonly Optimizer _optimizer;
    private readonly WeightAverage? _average;
    private readonly MetricAccumulator _metrics;
    private readonly TrainingStep _step;
    private readonly TeacherTargets? _teacher;
    private readonly ProgressReporter _reporter;
    private readonly DivergenceDetector _divergence;
    private readonly DivergenceDiagnosis _diagnosis;
    private readonly List<EpochResult> _history = [];
    private TrainingCheckpoint? _checkpoint;
    private readonly BestEpochs _best;

    /// <summary>The weights before the first epoch, for the diagnosis of a divergence; null if it does not need them, and once there are best weights.</summary>
    private StateDict? _initial;
    private float _learningRate;

    public TrainingRun(
        Backend backend, TrainingNetwork network, ISampleSource train, ISampleSource? validation, Normalization normalization,
        TrainingOptions options, Action<TrainingProgress>? progress, TimeProvider clock, CancellationToken cancellation)
    {
        (_backend, _network, _train, _validation, _normalization, _options, _cancellation) = (backend, network, train, validation, normalization, options, cancellation);
        _augmenter = new ImageAugmenter(options.Augmentation, normalization, train.Channels, train.Height, train.Width);
        BatchesPerEpoch = BatchLoader.TrainingBatches(train.Count, options.BatchSize);
        _reporter = new ProgressReporter(progress, clock, options.Epochs, BatchesPerEpoch, train.Count, validation?.Count ?? 0);
        _divergence = new DivergenceDetector(network.Classes);
        _diagnosis = new DivergenceDiagnosis(backend, network, train, _augmenter, options, cancellation);
        // Before the moving average copies the weights. A checkpoint that is resumed overwrites both.
        network.PrepareFor(options.Optimizer);
        var repOptimizer = options.Optimizer as RepOptimizerOptions;
        _optimizer = backend.CreateOptimizer(
            network.ParameterGroups(options.ActualWeightDecay, options.HeadLearningRateScale, decayBranchKernels: !options.CustomL2, repOptimizer?.Multipliers(network.Architecture), options.LayerLearningRateDecay),
            repOptimizer?.Base ?? options.Optimizer,
            options.GradientClipNorm);
        if (options.EmaDecay > 0)
            _average = backend.CreateWeightAverage([.. network.Parameters, .. network.Buffers]);
        _best = new BestEpochs(options);
        _metrics = backend.CreateMetricAccumulator();
        if (options.Distillation is { } distillation)
            _teacher = new TeacherTargets(distillation, normalization, train.Height, train.Width);
        _step = new TrainingStep(backend, network, _optimizer, _average, _metrics, options);
    }

    private int BatchesPerEpoch { get; }

    public TrainingResult Execute()
    {
        if (Resume() is not { } resumedAfter)
            return new TrainingResult(Snapshot(1, 0), 0, StopReason.Cancelled, _history, 0);
        _initial = _best.Best is null && _diagnosis.ComparesDevice ? _network.ExportState() : null;
        var end = StopReason.Completed;
        TrainingDivergedException? divergence = null;
        try
        {
            for (int epoch = resumedAfter + 1; epoch <= _options.Epochs; epoch++)
            {
                if (StoppedEarly())
                    break;
                if (!RunEpoch(epoch))
                {
                    end = StopReason.Cancelled;
                    break;
                }
            }
        }
        catch (TrainingDivergedException diverged)
        {
            divergence = _diagnosis.Explain(diverged, _best.Best?.Weights ?? _initial, _best.Best?.Epoch ?? 0);
            if (_best.Best is null || !_options.ReturnBestOnDivergence)
                throw divergence;
            end = StopReason.Diverged;
        }
        if (end == StopReason.Completed && _history.Count < _options.Epochs)
            end = StopReason.EarlyStopped;

        var weights = _best.Best?.Weights ?? Snapshot(1, 0);
        CheckpointAverage? average = null;
        if (end is StopReason.Completed or StopReason.EarlyStopped && _best.All.Count > 1)
        {
            var averaged = _best.Average();
            average = Validate(averaged);
            if (average is null)
                end = StopReason.Cancelled;
            else if (average.IsReturned)
                weights = averaged;
        }
        _network.ImportState(weights);
        return new TrainingResult(weights, _best.Best?.Epoch ?? 0, end, _history, resumedAfter) { Average = average, Divergence = divergence };
    }

    public void Dispose()
    {
        _teacher?.Dispose();
        _metrics.Dispose();
        _average?.Dispose();
        _optimizer.Dispose();
    }

    private bool StoppedEarly() => _options.EarlyStoppingCriteria is { } stopping && stopping.ShouldStop(_history);

    /// <returns>False if the run was cancelled; the epoch is then not added to the history.</returns>
    private bool RunEpoch(int epoch)
    {
        var training = TrainingPass(epoch);
        if (training is null)
            return false;
        PassMetrics? validation = null;
        StateDict weights;
        // The averaged weights are validated and exported; training continues with the weights that are not averaged.
        _average?.Swap();
        try
        {
            if (_validation is not null)
            {
                validation = ValidationPass(epoch);
                if (validation is null)
                    return false;
                if (!double.IsFinite(validation.Loss))
                    throw new TrainingDivergedException(epoch, BatchesPerEpoch, validation.Loss, _learningRate);
            }
            weights = Snapshot(epoch, BatchesPerEpoch);
        }
        finally
        {
            _average?.Swap();
        }

        var result = new EpochResult(epoch, _learningRate, training.Loss, training.Accuracy, validation?.Loss, validation?.Accuracy)
        {
            TrainingImages = _train.Count,
            TrainingTime = training.Time,
            ValidationTime = validation?.Time ?? TimeSpan.Zero,
            ValidationTop5Accuracy = _network.Classes > MetricTotals.Top ? validation?.Top5Accuracy : null,
        };
        _history.Add(result);
        _best.Add(new EpochWeights(epoch, weights), _history);
        _initial = null;
        if (_checkpoint is not null)
        {
            var latest = _average is null ? weights : Snapshot(epoch, BatchesPerEpoch);
            _checkpoint.Write(new TrainingState(latest, _best.All, _optimizer.ExportState(), _average?.ExportState(), _history));
        }
        _reporter.EpochDone(result);
        return true;
    }

    private PassMetrics? TrainingPass(int epoch)
    {
        using var loader = BatchLoader.Training(_train, _augmenter, _options.BatchSize, _options.Seed, epoch, _backend, TrainingTargets.Of(_options, epoch, _train), _options.BalancedSampling, teacher: _teacher);
        var metrics = new PassMetrics();
        _metrics.ReadAndReset();
        _reporter.BeginPass(epoch, loader.Batches, isValidation: false);
        for (int step = 1; step <= loader.Batches; step++)
        {
            if (loader.Next(_cancellation) is not { } batch)
                return null;
            int stepsPerEpoch = TrainingStep.StepsPerEpoch(loader.Batches, _options);
            long batchesBefore = (long)(epoch - 1) * loader.Batches + step - 1, stepsBefore = (long)(epoch - 1) * stepsPerEpoch + (step - 1) / _options.GradientAccumulationSteps;
            _learningRate = _options.LearningRateScheduler.LearningRate(_options.ActualLearningRate, stepsBefore, stepsPerEpoch, _options.Epochs);
            _step.Run(batch, step - 1, loader, batchesBefore, stepsBefore, _learningRate);
            if (step % _backend.StepsBetweenReads == 0 || step == loader.Batches)
                _divergence.Check(metrics.Add(_metrics.ReadAndReset()), epoch, step, _learningRate);
            _reporter.Step(step, metrics, _learningRate);
        }
        return metrics;
    }

    /// <summary>Validates the average of the best epochs.</summary>
    /// <returns>Null if the run was cancelled.</returns>
    private CheckpointAverage? Validate(StateDict averaged)
    {
        if (_validation is null)
            return _best.Compare(null, _history);
        _network.ImportState(averaged);
        return ValidationPass(_history.Count, isReported: false) is { } metrics ? _best.Compare(metrics, _history) : null;
    }

    private PassMetrics? ValidationPass(int epoch, bool isReported = true)
    {
        using var loader = BatchLoader.Evaluation(_validation!, _augmenter, _options.BatchSize, _backend);
        var metrics = new PassMetrics();
        _metrics.ReadAndReset();
        if (isReported)
            _reporter.BeginPass(epoch, loader.Batches, isValidation: true);
        for (int step = 1; step <= loader.Batches; step++)
        {
            if (loader.Next(_cancellation) is not { } batch)
                return null;
            using (_backend.BeginStep(training: false))
            {
                var logits = _network.Forward(_backend.CreateInput(batch.Staged!));
                _metrics.Add(_backend.SoftmaxCrossEntropy(logits, batch.Labels, labelSmoothing: 0), logits, batch.Labels);
            }
            if (step % _backend.StepsBetweenReads == 0 || step == loader.Batches)
                metrics.Add(_metrics.ReadAndReset());
            if (isReported)
                _reporter.Step(step, metrics, _learningRate);
        }
        return metrics;
    }

    /// <summary>Exports the weights and checks that all values are finite.</summary>
    private StateDict Snapshot(int epoch, int step)
    {
        var state = _network.ExportState();
        foreach (var (_, tensor) in state)
        {
            foreach (float value in tensor.Values)
            {
                if (!float.IsFinite(value))
                    throw new TrainingDivergedException(epoch, step, double.NaN, _learningRate);
            }
        }
        return state;
    }

    /// <returns>The epoch after which the checkpoint was written; 0 if there is no checkpoint; null if the run was cancelled.</returns>
    private int? Resume()
    {
        if (_options.CheckpointPath is not { } path)
            return 0;
        CheckpointFile.CheckWritable(path);
        if (RunFingerprint.Of(_network, _train, _validation, _normalization, _options, _cancellation) is not { } fingerprint)
            return null;
        _checkpoint = new TrainingCheckpoint(path, fingerprint, new ModelDescription(_network.Architecture, _network.Classes, _train.Height, _train.Width, _normalization, []));
        if (_checkpoint.Read() is not { } state)
            return 0;
        try
        {
            // The best weights are needed at the end of the run; here it is checked that they fit.
            foreach (var best in state.Best)
                _network.ImportState(best.Weights);
            _network.ImportState(state.Weights);
            _optimizer.ImportState(state.Optimizer);
            _average?.ImportState(state.Average ?? new StateDict());
        }
        catch (ArgumentException error)
        {
            throw _checkpoint.Damaged(error);
        }
        _best.Restore(state.Best);
        _history.AddRange(state.History);
        return _history.Count;
    }
}
