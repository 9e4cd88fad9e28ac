using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>Multiplies each channel of a map by its gate, in place, and optionally applies ReLU afterwards.</summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="layout">Layout of the map.</param>
/// <param name="map">Buffer of the map.</param>
/// <param name="relu">Whether to apply ReLU.</param>
internal sealed unsafe class ScaleStep<TVector, TLanes>(MapLayout layout, BufferId map, bool relu) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    public override int CountItems(Window window) => window.Images * layout.Blocks;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(Window window, int item, int worker)
    {
        float* block = window[map] + item * layout.BlockPitch + layout.Origin;
        TVector gate = TLanes.Load(window[BufferId.Gates] + (long)item * TLanes.Width);
        for (int y = 0; y < layout.Height; y++)
        {
            float* pixel = block + (long)y * layout.RowPitch;
            for (int x = 0; x < layout.Width; x++, pixel += TLanes.Width)
            {
                TVector value = TLanes.Multiply(TLanes.Load(pixel), gate);
                TLanes.Store(pixel, relu ? TLanes.Relu(value) : value);
            }
        }
    }
}
