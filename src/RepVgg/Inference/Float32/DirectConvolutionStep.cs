using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32;

/// <summary>Direct 3x3 convolution with any stride and any number of groups; bias and optional ReLU are fused.</summary>
/// <remarks>
/// In the blocked layout, the inputs of the three taps of one filter row in one input block are consecutive floats. The
/// output pixels of a row are therefore the rows of the <see cref="GemmKernel{TVector, TLanes, TVectors, TRows}"/>, and
/// each pair (filter row, input block) is one of its segments.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are output channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class DirectConvolutionStep<TVector, TLanes> : ConvolutionStep
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int BandPixels = 448;

    // Maximum number of floats of the next panel to prefetch, so that the current panel stays in the L2 cache.
    private const int MaximumPrefetchFloats = 100_000;

    private readonly MapLayout _input;
    private readonly MapLayout _output;
    private readonly BufferId _source;
    private readonly BufferId _target;
    private readonly int _stride;
    private readonly bool _relu;

    public DirectConvolutionStep(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu, WeightArena weights)
        : base(block.Shape)
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

    // The larger of the filters and the input is traversed in the outer loop, so that it is read from memory only once.
    private bool PanelsFirst => Filters.Floats > _input.ImagePitch;

    public override int CountItems(StepContext context) => context.Images * Bands(context).Count * Filters.Count;

    // If there are fewer pairs (image, panel) than threads, the rows of an image are divided among the threads.
    private Partition Bands(StepContext context)
    {
        int maximumRows = BandPixels / _output.Width;
        bool isEnough = context.Images * Filters.Count >= context.Threads;
        return new(_output.Height, isEnough ? maximumRows : Math.Min(maximumRows, (_output.Height + context.Threads - 1) / context.Threads), context.Threads);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var bands = Bands(context);
        int bandCount = context.Images * bands.Count;
        (int bandIndex, int index) = PanelsFirst ? (item % bandCount, item / bandCount) : Math.DivRem(item, Filters.Count);
        (int image, int band) = Math.DivRem(bandIndex, bands.Count);
        ref readonly var panel = ref Filters[index];
        int first = bands.First(band), last = bands.First(band + 1);

        float* source = context[_source] + image * _input.ImagePitch + panel.FirstInputBlock * _input.BlockPitch;
        float* target = context[_target] + image * _output.ImagePitch + panel.FirstBlock * _output.BlockPitch;
        nint* segments = stackalloc nint[3 * panel.InputBlocks];
        for (int ky = 0, i = 0; ky < 3; ky++)
        {
            for (int block = 0; block < panel.InputBlocks; block++)
                segments[i++] = (nint)(ky * _input.RowPitch + block * _input.BlockPitch);
        }
        var arguments = new GemmArguments
        {
            RowPitch = _stride * _input.Lanes,
            Segments = segments,
            SegmentCount = 3 * panel.InputBlocks,
            Depth = 3 * _input.Lanes,
            Panel = Filters.Weights(panel),
            InitialVectorPitch = TLanes.Width,
            TargetPitch = TLanes.Width,
            TargetVectorPitch = (nint)_output.BlockPitch,
            PrefetchesTarget = true,
            Relu = _relu,
        };
        // During the last items of a panel, the panel that this worker is expected to compute next is prefetched.
        long prefetchFloats = 0;
        float* prefetch = PanelsFirst && bandIndex >= bandCount - context.Workers ? Filters.WeightsToPrefetch(index + context.Workers, out prefetchFloats) : null;
        prefetchFloats = Math.Min(prefetchFloats, MaximumPrefetchFloats) / (last - first);
        var groups = MicroKernels<TVector, TLanes>.Divide(panel.Vectors, _output.Width);
        for (int y = first; y < last; y++, prefetch += prefetchFloats)
        {
            groups.SetPrefetch(&arguments, prefetch, (nint)prefetchFloats);
            arguments.Rows = source + (long)y * _stride * _input.RowPitch;
            arguments.Initial = Filters.Bias(panel);
            arguments.Target = target + _output.Origin + (long)y * _output.RowPitch;
            groups.Run(&arguments);
        }
    }
}
