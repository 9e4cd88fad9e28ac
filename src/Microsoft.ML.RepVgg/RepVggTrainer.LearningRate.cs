using Microsoft.ML.Runtime;
using RepVgg.Optimizers;
using RepVgg.Training;
using static Microsoft.ML.RepVgg.Interop.TrainingLog;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggTrainer
{
    /// <summary>Searches for a learning rate: trains from the initial weights, one step at each of some rates that rise exponentially, until the loss diverges.</summary>
    /// <remarks>
    /// The trainer and its options are unchanged, and the weights of the search are discarded: <see cref="Fit"/> starts from the initial weights. The suggestion is a tenth of the rate at which the smoothed loss
    /// is smallest, as a peak for <see cref="Options.LearningRate"/>; look at the curve before a long training. Everything else is as in training: the images are augmented, rows for validation are left out,
    /// <see cref="Options.MetricsCallback"/> receives the progress, as one epoch, and <see cref="Options.CancellationToken"/> ends the search. The seed is 1 if the options have none.
    /// Source: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3.
    /// </remarks>
    /// <param name="input">The training data.</param>
    /// <param name="options">The rates; null for the defaults.</param>
    /// <returns>The losses, and the rate that they suggest.</returns>
    /// <exception cref="ArgumentException">An option is out of range; or as for <see cref="Fit"/>.</exception>
    /// <exception cref="InvalidOperationException">As for <see cref="Fit"/>; or the loss of the first step is not finite.</exception>
    /// <exception cref="OperationCanceledException">The search was cancelled.</exception>
    public LearningRateFinderResult FindLearningRate(IDataView input, LearningRateFinderOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(input);
        options ??= new LearningRateFinderOptions();
        options.Check();
        using var channel = _host?.Start("Learning rate");
        // No number is drawn for the seed, so that the training after this search is the same as without it.
        var curve = Prepare(input, (ulong)(_options.Seed ?? 1), needsValidation: false, channel, run => TrainingLoop.FindLearningRate(
            run.Backend, run.Network, run.Training, run.Normalization, run.Options, (options.FirstRate, options.LastRate, options.Steps), _options.MetricsCallback, _options.CancellationToken))
            ?? throw new OperationCanceledException("The search for the learning rate was cancelled.", _options.CancellationToken);
        if (curve.Points.Count == 0)
            throw new InvalidOperationException("The loss of the initial weights is not finite. Check the pixels and the normalisation of the images, and the pretrained weights.");
        var result = new LearningRateFinderResult(curve.Suggestion is { } rate ? (float)rate : null, curve.Points);
        channel?.Info(MessageSensitivity.None, "{0}", result.Describe());
        return result;
    }

    /// <summary>Warns of learning rates that were chosen for longer runs or for larger training sets, as those of presets can be.</summary>
    private static void WarnOfLearningRates(PreparedTraining run, IChannel? channel)
    {
        var options = run.Options;
        double warmUp = options.LearningRateScheduler.WarmUpEpochs;
        if (warmUp >= options.Epochs)
            Log(channel, FormattableString.Invariant($"The warm-up takes {warmUp} epochs and the run has {options.Epochs}, so that the learning rate rises until the end. Train for more epochs, or give LearningRateScheduler a shorter warm-up."), isWarning: true);
        // With larger rates, networks were seen to diverge in the epochs with fixed statistics.
        const float LargestFrozenRate = 0.01f;
        if (options.FrozenStatisticsEpochs > 0 && options.Optimizer is not AdamWOptions)
        {
            var (rate, epoch) = Enumerable.Range(options.Epochs - options.FrozenStatisticsEpochs, options.FrozenStatisticsEpochs)
                .Max(epoch => (options.LearningRateScheduler.LearningRate(options.ActualLearningRate, epoch, stepsPerEpoch: 1, options.Epochs), epoch));
            if (rate > LargestFrozenRate)
                Log(channel, FormattableString.Invariant($"The learning rate is {rate:g2} in epoch {epoch + 1}, in which the statistics of batch norms are fixed. Training is often unstable then: choose a learning rate of at most {LargestFrozenRate} there, or fewer FrozenStatisticsEpochs than {options.FrozenStatisticsEpochs}."), isWarning: true);
        }
        long imagesPerStep = (long)options.BatchSize * options.GradientAccumulationSteps;
        if (options.LearningRateBaseSize is not null && imagesPerStep > run.Training.Count)
            Log(channel, FormattableString.Invariant($"The learning rate is scaled to {options.ActualLearningRate:g3} for {imagesPerStep} images per step, but there are {run.Training.Count} training images. Choose a smaller batch size, or give the learning rate without LearningRateBaseSize."), isWarning: true);
    }
}
