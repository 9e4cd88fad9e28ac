using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;

namespace RepVgg.Training;

/// <summary>One run of the training loop: its state and the work of each epoch.</summary>
internal sealed class TrainingRun : IDisposable
{
    private readonly Backend _backend;
    private readonly TrainingNetwork _network;
    private readonly TrainingTask _task;
    private readonly TrainingOptions _options;
    private readonly CancellationToken _cancellation;
    private readonly Optimizer _optimizer;
    private readonly WeightAverage? _average;
    private readonly TrainingStep _step;
    private readonly ProgressReporter _reporter;
    private readonly DivergenceDetector _divergence;
    private readonly DivergenceDiagnosis? _diagnosis;
    private readonly List<EpochResult> _history = [];
    private TrainingCheckpoint? _checkpoint;
    private readonly BestEpochs _best;

    /// <summary>The weights before the first epoch, for the diagnosis of a divergence; null if it does not need them, and once there are best weights.</summary>
    private StateDict? _initial;
    private float _learningRate;

    /// <summary>Creates a run. Network, data and options have been checked.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="network">The network.</param>
    /// <param name="task">What the network is taught.</param>
    /// <param name="options">The options.</param>
    /// <param name="progress">Called after every batch; may be null.</param>
    /// <param name="clock">Measures the times.</param>
    /// <param name="cancellation">Checked before every batch.</param>
    public TrainingRun(Backend backend, TrainingNetwork network, TrainingTask task, TrainingOptions options, Action<TrainingProgress>? progress, TimeProvider clock, CancellationToken cancellation)
    {
        (_backend, _network, _task, _options, _cancellation) = (backend, network, task, options, cancellation);
        BatchesPerEpoch = BatchLoader.TrainingBatches(task.TrainingCount, options.BatchSize);
        _reporter = new ProgressReporter(progress, clock, options.Epochs, options.ProgressiveResizing is null ? [] : [.. Enumerable.Range(1, options.Epochs).Select(task.ShareOfPixels)], BatchesPerEpoch, task.TrainingCount, task.ValidationCount);
        _divergence = new DivergenceDetector(network.Classes);
        _diagnosis = task.CreateDiagnosis(cancellation);
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
        _step = new TrainingStep(backend, network, _optimizer, _average, task, options);
    }

    private int BatchesPerEpoch { get; }

    public TrainingResult Execute()
    {
        if (Resume() is not { } resumedAfter)
            return new TrainingResult(Snapshot(1, 0), 0, StopReason.Cancelled, _history, 0);
        _initial = _best.Best is null && _diagnosis is { ComparesDevice: true } ? _network.ExportState() : null;
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
            divergence = _diagnosis?.Explain(diverged, _best.Best?.Weights ?? _initial, _best.Best?.Epoch ?? 0) ?? diverged;
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

    /// <summary>Trains one step at each of some learning rates, which rise exponentially, until the loss diverges.</summary>
    /// <param name="first">The first learning rate.</param>
    /// <param name="last">The last learning rate.</param>
    /// <param name="steps">Number of steps.</param>
    /// <param name="progress">Called after every step; may be null.</param>
    /// <returns>The losses; null if the run was cancelled.</returns>
    public LearningRateCurve? FindLearningRate(double first, double last, int steps, Action<TrainingProgress>? progress)
    {
        var curve = new LearningRateCurve();
        var metrics = new PassMetrics();
        var reporter = new ProgressReporter(progress, TimeProvider.System, epochs: 1, stepCosts: [], steps, _task.TrainingCount, validationImages: 0);
        reporter.BeginPass(epoch: 1, steps, isValidation: false);
        _task.ReadMetrics(new PassMetrics());
        int step = 0;
        long batches = 0;
        // Small training sets are read several times, in another order and with other augmentations, as in training.
        for (int epoch = 1; step < steps; epoch++)
        {
            using var loader = _task.CreateTrainingLoader(epoch, epochOfOptions: 1);
            for (int index = 0; index < loader.Batches && step < steps; index++)
            {
                if (loader.Next(_cancellation) is not { } batch)
                    return null;
                _learningRate = LearningRateCurve.RateOf(first, last, step, steps);
                _step.Run(batch, index, loader, batches++, step, _learningRate);
                if ((index + 1) % _options.GradientAccumulationSteps != 0 && index + 1 < loader.Batches)
                    continue;
                bool goesOn = curve.Add(_learningRate, _task.ReadMetrics(metrics));
                reporter.Step(++step, metrics, _learningRate);
                if (!goesOn)
                    return curve;
            }
        }
        return curve;
    }

    public void Dispose()
    {
        _average?.Dispose();
        _optimizer.Dispose();
    }

    private bool StoppedEarly() => _options.EarlyStoppingCriteria is { } stopping && stopping.ShouldStop(_history);

    /// <returns>False if the run was cancelled; the epoch is then not added to the history.</returns>
    private bool RunEpoch(int epoch)
    {
        _network.FreezesStatistics = epoch > _options.Epochs - _options.FrozenStatisticsEpochs;
        var training = TrainingPass(epoch);
        if (training is null)
            return false;
        PassMetrics? validation = null;
        StateDict weights;
        // The averaged weights are validated and exported; training continues with the weights that are not averaged.
        _average?.Swap();
        try
        {
            if (_task.ValidationCount > 0)
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
            TrainingMeanIoU = training.MeanIoU,
            ValidationMeanIoU = validation?.MeanIoU,
            TrainingImages = _task.TrainingCount,
            TrainingTime = training.Time,
            ValidationTime = validation?.Time ?? TimeSpan.Zero,
            ValidationTop5Accuracy = _task.HasTop5Accuracy ? validation?.Top5Accuracy : null,
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
        using var loader = _task.CreateTrainingLoader(epoch, epoch);
        var metrics = new PassMetrics();
        _task.ReadMetrics(new PassMetrics());
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
                _divergence.Check(_task.ReadMetrics(metrics), epoch, step, _learningRate);
            _reporter.Step(step, metrics, _learningRate);
        }
        return metrics;
    }

    /// <summary>Validates the average of the best epochs.</summary>
    /// <returns>Null if the run was cancelled.</returns>
    private CheckpointAverage? Validate(StateDict averaged)
    {
        if (_task.ValidationCount == 0)
            return _best.Compare(null, _history);
        _network.ImportState(averaged);
        return ValidationPass(_history.Count, isReported: false) is { } metrics ? _best.Compare(metrics, _history) : null;
    }

    private PassMetrics? ValidationPass(int epoch, bool isReported = true)
    {
        using var loader = _task.CreateValidationLoader();
        var metrics = new PassMetrics();
        _task.ReadMetrics(new PassMetrics());
        if (isReported)
            _reporter.BeginPass(epoch, loader.Batches, isValidation: true);
        for (int step = 1; step <= loader.Batches; step++)
        {
            if (loader.Next(_cancellation) is not { } batch)
                return null;
            using (_backend.BeginStep(training: false))
                _task.Evaluate(_network.Forward(_backend.CreateInput(batch.Staged!)), batch);
            if (step % _backend.StepsBetweenReads == 0 || step == loader.Batches)
                _task.ReadMetrics(metrics);
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
        if (_task.Describe(_cancellation) is not { } data)
            return null;
        var (height, width) = _task.ImageSize;
        var fingerprint = RunFingerprint.Of(_network, data, _task.Normalization, _options);
        _checkpoint = new TrainingCheckpoint(path, fingerprint, new ModelDescription(_network.Architecture, _network.Classes, height, width, _task.Normalization, []));
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
