using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>The final linear layer: pooled features to the caller's logits.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal sealed unsafe class ClassifierStep<TVector, TLanes>(LinearSource layer, int featurePitch, NativeArena weights) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private readonly PackedLinear<TVector, TLanes> _linear = new(layer, weights);

    /// <summary>One block of classes for all images: its weights are read from memory once.</summary>
    public override int CountItems(Window window) => _linear.Blocks;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(Window window, int item, int worker)
    {
        int first = item * TLanes.Width, classes = _linear.OutputFeatures;
        float* lanes = stackalloc float[TLanes.Width];
        for (int image = 0; image < window.Images; image++)
        {
            TVector value = _linear.Compute(window[BufferId.Pooled] + (long)image * featurePitch, item);
            float* target = window.Logits + (long)image * classes + first;
            if (first + TLanes.Width <= classes)
            {
                TLanes.Store(target, value);
                continue;
            }
            TLanes.Store(lanes, value);
            for (int i = 0; i < classes - first; i++)
                target[i] = lanes[i];
        }
    }
}
