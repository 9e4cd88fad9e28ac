namespace RepVgg.Training;

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
