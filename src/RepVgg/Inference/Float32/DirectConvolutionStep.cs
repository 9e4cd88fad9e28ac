using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32;

/// <summary>Direct 3x3 convolution with any stride and any number of groups; bias and optional ReLU are fused.</summary>
/// <remarks>
/// In the blocked layout, the inputs of the three taps of one filter row in one input block are consecutive floats. The
/// output pixels of a row are therefore the rows of the <see cref="GemmKernel{TVector, TLanes, TVectors, TRows}"/>, and
/// each pair (filter row, input block) is one of its segments. If the last input block has unused lanes, the segments are
/// parts of a tap instead, so that these lanes are not multiplied.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are output channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class DirectConvolutionStep<TVector, TLanes> : DirectStep
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // Maximum number of floats of the next panel to prefetch, so that the current panel stays in the L2 cache.
    private const int MaximumPrefetchFloats = 100_000;

    private readonly MapLayout _input;
    private readonly MapLayout _output;
    private readonly BufferId _source;
    private readonly BufferId _target;
    private readonly int _stride;
    private readonly bool _relu;

    public DirectConvolutionStep(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu, WeightArena weights)
        : base(block.Shape, output.Height, output.Width, output.Parts)
    {
        _input = input;
        _output = output;
        _source = source;
        _target = target;
        _stride = block.Shape.Stride;
        _relu = relu;
        Filters = new FilterPanels(block, input.Lanes, TLanes.Width, MicroKernels.MaximumVectors, FilterOrder.TapMajor, weights);
    }

    /// <summary>The layer's filters.</summary>
    public FilterPanels Filters { get; }

    protected override int Panels => Filters.Count;

    protected override bool PanelsFirst => Filters.Floats > _input.Floats;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Convolve(StepContext context, int worker, int index, int first, int end, bool isLast)
    {
        ref readonly var panel = ref Filters[index];
        float* source = context[_source] + panel.FirstInputBlock * _input.BlockPitch + _input.FirstTap(Block);
        float* target = context[_target] + panel.FirstBlock * _output.BlockPitch + _output.Origin;
        int depth = Filters.SkipsUnusedLanes ? FilterPanels.ChannelUnit : 3 * _input.Lanes;
        nint* segments = stackalloc nint[(int)(Filters.FloatsOf(panel) / (depth * panel.Vectors * TLanes.Width))];
        int count = FillSegments(panel, segments);
        var arguments = new GemmArguments
        {
            RowPitch = _stride * _input.Lanes,
            Segments = segments,
            SegmentCount = count,
            Depth = depth,
            Panel = Filters.Weights(panel),
            InitialVectorPitch = TLanes.Width,
            TargetPitch = TLanes.Width,
            TargetVectorPitch = (nint)_output.BlockPitch,
            PrefetchesTarget = true,
            Relu = _relu,
        };
        long prefetchFloats = 0;
        float* prefetch = isLast ? Filters.WeightsToPrefetch(index + 1, out prefetchFloats) : null;
        prefetchFloats = Math.Min(prefetchFloats, MaximumPrefetchFloats) / (end - first);
        var groups = MicroKernels<TVector, TLanes>.Divide(panel.Vectors, _output.Width);
        for (int row = first; row < end; row++, prefetch += prefetchFloats)
        {
            (int image, int y) = Math.DivRem(row, _output.Height);
            groups.SetPrefetch(&arguments, prefetch, (nint)prefetchFloats);
            arguments.Rows = source + image * _input.ImagePitch + (long)y * _stride * _input.RowPitch;
            arguments.Initial = Filters.Bias(panel);
            arguments.Target = target + image * _output.ImagePitch + (long)y * _output.RowPitch;
            groups.Run(&arguments);
        }
    }

    /// <summary>Computes the offsets of a panel's segments in the input: the three taps of a filter row in one input block, or <see cref="FilterPanels.ChannelUnit"/> channels of one tap.</summary>
    /// <returns>Number of segments.</returns>
    private int FillSegments(in FilterPanel panel, nint* segments)
    {
        int count = 0;
        for (int ky = 0; ky < 3; ky++)
        {
            for (int block = 0; block < panel.InputBlocks; block++)
            {
                nint offset = (nint)(ky * _input.RowPitch + block * _input.BlockPitch);
                if (!Filters.SkipsUnusedLanes)
                {
                    segments[count++] = offset;
                    continue;
                }
                int channels = Math.Min(_input.Lanes, _input.Channels - block * _input.Lanes);
                for (int kx = 0; kx < 3; kx++)
                {
                    for (int channel = 0; channel < channels; channel += FilterPanels.ChannelUnit)
                        segments[count++] = offset + kx * _input.Lanes + channel;
                }
            }
        }
        return count;
    }
}
