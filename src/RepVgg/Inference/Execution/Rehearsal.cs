using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>
/// Has the runtime compile the kernels on one core while the first network of the process is read on another: a small
/// network that cuts images of the usual size as real ones do, with few channels, runs a few items of every step.
/// </summary>
internal static class Rehearsal
{
    private const int ImageSize = 224;

    private static int _held;

    /// <summary>Does some work; beside it, if this is the first time, the rehearsal.</summary>
    /// <param name="width">The vector width whose kernels will be needed.</param>
    /// <param name="work">Reads a network.</param>
    /// <returns>What <paramref name="work"/> returns.</returns>
    public static T Beside<T>(VectorWidth width, Func<T> work)
        where T : class
    {
        if (Environment.ProcessorCount == 1 || Interlocked.Exchange(ref _held, 1) != 0)
            return work();
        T? result = null;
        var loop = new ParallelLoop(2);
        loop.Run(2, (item, _) =>
        {
            if (item == 0)
                result = work();
            else if (loop.Workers > 1)
                Hold(width);
        });
        return result!;
    }

    /// <summary>Holds the rehearsal.</summary>
    internal static void Hold(VectorWidth width)
    {
        // Three vectors of channels in most layers, as wide layers have; two in the last.
        int lanes = width.Lanes(), wide = 3 * lanes, last = 2 * lanes;
        var network = new NetworkSource(
            3, ImageSize, ImageSize, Normalization.Identity(3), NetworkOutput.Logits,
            [
                Block(3, wide, 2), Block(wide, wide, 2), Block(wide, wide, 1), Block(wide, wide, 2), Block(wide, wide, 1),
                Block(wide, wide, 2), Block(wide, wide, 1), Block(wide, last, 2),
            ],
            new LinearSource(last, lanes, Zeros(lanes * last), Zeros(lanes)));
        using var plan = width.Plan(network, threads: 1);
        using var workspace = new Workspace(plan, 1, 1);
        plan.Fill(network, threads: 1, workspace);
    }

    private static BlockSource Block(int inputs, int outputs, int stride) => new(
        new BlockSpec("rehearsal", inputs, outputs, stride, 1, SqueezeExcitation.None), Zeros(9 * inputs * outputs), Zeros(outputs), null, null);

    private static HeldWeights Zeros(int length) => new(new float[length]);
}
