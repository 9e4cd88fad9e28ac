using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>
/// Computes the gates of a squeeze-and-excitation module, sigmoid(excite(relu(squeeze(averages)))): one factor per image
/// and channel.
/// </summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="squeeze">The first linear layer.</param>
/// <param name="excite">The second linear layer.</param>
/// <param name="weights">Receives the packed weights.</param>
internal sealed unsafe class GateStep<TVector, TLanes>(LinearSource squeeze, LinearSource excite, NativeArena weights) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private readonly PackedLinear<TVector, TLanes> _squeeze = new(squeeze, weights);
    private readonly PackedLinear<TVector, TLanes> _excite = new(excite, weights);

    /// <summary>Floats of scratch memory per worker, for the output of the squeeze layer.</summary>
    public int ScratchFloats => _squeeze.Blocks * TLanes.Width;

    public override int CountItems(Window window) => window.Images;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(Window window, int item, int worker)
    {
        int lanes = TLanes.Width;
        long pitch = (long)_excite.Blocks * lanes;
        float* averages = window[BufferId.Pooled] + item * pitch;
        float* gates = window[BufferId.Gates] + item * pitch;
        float* squeezed = window.Scratch(worker);
        for (int block = 0; block < _squeeze.Blocks; block++)
            TLanes.Store(squeezed + block * lanes, TLanes.Relu(_squeeze.Compute(averages, block)));
        for (int block = 0; block < _excite.Blocks; block++)
            TLanes.Store(gates + block * lanes, _excite.Compute(squeezed, block));
        for (int i = 0; i < _excite.OutputFeatures; i++)
            gates[i] = 1f / (1f + MathF.Exp(-gates[i]));
    }
}
