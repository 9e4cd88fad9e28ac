using RepVgg.Backends;
using RepVgg.Data;
using RepVgg.Formats;
using RepVgg.Networks;

namespace RepVgg.Training;

/// <summary>One run of the training loop: its state, and what happens in each epoch.</summary>
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
    private readonly TrainingCheckpoint? _checkpoint;
    private readonly ProgressReporter _reporter;
    private readonly DivergenceDetector _divergence;
    private readonly List<EpochResult> _history = [];
    private StateDict? _best;
    private int _bestEpoch;
    private float _learningRate;

    public TrainingRun(
        Backend backend, TrainingNetwork network, ISampleSource train, ISampleSource? validation, Normalization normalization,
        TrainingOptions options, Action<TrainingProgress>? progress, CancellationToken cancellation)
    {
        (_backend, _network, _train, _validation, _options, _cancellation) = (backend, network, train, validation, options, cancellation);
        _augmenter = new ImageAugmenter(options.Augmentation, normalization, train.Channels, train.Height, train.Width);
        StepsPerEpoch = BatchLoader.TrainingBatches(train.Count, options.BatchSize);
        _reporter = new ProgressReporter(progress, options.Epochs, StepsPerEpoch, train.Count, validation?.Count ?? 0);
        _divergence = new DivergenceDetector(network.Classes);
        if (options.CheckpointPath is { } path)
            _checkpoint = new TrainingCheckpoint(path, RunFingerprint.Of(network, train, validation, normalization, options));

        var decayed = network.Parameters.Where(p => WeightDecayRule.Applies(p.Name, p.Tensor.Shape)).Select(p => p.Tensor);
        var others = network.Parameters.Where(p => !WeightDecayRule.Applies(p.Name, p.Tensor.Shape)).Select(p => p.Tensor);
        _optimizer = backend.CreateSgd(
            [new ParameterGroup([.. decayed], options.WeightDecay), new ParameterGroup([.. others], 0f)], options.Momentum, options.Nesterov);
    }

    private int StepsPerEpoch { get; }

    public TrainingResult Execute()
    {
        int resumedAfter = Resume();
        var end = TrainingEnd.Completed;
        for (int epoch = resumedAfter + 1; epoch <= _options.Epochs; epoch++)
        {
            if (StoppedEarly())
                break;
            if (!RunEpoch(epoch))
            {
                end = TrainingEnd.Cancelled;
                break;
            }
        }
        if (end == TrainingEnd.Completed && _history.Count < _options.Epochs)
            end = TrainingEnd.EarlyStopped;

        if (_best is not null)
            _network.ImportState(_best);
        return new TrainingResult(_best ?? Snapshot(1, 0), _bestEpoch, end, _history, resumedAfter);
    }

    public void Dispose() => _optimizer.Dispose();

    private bool StoppedEarly() => _options.EarlyStopping is { } stopping && stopping.ShouldStop(_history);

    /// <returns>False if it was cancelled; the epoch then does not count.</returns>
    private bool RunEpoch(int epoch)
    {
        var training = TrainingPass(epoch);
        if (training is null)
            return false;
        PassMetrics? validation = null;
        if (_validation is not null)
        {
            validation = ValidationPass(epoch);
            if (validation is null)
                return false;
        }

        var result = new EpochResult(epoch, _learningRate, training.Loss, training.Accuracy, validation?.Loss, validation?.Accuracy);
        var weights = Snapshot(epoch, StepsPerEpoch);
        bool better = validation is null || _bestEpoch == 0 || IsBetter(result, _history[_bestEpoch - 1]);
        _history.Add(result);
        if (better || _best is null)
            (_bestEpoch, _best) = (epoch, weights);
        _checkpoint?.Write(new TrainingState(weights, _best, _bestEpoch, _optimizer.ExportState(), _history));
        _reporter.EpochDone(result);
        return true;
    }

    private PassMetrics? TrainingPass(int epoch)
    {
        using var loader = BatchLoader.Training(_train, _augmenter, _options.BatchSize, _options.Seed, epoch);
        var metrics = new PassMetrics(_network.Classes);
        _reporter.BeginPass(epoch, loader.Batches, isValidation: false);
        for (int step = 0; step < loader.Batches; step++)
        {
            if (_cancellation.IsCancellationRequested)
                return null;
            var batch = loader.Next()!;
            _learningRate = _options.Schedule.LearningRate(_options.LearningRate, (long)(epoch - 1) * StepsPerEpoch + step, StepsPerEpoch, _options.Epochs);
            TrainingStep(batch, metrics, epoch, step + 1);
            _reporter.Step(step + 1, metrics, _learningRate);
        }
        return metrics;
    }

    private void TrainingStep(Batch batch, PassMetrics metrics, int epoch, int step)
    {
        using var scope = _backend.BeginStep(training: true);
        var (logits, auxiliary) = _network.ForwardWithAuxiliary(CreateInput(batch));
        var loss = _backend.SoftmaxCrossEntropy(logits, batch.Labels, _options.LabelSmoothing);
        Span<float> lossValue = stackalloc float[1];
        _backend.CopyOut(loss, lossValue);
        _divergence.Check(lossValue[0], epoch, step, _learningRate);

        foreach (var head in auxiliary)
            loss = _backend.Add(loss, _backend.Scale(_backend.SoftmaxCrossEntropy(head, batch.Labels, _options.LabelSmoothing), _options.AuxiliaryLossWeight));
        _backend.Backward(loss);
        metrics.Add(ReadLogits(logits, batch.Count), batch.Labels, lossValue[0]);
        _optimizer.Step(_learningRate);
    }

    private PassMetrics? ValidationPass(int epoch)
    {
        using var loader = BatchLoader.Evaluation(_validation!, _augmenter, _options.BatchSize);
        var metrics = new PassMetrics(_network.Classes);
        _reporter.BeginPass(epoch, loader.Batches, isValidation: true);
        for (int step = 0; step < loader.Batches; step++)
        {
            if (_cancellation.IsCancellationRequested)
                return null;
            var batch = loader.Next()!;
            using (_backend.BeginStep(training: false))
                metrics.Add(ReadLogits(_network.Forward(CreateInput(batch)), batch.Count), batch.Labels);
            _reporter.Step(step + 1, metrics, _learningRate);
        }
        if (!double.IsFinite(metrics.Loss))
            throw new TrainingDivergedException(epoch, StepsPerEpoch, metrics.Loss, _learningRate);
        return metrics;
    }

    private Tensor CreateInput(Batch batch) =>
        _backend.CreateInput([batch.Count, _train.Channels, _train.Height, _train.Width], batch.Images);

    private float[] ReadLogits(Tensor logits, int count)
    {
        var values = new float[count * _network.Classes];
        _backend.CopyOut(logits, values);
        return values;
    }

    private bool IsBetter(EpochResult candidate, EpochResult best)
    {
        if (_options.BestBy == TrainingMetric.Accuracy && candidate.ValidationAccuracy != best.ValidationAccuracy)
            return candidate.ValidationAccuracy > best.ValidationAccuracy;
        return candidate.ValidationLoss < best.ValidationLoss;
    }

    /// <summary>Copies the weights out; weights that are no numbers never leave a run.</summary>
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

    /// <returns>The epoch that the checkpoint was written after; 0 without one.</returns>
    private int Resume()
    {
        if (_checkpoint?.Read() is not { } state)
            return 0;
        _network.ImportState(state.Weights);
        _optimizer.ImportState(state.Optimizer);
        (_best, _bestEpoch) = (state.Best, state.BestEpoch);
        _history.AddRange(state.History);
        return _history.Count;
    }
}
