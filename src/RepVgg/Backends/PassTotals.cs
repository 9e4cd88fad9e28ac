namespace RepVgg.Backends;

/// <summary>
/// A metric accumulator for the batches of a pass: sums of the loss, the correct predictions and the images. A backend can
/// keep the sums on the device, so that a step does not wait for it.
/// </summary>
public abstract class PassTotals : IDisposable
{
    /// <summary>Adds a batch.</summary>
    /// <param name="loss">Mean loss of the batch, a scalar of the current step.</param>
    /// <param name="logits">Logits of the batch, [N, classes].</param>
    /// <param name="labels">N labels.</param>
    public abstract void Add(Tensor loss, Tensor logits, ReadOnlySpan<int> labels);

    /// <summary>Waits for the device, returns the sums since the last call, and resets them to zero.</summary>
    /// <returns>The sum of the losses of all images, the number of images whose largest logit is that of the label, and the number of images.</returns>
    public abstract (double LossSum, long Correct, long Images) Take();

    /// <summary>Releases the sums.</summary>
    public abstract void Dispose();
}
