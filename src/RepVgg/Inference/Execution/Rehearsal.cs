using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Runtime.Threading;
using RepVgg.Weights;

namespace RepVgg.Inference.Execution;

/// <summary>
/// JIT warm-up: compiles the kernels on one core while another core reads the first network of the process. The warm-up
/// builds a network with few channels and 224x224 images, which needs the same kernels as the usual networks, and runs
/// the first and the last item of every kind of step.
/// </summary>
internal static class Rehearsal
{
    private const int ImageSize = 224;

    private static int _held;

    /// <summary>
    /// Executes a function and, on the first call in the process, runs the warm-up on another thread at the same time. There
    /// is no warm-up on a single core or if no helper thread is available.
    /// </summary>
    /// <param name="width">Vector width of the kernels to compile.</param>
    /// <param name="work">The function, which reads a network.</param>
    /// <returns>The result of <paramref name="work"/>.</returns>
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

    /// <summary>Runs the warm-up on the calling thread.</summary>
    internal static void Hold(VectorWidth width)
    {
        // Most layers have three vectors of channels, which selects the same kernels as wide layers; the last has two.
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

    private static TensorData Zeros(int length) => TensorData.Zeros(length);
}
