using RepVgg.Backends;
using RepVgg.Networks;

namespace RepVgg.Training;

/// <summary>Trains the network on a batch: computes the loss and its gradients, and after the last batch of an optimizer step updates the weights and their moving average.</summary>
/// <param name="backend">The backend of the network.</param>
/// <param name="network">The network.</param>
/// <param name="optimizer">Updates the weights.</param>
/// <param name="average">The moving average of the weights; null for none.</param>
/// <param name="task">Computes the loss of each batch.</param>
/// <param name="options">The options of the run.</param>
internal sealed class TrainingStep(Backend backend, TrainingNetwork network, Optimizer optimizer, WeightAverage? average, TrainingTask task, TrainingOptions options)
{
    /// <summary>Number of optimizer steps of an epoch.</summary>
    /// <param name="batches">Number of batches of an epoch.</param>
    /// <param name="options">The options of the run.</param>
    public static int StepsPerEpoch(int batches, TrainingOptions options) => (batches + options.GradientAccumulationSteps - 1) / options.GradientAccumulationSteps;

    /// <summary>Trains on a batch.</summary>
    /// <param name="batch">The images and their targets.</param>
    /// <param name="index">Index of the batch in its epoch, from 0.</param>
    /// <param name="loader">The loader of the epoch.</param>
    /// <param name="batchesBefore">Number of batches that were trained on since the start of the run.</param>
    /// <param name="stepsBefore">Number of optimizer steps since the start of the run.</param>
    /// <param name="learningRate">Learning rate of the optimizer step.</param>
    public void Run(Batch batch, int index, BatchLoader loader, long batchesBefore, long stepsBefore, float learningRate)
    {
        int first = index - index % options.GradientAccumulationSteps, end = Math.Min(first + options.GradientAccumulationSteps, loader.Batches);
        bool isLast = index == end - 1;
        using var scope = backend.BeginStep(training: true);
        var drops = options.Dropout > 0 || options.StochasticDepth > 0
            ? new RandomDrops(backend, options.Seed, batchesBefore, options.Dropout, options.StochasticDepth)
            : null;
        var (logits, auxiliary) = network.ForwardWithAuxiliary(backend.CreateInput(batch.Staged!), drops);
        var loss = task.Loss(logits, auxiliary, batch);
        if (end - first > 1)
        {
            double total = Enumerable.Range(first, end - first).Sum(loader.WeightOf);
            loss = backend.Scale(loss, (float)(loader.WeightOf(index) / total));
        }
        // Part of every optimizer step once, whatever its number of batches.
        if (isLast && options.CustomL2 && options.ActualWeightDecay > 0 && network.CustomL2() is { } penalty)
            loss = backend.Add(loss, backend.Scale(penalty, options.ActualWeightDecay / 2));
        backend.Backward(loss, accumulate: index > first);
        if (!isLast)
            return;
        optimizer.Step(learningRate);
        // A smaller decay in the first steps reduces the influence of the initial weights on the average.
        average?.Update(Math.Min(options.EmaDecay, (1f + stepsBefore) / (10f + stepsBefore)));
    }
}
