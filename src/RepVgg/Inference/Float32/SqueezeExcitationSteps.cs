using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32;

/// <summary>
/// Computes the channel scales of a squeeze-and-excitation module, sigmoid(excite(relu(squeeze(averages)))): one factor per
/// image and channel.
/// </summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="squeeze">The first linear layer.</param>
/// <param name="excite">The second linear layer.</param>
/// <param name="weights">Receives the packed weights.</param>
internal sealed unsafe class SqueezeExcitationStep<TVector, TLanes>(LinearSource squeeze, LinearSource excite, WeightArena weights) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private readonly PackedLinear<TVector, TLanes> _squeeze = new(squeeze, weights);
    private readonly PackedLinear<TVector, TLanes> _excite = new(excite, weights);

    /// <summary>Floats of workspace per worker, for the output of the squeeze layer.</summary>
    public int WorkspaceFloats => _squeeze.Blocks * TLanes.Width;

    public override int CountItems(StepContext context) => context.Images;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        int lanes = TLanes.Width;
        long pitch = (long)_excite.Blocks * lanes;
        float* averages = context[BufferId.Pooled] + item * pitch;
        float* scales = context[BufferId.ChannelScales] + item * pitch;
        float* squeezed = context.Workspace(worker);
        for (int block = 0; block < _squeeze.Blocks; block++)
            TLanes.Store(squeezed + block * lanes, TLanes.Relu(_squeeze.Compute(averages, block)));
        for (int block = 0; block < _excite.Blocks; block++)
            TLanes.Store(scales + block * lanes, _excite.Compute(squeezed, block));
        for (int i = 0; i < _excite.OutputFeatures; i++)
            scales[i] = 1f / (1f + MathF.Exp(-scales[i]));
    }
}

/// <summary>Multiplies each channel of a map by its scale, in place, and optionally applies ReLU afterwards.</summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="layout">Layout of the map.</param>
/// <param name="map">Buffer of the map.</param>
/// <param name="relu">Whether to apply ReLU.</param>
internal sealed unsafe class ChannelScaleStep<TVector, TLanes>(MapLayout layout, BufferId map, bool relu) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    public override int CountItems(StepContext context) => context.Images * layout.Blocks;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        float* block = context[map] + item * layout.BlockPitch + layout.Origin;
        TVector scale = TLanes.Load(context[BufferId.ChannelScales] + (long)item * TLanes.Width);
        for (int y = 0; y < layout.Height; y++)
        {
            float* pixel = block + (long)y * layout.RowPitch;
            for (int x = 0; x < layout.Width; x++, pixel += TLanes.Width)
            {
                TVector value = TLanes.Multiply(TLanes.Load(pixel), scale);
                TLanes.Store(pixel, relu ? TLanes.Relu(value) : value);
            }
        }
    }
}
