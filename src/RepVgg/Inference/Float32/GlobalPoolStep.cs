using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32;

/// <summary>Global average pooling of a map to [image][channel]; the channels are padded to whole blocks.</summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="layout">Layout of the map.</param>
/// <param name="source">Buffer of the map.</param>
internal sealed unsafe class GlobalPoolStep<TVector, TLanes>(MapLayout layout, BufferId source) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // Approximate number of pixels per item: small maps are combined into one item to reduce the overhead per item.
    private const int PixelsOfItem = 2048;

    private readonly int _blocksTogether = Math.Max(1, PixelsOfItem / (layout.Height * layout.Width));

    public override int CountItems(StepContext context) => (context.Images * layout.Blocks + _blocksTogether - 1) / _blocksTogether;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        int last = Math.Min((item + 1) * _blocksTogether, context.Images * layout.Blocks);
        for (int block = item * _blocksTogether; block < last; block++)
            Average(context[source] + block * layout.BlockPitch + layout.Origin, context[BufferId.Pooled] + (long)block * TLanes.Width);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Average(float* block, float* target)
    {
        TVector sum = TLanes.Zero;
        for (int y = 0; y < layout.Height; y++)
        {
            float* pixel = block + (long)y * layout.RowPitch;
            TVector row = TLanes.Load(pixel);
            for (int x = 1; x < layout.Width; x++)
                row = TLanes.Add(row, TLanes.Load(pixel + x * TLanes.Width));
            sum = TLanes.Add(sum, row);
        }
        TVector scale = TLanes.Broadcast(1f / ((float)layout.Height * layout.Width));
        TLanes.Store(target, TLanes.Multiply(sum, scale));
    }
}
