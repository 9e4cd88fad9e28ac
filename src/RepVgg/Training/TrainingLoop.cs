using RepVgg.Backends;
using RepVgg.Data;
using RepVgg.Networks;

namespace RepVgg.Training;

/// <summary>Trains a network by stochastic gradient descent, on any backend.</summary>
public static class TrainingLoop
{
    /// <summary>Trains, and leaves the best weights in the network.</summary>
    /// <remarks>
    /// On the CPU backend the result depends on the data, the options and the network's initial weights alone: not on the
    /// number of threads, nor on whether the run was cut and resumed from its checkpoint. The times in the history are measured.
    /// </remarks>
    /// <param name="backend">Where the network lives.</param>
    /// <param name="network">The network; its present weights are the start, unless a checkpoint is resumed.</param>
    /// <param name="train">The training set.</param>
    /// <param name="validation">The validation set; null for none. All of it is measured after every epoch, in evaluation mode.</param>
    /// <param name="normalization">Applied to every image before the network.</param>
    /// <param name="options">The recipe.</param>
    /// <param name="progress">Called after every batch, on the calling thread; may be null.</param>
    /// <param name="cancellationToken">Checked before every batch. Cancelling is no error: the result says so and holds the best weights so far.</param>
    /// <returns>The best weights, the history, and how the run ended.</returns>
    /// <exception cref="ArgumentException">The options or the data are of no use; the message says what and why.</exception>
    /// <exception cref="TrainingDivergedException">The loss left every bound.</exception>
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

    /// <summary>Trains, with times measured by a given clock.</summary>
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
