using RepVgg.Weights;

namespace RepVgg.Training;

/// <summary>The weights after an epoch, counted from 1: the averaged ones if there is a moving average.</summary>
internal sealed record EpochWeights(int Epoch, StateDict Weights);

/// <summary>Keeps the weights of the best epochs of a run by the monitored metric on the validation set; without a validation set, those of the last epochs.</summary>
/// <param name="options">The options of the run.</param>
internal sealed class BestEpochs(TrainingOptions options)
{
    private readonly List<EpochWeights> _epochs = [];

    /// <summary>The epochs, the best first: as many as <see cref="TrainingOptions.AveragedCheckpoints"/>, at least one once an epoch was added.</summary>
    public IReadOnlyList<EpochWeights> All => _epochs;

    /// <summary>The best epoch; null before the first one.</summary>
    public EpochWeights? Best => _epochs.Count > 0 ? _epochs[0] : null;

    /// <summary>Adds an epoch, and drops the worst one if there are too many. Of two epochs that are equally good, the earlier one is better.</summary>
    /// <param name="epoch">The epoch.</param>
    /// <param name="history">The results of all epochs up to this one.</param>
    public void Add(EpochWeights epoch, IReadOnlyList<EpochResult> history)
    {
        var result = history[epoch.Epoch - 1];
        int place = _epochs.FindIndex(other => IsBetter(result, history[other.Epoch - 1]));
        _epochs.Insert(place < 0 ? _epochs.Count : place, epoch);
        if (_epochs.Count > Math.Max(1, options.AveragedCheckpoints))
            _epochs.RemoveAt(_epochs.Count - 1);
    }

    /// <summary>Takes over the epochs of a checkpoint, the best first.</summary>
    public void Restore(IEnumerable<EpochWeights> epochs) => _epochs.AddRange(epochs);

    /// <summary>Computes the mean of the weights and of the running statistics of all epochs.</summary>
    public StateDict Average()
    {
        var average = new StateDict();
        foreach (var (name, first) in _epochs[0].Weights)
        {
            var mean = TensorData.Zeros([.. first.Shape]);
            float[][] values = [.. _epochs.Select(epoch => epoch.Weights[name].Values)];
            for (int i = 0; i < mean.Values.Length; i++)
            {
                double sum = 0;
                foreach (float[] ofEpoch in values)
                    sum += ofEpoch[i];
                mean.Values[i] = (float)(sum / values.Length);
            }
            average[name] = mean;
        }
        return average;
    }

    /// <summary>Compares the average with the best epoch.</summary>
    /// <param name="metrics">The metrics of the average on the validation set; null without one, where the average is better.</param>
    /// <param name="history">The results of all epochs.</param>
    public CheckpointAverage Compare(PassMetrics? metrics, IReadOnlyList<EpochResult> history)
    {
        var best = history[_epochs[0].Epoch - 1];
        // A loss that is not a number is worse.
        bool isBetter = metrics is null
            || new EpochResult(best.Epoch, 0, 0, 0, metrics.Loss, metrics.Accuracy) { ValidationMeanIoU = metrics.MeanIoU }.Score(options.MonitoredMetric) >= best.Score(options.MonitoredMetric);
        return new CheckpointAverage([.. _epochs.Select(epoch => epoch.Epoch)], metrics?.Loss, metrics?.Accuracy, isBetter);
    }

    private bool IsBetter(EpochResult candidate, EpochResult best)
    {
        if (candidate.ValidationLoss is null)
            return true;
        double value = candidate.Score(options.MonitoredMetric), other = best.Score(options.MonitoredMetric);
        return value != other ? value > other : candidate.ValidationLoss < best.ValidationLoss;
    }
}
