using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Trains a network by stochastic gradient descent, on any backend.</summary>
internal static class TrainingLoop
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
    /// <exception cref="TrainingDivergedException">Training diverged: the loss or a weight is not finite, or the loss is far too large.</exception>
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
        TrainingInputs.Check(network, train, validation, normalization, options);
        using var run = new TrainingRun(backend, network, train, validation, normalization, options, progress, clock, cancellationToken);
        return run.Execute();
    }
}
