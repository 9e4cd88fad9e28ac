using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>The final linear layer: computes the logits from the pooled features and writes them to the caller's output.</summary>
/// <typeparam name="TVector">The vector type; lanes are classes.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="layer">Weights and biases.</param>
/// <param name="featurePitch">Floats from one image's pooled features to the next image's.</param>
/// <param name="weights">Receives the packed weights.</param>
internal sealed unsafe class ClassifierStep<TVector, TLanes>(LinearSource layer, int featurePitch, NativeArena weights) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private readonly PackedLinear<TVector, TLanes> _linear = new(layer, weights);

    /// <summary>One item is one block of classes for all images, so that its weights are read from memory once.</summary>
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
