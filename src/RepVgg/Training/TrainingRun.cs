using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Training;

/// <summary>One run of the training loop: its state and the work of each epoch.</summary>
internal sealed class TrainingRun : IDisposable
{
    private readonly Backend _backend;
    private readonly TrainingNetwork _network;
    private readonly ISampleSource _train;
    private readonly ISampleSource? _validation;
    private readonly TrainingOptions _options;
    private readonly ImageAugmenter _augmenter;
    private readonly CancellationToken _cancellation;
    private readonly Optimizer _optimizer;
    private readonly WeightAverage? _average;
    private readonly MetricAccumulator _metrics;
    private readonly TrainingCheckpoint? _checkpoint;
    private readonly ProgressReporter _reporter;
    private readonly DivergenceDetector _divergence;
    private readonly List<EpochResult> _history = [];
    private StateDict? _best;
    private int _bestEpoch;
    private float _learningRate;

    public TrainingRun(
        Backend backend, TrainingNetwork network, ISampleSource train, ISampleSource? validation, Normalization normalization,
        TrainingOptions options, Action<TrainingProgress>? progress, TimeProvider clock, CancellationToken cancellation)
    {
        (_backend, _network, _train, _validation, _options, _cancellation) = (backend, network, train, validation, options, cancellation);
        _augmenter = new ImageAugmenter(options.Augmentation, normalization, train.Channels, train.Height, train.Width);
        StepsPerEpoch = BatchLoader.TrainingBatches(train.Count, options.BatchSize);
        _reporter = new ProgressReporter(progress, clock, options.Epochs, StepsPerEpoch, train.Count, validation?.Count ?? 0);
        _divergence = new DivergenceDetector(network.Classes);
        if (options.CheckpointPath is { } path)
            _checkpoint = new TrainingCheckpoint(
                path,
                RunFingerprint.Of(network, train, validation, normalization, options),
                new ModelDescription(network.Architecture, network.Classes, train.Height, train.Width, normalization, []));

        _optimizer = backend.CreateOptimizer(
            network.ParameterGroups(options.WeightDecay, options.HeadLearningRateScale, decayBranchKernels: !options.CustomL2),
            new SgdOptions(options.Momentum, options.Nesterov));
        if (options.EmaDecay > 0)
            _average = backend.CreateWeightAverage([.. network.Parameters, .. network.Buffers]);
        _metrics = backend.CreateMetricAccumulator();
    }

    private int StepsPerEpoch { get; }

    public TrainingResult Execute()
    {
        int resumedAfter = Resume();
        var end = StopReason.Completed;
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
        if (end == StopReason.Completed && _history.Count < _options.Epochs)
            end = StopReason.EarlyStopped;

        if (_best is not null)
            _network.ImportState(_best);
        return new TrainingResult(_best ?? Snapshot(1, 0), _bestEpoch, end, _history, resumedAfter);
    }

