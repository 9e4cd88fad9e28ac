using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Simd;
using RepVgg.Networks;

namespace RepVgg.Inference.Layers;

/// <summary>
/// 3x3 convolution of stride 1 in Winograd's domain: transforms filters, multiplies them with a chunk of transformed
/// tiles, and transforms the sums back to pixels with bias and optional ReLU.
/// </summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal sealed unsafe class WinogradMultiplyStep<TVector, TLanes> : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // Transformed filters are made in slices of so many vectors, which stay in the second-level cache.
    private const int SliceVectors = 144;

    private static readonly float[] Zeros = GC.AllocateArray<float>(Panels.MaximumVectors * 16, pinned: true);

    private readonly WinogradLayout _layout;
    private readonly WinogradInputStep<TVector, TLanes> _input;
    private readonly MapLayout _output;
    private readonly BufferId _target;
    private readonly bool _relu;

    public WinogradMultiplyStep(
        BlockSource block, WinogradLayout layout, WinogradInputStep<TVector, TLanes> input, MapLayout output, BufferId target,
        bool relu, NativeArena weights)
    {
        Block = block.Shape;
        _layout = layout;
        _input = input;
        _output = output;
        _target = target;
        _relu = relu;
        Filters = new FilterPanels(block, TLanes.Width, TLanes.Width, FilterOrder.ChannelMajor, weights);
    }

    public override BlockSpec Block { get; }

    /// <summary>The layer's filters.</summary>
    public FilterPanels Filters { get; }

    /// <summary>Floats of scratch for one worker: transformed filters, sums, a fused chunk's tiles.</summary>
    public long ScratchFloats => TilesOffset + _layout.FusedChunkFloats;

    private static long FilterPitch => WinogradLayout.OddLines(SliceVectors * TLanes.Width);

    private static long SumsOffset => WinogradLayout.Points * FilterPitch;

    private static long TilesOffset => SumsOffset + WinogradLayout.Points * SumsPitch(Panels.MaximumVectors);

    public override int CountItems(int images) => _layout.Chunks(images) * (_layout.IsFused(images) ? 1 : Filters.Count);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(Workspace workspace, int item, int worker)
    {
        int images = workspace.Images;
        var chunk = new Chunk { Transformed = workspace.Scratch(worker) };
        chunk.Sums = chunk.Transformed + SumsOffset;
        if (_layout.IsFused(images))
        {
            (chunk.First, chunk.Last) = _layout.Chunk(images, item);
            chunk.PointPitch = (nint)_layout.PointPitch(chunk.Last - chunk.First);
            float* tiles = chunk.Transformed + TilesOffset;
            for (int index = chunk.First; index < chunk.Last; index++)
                _input.TransformTile(workspace, _layout.Tiles[images, index], tiles + (index - chunk.First) * _layout.TilePitch, chunk.PointPitch);
            chunk.Tiles = tiles - (long)chunk.First * _layout.TilePitch;
            for (int index = 0; index < Filters.Count; index++)
                RunPanel(workspace, chunk, index, next: index + 1);
        }
        else
        {
            (item, int index) = Math.DivRem(item, Filters.Count);
            (chunk.First, chunk.Last) = _layout.Chunk(images, item);
            chunk.PointPitch = (nint)_layout.PointPitch(images * _layout.Tiles.Count);
            chunk.Tiles = workspace[BufferId.Transformed];
            RunPanel(workspace, chunk, index, next: index + workspace.Workers);
        }
    }

    private static long SumsPitch(int vectors) => WinogradLayout.OddLines(WinogradLayout.MaximumChunk * vectors * TLanes.Width);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void RunPanel(Workspace workspace, in Chunk chunk, int index, int next)
    {
        ref readonly var panel = ref Filters[index];
        int depth = panel.InputBlocks * TLanes.Width, slice = SliceVectors / panel.Vectors;
        int channelFloats = 9 * panel.Vectors * TLanes.Width;
        for (int channel = 0; channel < depth; channel += slice)
        {
            // While this slice multiplies, the next filters come from memory: this panel's, or the worker's next.
            int left = depth - channel - slice;
            long aheadFloats = (long)left * channelFloats;
            float* ahead = left > 0 ? Filters.Weights(panel) + (long)(channel + slice) * channelFloats : Filters.WeightsAhead(next, out aheadFloats);
            aheadFloats = Math.Min(aheadFloats, (long)slice * channelFloats);
            Multiply(workspace.Images, chunk, panel, channel, Math.Min(slice, depth - channel), ahead, aheadFloats);
        }
        TransformBack(workspace, chunk, panel);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Multiply(
        int images, in Chunk chunk, in FilterPanel panel, int channel, int depth, float* ahead, long aheadFloats)
    {
        int width = TLanes.Width, vectorFloats = panel.Vectors * width;
        float* tiles = chunk.Tiles + panel.FirstInputBlock * width + channel;
        long sumsPitch = SumsPitch(panel.Vectors);
        nint filterPitch = (nint)WinogradLayout.OddLines((long)depth * vectorFloats), start = 0;
        WinogradFilter<TVector, TLanes>.Transform(
            Filters.Weights(panel) + (long)channel * 9 * vectorFloats, depth, panel.Vectors, chunk.Transformed, filterPitch);
        fixed (float* zeros = Zeros)
        {
            for (int point = 0; point < WinogradLayout.Points; point++)
            {
                var (from, to) = _layout.Tiles.Using(images, point / 6, point % 6);
                from = Math.Max(from, chunk.First);
                to = Math.Min(to, chunk.Last);
                Prefetch.Far(ahead + aheadFloats * point / WinogradLayout.Points, aheadFloats / WinogradLayout.Points);
                if (from >= to)
                    continue;
                float* target = chunk.Sums + point * sumsPitch + (from - chunk.First) * vectorFloats;
                var arguments = new PanelArguments
                {
                    Rows = tiles + point * chunk.PointPitch + (long)from * _layout.TilePitch,
                    RowPitch = _layout.TilePitch,
                    Segments = &start,
                    SegmentCount = 1,
                    Depth = depth,
                    Panel = chunk.Transformed + point * filterPitch,
                    Initial = channel == 0 ? zeros : target,
                    InitialPitch = channel == 0 ? 0 : vectorFloats,
                    InitialVectorPitch = width,
                    Target = target,
                    TargetPitch = vectorFloats,
                    TargetVectorPitch = width,
                };
                Panels<TVector, TLanes>.Run(&arguments, panel.Vectors, to - from);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformBack(Workspace workspace, in Chunk chunk, in FilterPanel panel)
    {
        int images = workspace.Images, width = TLanes.Width;
        bool far = _output.IsFar(images);
        nint pitch = (nint)SumsPitch(panel.Vectors);
        float* sums = chunk.Sums, map = workspace[_target] + panel.FirstBlock * _output.BlockPitch;
        for (int index = chunk.First; index < chunk.Last; index++, sums += panel.Vectors * width)
        {
            var tile = _layout.Tiles[images, index];
            int validRows = Math.Min(tile.Rows, _output.Height - tile.Y), validColumns = Math.Min(tile.Columns, _output.Width - tile.X);
            for (int o = 0; o < panel.Vectors; o++)
            {
                float* block = map + tile.Image * _output.ImagePitch + o * _output.BlockPitch;
                WinogradOutput<TVector, TLanes>.Transform(
                    sums + o * width, pitch, Filters.Bias(panel) + o * width, _relu,
                    block + _output.Origin + (long)tile.Y * _output.RowPitch + tile.X * width, _output.RowPitch,
                    tile.Rows, tile.Columns, validRows, validColumns, far);
            }
        }
    }

    /// <summary>One worker's tiles and scratch.</summary>
    private struct Chunk
    {
        /// <summary>Where tile 0 of the batch would be, point 0.</summary>
        public float* Tiles;
        public nint PointPitch;
        public int First;
        public int Last;
        public float* Transformed;
        public float* Sums;
    }
}
