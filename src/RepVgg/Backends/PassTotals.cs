namespace RepVgg.Backends;

/// <summary>Loss and hits of a training pass, summed where they are computed, so that a step need not wait for the device.</summary>
public abstract class PassTotals : IDisposable
{
    /// <summary>Adds a batch.</summary>
    /// <param name="loss">Its mean loss, a scalar of the current step.</param>
    /// <param name="logits">[N, classes].</param>
    /// <param name="labels">N labels.</param>
    public abstract void Add(Tensor loss, Tensor logits, ReadOnlySpan<int> labels);

    /// <summary>Waits for the device, returns the sums since the last call, and starts again at zero.</summary>
    /// <returns>The losses times the sizes of their batches, and how many of the images' largest logits were their labels'.</returns>
    public abstract (double LossSum, long Correct, long Images) Take();

    /// <summary>Releases the sums.</summary>
    public abstract void Dispose();
}