    public void Dispose()
    {
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
            }
            weights = Snapshot(epoch, StepsPerEpoch);
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
        };
        bool better = validation is null || _bestEpoch == 0 || IsBetter(result, _history[_bestEpoch - 1]);
        _history.Add(result);
        if (better || _best is null)
            (_bestEpoch, _best) = (epoch, weights);
        if (_checkpoint is not null)
        {
            var latest = _average is null ? weights : Snapshot(epoch, StepsPerEpoch);
            _checkpoint.Write(new TrainingState(latest, _best, _bestEpoch, _optimizer.ExportState(), _average?.ExportState(), _history));
        }
        _reporter.EpochDone(result);
        return true;
    }

    private PassMetrics? TrainingPass(int epoch)
    {
        using var loader = BatchLoader.Training(_train, _augmenter, _options.BatchSize, _options.Seed, epoch, _backend);
        var metrics = new PassMetrics();
        _metrics.Take();
        _reporter.BeginPass(epoch, loader.Batches, isValidation: false);
        for (int step = 1; step <= loader.Batches; step++)
        {
            if (_cancellation.IsCancellationRequested)
                return null;
            long before = (long)(epoch - 1) * StepsPerEpoch + step - 1;
            _learningRate = _options.LearningRateScheduler.LearningRate(_options.LearningRate, before, StepsPerEpoch, _options.Epochs);
            TrainingStep(loader.Next()!, before);
            if (step % _backend.StepsBetweenReads == 0 || step == loader.Batches)
                _divergence.Check(metrics.Add(_metrics.Take()), epoch, step, _learningRate);
            _reporter.Step(step, metrics, _learningRate);
        }
        return metrics;
    }

    private void TrainingStep(Batch batch, long stepsBefore)
    {
        using var scope = _backend.BeginStep(training: true);
        var drops = _options.Dropout > 0 || _options.StochasticDepth > 0
            ? new RandomDrops(_backend, _options.Seed, stepsBefore, _options.Dropout, _options.StochasticDepth)
            : null;
        var (logits, auxiliary) = _network.ForwardWithAuxiliary(_backend.CreateInput(batch.Staged!), drops);
        var loss = _backend.SoftmaxCrossEntropy(logits, batch.Labels, _options.LabelSmoothing);
        _metrics.Add(loss, logits, batch.Labels);
        foreach (var head in auxiliary)
            loss = _backend.Add(loss, _backend.Scale(_backend.SoftmaxCrossEntropy(head, batch.Labels, _options.LabelSmoothing), _options.AuxiliaryLossWeight));
        if (_options.CustomL2 && _options.WeightDecay > 0 && _network.CustomL2() is { } penalty)
            loss = _backend.Add(loss, _backend.Scale(penalty, _options.WeightDecay / 2));
        _backend.Backward(loss);
        _optimizer.Step(_learningRate);
        // A smaller decay in the first steps reduces the influence of the initial weights on the average.
        _average?.Update(Math.Min(_options.EmaDecay, (1f + stepsBefore) / (10f + stepsBefore)));
    }

    private PassMetrics? ValidationPass(int epoch)
    {
        using var loader = BatchLoader.Evaluation(_validation!, _augmenter, _options.BatchSize, _backend);
        var metrics = new PassMetrics();
        _metrics.Take();
        _reporter.BeginPass(epoch, loader.Batches, isValidation: true);
        for (int step = 1; step <= loader.Batches; step++)
        {
            if (_cancellation.IsCancellationRequested)
                return null;
            var batch = loader.Next()!;
            using (_backend.BeginStep(training: false))
            {
                var logits = _network.Forward(_backend.CreateInput(batch.Staged!));
                _metrics.Add(_backend.SoftmaxCrossEntropy(logits, batch.Labels, labelSmoothing: 0), logits, batch.Labels);
            }
            if (step % _backend.StepsBetweenReads == 0 || step == loader.Batches)
                metrics.Add(_metrics.Take());
            _reporter.Step(step, metrics, _learningRate);
        }
        if (!double.IsFinite(metrics.Loss))
            throw new TrainingDivergedException(epoch, StepsPerEpoch, metrics.Loss, _learningRate);
        return metrics;
    }

    private bool IsBetter(EpochResult candidate, EpochResult best)
    {
        if (_options.MonitoredMetric == TrainingMetric.Accuracy && candidate.ValidationAccuracy != best.ValidationAccuracy)
            return candidate.ValidationAccuracy > best.ValidationAccuracy;
        return candidate.ValidationLoss < best.ValidationLoss;
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

    /// <returns>The epoch after which the checkpoint was written; 0 if there is no checkpoint.</returns>
    private int Resume()
    {
        if (_checkpoint?.Read() is not { } state)
            return 0;
        _network.ImportState(state.Weights);
        _optimizer.ImportState(state.Optimizer);
        _average?.ImportState(state.Average!);
        (_best, _bestEpoch) = (state.Best, state.BestEpoch);
        _history.AddRange(state.History);
        return _history.Count;
    }
}
