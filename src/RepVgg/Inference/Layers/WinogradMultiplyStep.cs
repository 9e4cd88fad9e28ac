using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Inference.Simd;
using RepVgg.Networks;

namespace RepVgg.Inference.Layers;

/// <summary>
/// 3x3 convolution of stride 1 in Winograd's domain: one item transforms a panel's filters, multiplies them with a
/// chunk of transformed tiles, and transforms the sums back to pixels with bias and optional ReLU.
/// </summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal sealed unsafe class WinogradMultiplyStep<TVector, TLanes> : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // Both the sums of a chunk and the transformed filters of a slice of its depth should stay in the second-level cache.
    private const int ChunkTiles = 49;
    private const int DepthChannels = 48;

    private static readonly float[] Zeros = GC.AllocateArray<float>(Panels.MaximumVectors * 16, pinned: true);

    private readonly WinogradLayout _layout;
    private readonly MapLayout _output;
    private readonly BufferId _target;
    private readonly bool _relu;
    private readonly FilterPanels _filters;

    public WinogradMultiplyStep(DeployBlock block, WinogradLayout layout, MapLayout output, BufferId target, bool relu, NativeArena weights)
    {
        _layout = layout;
        _output = output;
        _target = target;
        _relu = relu;
        _filters = new FilterPanels(block, TLanes.Width, TLanes.Width, FilterOrder.ChannelMajor, weights);
    }

    /// <summary>Floats of scratch for one worker.</summary>
    public long ScratchFloats => SumsOffset + WinogradLayout.Points * SumsPitch(Panels.MaximumVectors * TLanes.Width);

    private static long FilterPitch => WinogradLayout.OddLines(DepthChannels * Panels.MaximumVectors * TLanes.Width);

    private static long SumsOffset => WinogradLayout.Points * FilterPitch;

    public override int CountItems(int images) => Chunks(images) * _filters.Count;

    public override void RunItem(Workspace workspace, int item, int worker)
    {
        int images = workspace.Images, tiles = images * _layout.Tiles.Count;
        (int chunk, int index) = Math.DivRem(item, _filters.Count);
        ref readonly var panel = ref _filters[index];
        int size = (tiles + Chunks(images) - 1) / Chunks(images);
        int first = chunk * size, last = Math.Min(first + size, tiles);

        float* filters = workspace.Scratch(worker), sums = filters + SumsOffset;
        int depth = panel.InputBlocks * TLanes.Width;
        for (int channel = 0; channel < depth; channel += DepthChannels)
        {
            // While this slice multiplies, the next one's filters come from memory: this panel's, or the worker's next.
            int left = depth - channel - DepthChannels, next = index + workspace.Workers;
            float* ahead = left > 0 ? _filters.Weights(panel) + (long)(channel + DepthChannels) * 9 * panel.Vectors * TLanes.Width
                : next < _filters.Count ? _filters.Weights(_filters[next]) : null;
            long aheadFloats = ahead == null ? 0 : Math.Min(DepthChannels, left > 0 ? left : depth) * 9L * panel.Vectors * TLanes.Width;
            Multiply(workspace, panel, channel, Math.Min(DepthChannels, depth - channel), first, last, filters, sums, ahead, aheadFloats);
        }
        TransformBack(workspace, panel, first, last, sums);
    }

    private static long SumsPitch(int vectorFloats) => WinogradLayout.OddLines(ChunkTiles * vectorFloats);

    private int Chunks(int images) => (images * _layout.Tiles.Count + ChunkTiles - 1) / ChunkTiles;

    private void Multiply(
        Workspace workspace, in FilterPanel panel, int channel, int depth, int first, int last, float* filters, float* sums,
        float* ahead, long aheadFloats)
    {
        int images = workspace.Images, width = TLanes.Width, vectorFloats = panel.Vectors * width;
        float* tiles = workspace[BufferId.Transformed] + panel.FirstInputBlock * width + channel;
        long pointPitch = _layout.PointPitch(images), sumsPitch = SumsPitch(vectorFloats);
        float* weights = _filters.Weights(panel) + (long)channel * 9 * vectorFloats;
        nint filterPitch = (nint)WinogradLayout.OddLines((long)depth * vectorFloats), start = 0;
        WinogradFilter<TVector, TLanes>.Transform(weights, depth, panel.Vectors, filters, filterPitch);
        fixed (float* zeros = Zeros)
        {
            for (int point = 0; point < WinogradLayout.Points; point++)
            {
                var (from, to) = _layout.Tiles.Using(images, point / 6, point % 6);
                from = Math.Max(from, first);
                int count = Math.Min(to, last) - from;
                Prefetch.Far(ahead + aheadFloats * point / WinogradLayout.Points, aheadFloats / WinogradLayout.Points);
                if (count <= 0)
                    continue;
                float* target = sums + point * sumsPitch + (from - first) * vectorFloats;
                var arguments = new PanelArguments
                {
                    Rows = tiles + point * pointPitch + (long)from * _layout.TilePitch,
                    RowPitch = _layout.TilePitch,
                    Segments = &start,
                    SegmentCount = 1,
                    Depth = depth,
                    Panel = filters + point * filterPitch,
                    Initial = channel == 0 ? zeros : target,
                    InitialPitch = channel == 0 ? 0 : vectorFloats,
                    InitialVectorPitch = width,
                    Target = target,
                    TargetPitch = vectorFloats,
                    TargetVectorPitch = width,
                };
                Panels<TVector, TLanes>.Run(&arguments, panel.Vectors, count);
            }
        }
    }

    private void TransformBack(Workspace workspace, in FilterPanel panel, int first, int last, float* sums)
    {
        int images = workspace.Images, width = TLanes.Width, vectorFloats = panel.Vectors * width;
        nint pitch = (nint)SumsPitch(vectorFloats);
        float* map = workspace[_target] + panel.FirstBlock * _output.BlockPitch;
        for (int index = first; index < last; index++, sums += vectorFloats)
        {
            var tile = _layout.Tiles[images, index];
            int validRows = Math.Min(tile.Rows, _output.Height - tile.Y), validColumns = Math.Min(tile.Columns, _output.Width - tile.X);
            for (int o = 0; o < panel.Vectors; o++)
            {
                float* block = map + tile.Image * _output.ImagePitch + o * _output.BlockPitch;
                WinogradOutput<TVector, TLanes>.Transform(
                    sums + o * width, pitch, _filters.Bias(panel) + o * width, _relu,
                    block + _output.Origin + (long)tile.Y * _output.RowPitch + tile.X * width, _output.RowPitch,
                    tile.Rows, tile.Columns, validRows, validColumns);
                _output.ClearBorderBeside(block, tile.Y, validRows, tile.X, validColumns);
            }
        }
    }
}
