using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Training.Data;

namespace RepVgg.Training;

internal static partial class TrainingLoop
{
    /// <summary>Trains one step at each of some learning rates, which rise exponentially, until the loss diverges. The weights of the network cannot be used afterwards.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="network">The network. Training starts from its current weights.</param>
    /// <param name="train">The training set.</param>
    /// <param name="normalization">Applied to every image before the network.</param>
    /// <param name="options">The training options, whose learning rate and schedule, average of weights and checkpoint are not used.</param>
    /// <param name="search">The learning rates.</param>
    /// <param name="progress">Called after every step, on the calling thread; may be null.</param>
    /// <param name="cancellationToken">Checked before every batch.</param>
    /// <returns>The losses; null if the call was cancelled.</returns>
    /// <exception cref="ArgumentException">The options or the data are invalid; the message states which value and why.</exception>
    public static LearningRateCurve? FindLearningRate(
        Backend backend, TrainingNetwork network, ISampleSource train, Normalization normalization, TrainingOptions options,
        (double First, double Last, int Steps) search, Action<TrainingProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        options = options with { EmaDecay = 0, CheckpointPath = null };
        CheckInputs(network, train, null, normalization, options);
        using var run = new TrainingRun(backend, network, train, null, normalization, Prepare(options, network.Architecture), null, TimeProvider.System, cancellationToken);
        return run.FindLearningRate(search.First, search.Last, search.Steps, progress);
    }
}

internal sealed partial class TrainingRun
{
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
        var reporter = new ProgressReporter(progress, TimeProvider.System, epochs: 1, steps, _train.Count, validationImages: 0);
        reporter.BeginPass(epoch: 1, steps, isValidation: false);
        _metrics.ReadAndReset();
        int step = 0;
        long batches = 0;
        // Small training sets are read several times, in another order and with other augmentations, as in training.
        for (int epoch = 1; step < steps; epoch++)
        {
            using var loader = BatchLoader.Training(_train, _augmenter, _options.BatchSize, _options.Seed, epoch, _backend, TrainingTargets.Of(_options, epoch: 1, _train), _options.BalancedSampling, teacher: _teacher);
            for (int index = 0; index < loader.Batches && step < steps; index++)
            {
                if (loader.Next(_cancellation) is not { } batch)
                    return null;
                _learningRate = LearningRateCurve.RateOf(first, last, step, steps);
                _step.Run(batch, index, loader, batches++, step, _learningRate);
                if ((index + 1) % _options.GradientAccumulationSteps != 0 && index + 1 < loader.Batches)
                    continue;
                bool goesOn = curve.Add(_learningRate, metrics.Add(_metrics.ReadAndReset()));
                reporter.Step(++step, metrics, _learningRate);
                if (!goesOn)
                    return curve;
            }
        }
        return curve;
    }
}
