using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;
using RepVgg.Weights;

namespace RepVgg.Inference.Float32;

/// <summary>
/// A network with few channels and 224x224 images for the JIT warm-up. It needs the same kernels as the usual networks;
/// building it runs the first and the last item of every kind of step.
/// </summary>
internal static class WarmupNetwork
{
    private const int ImageSize = 224;

    /// <summary>Compiles the kernels of a vector width on the calling thread.</summary>
    public static void CompileKernels(VectorWidth width)
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
        using var plan = PlanBuilder.Build(width, network);
        using var workspace = new Workspace(plan, 1, 1);
        plan.PackWeights(threads: 1, workspace);
    }

    private static BlockSource Block(int inputs, int outputs, int stride) => new(
        new BlockSpec("warmup", inputs, outputs, stride, 1, SqueezeExcitation.None), Zeros(9 * inputs * outputs), Zeros(outputs), null, null);

    private static TensorData Zeros(int length) => TensorData.Zeros(length);
}
