using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>Direct 3x3 convolution with any stride and any number of groups; bias and optional ReLU are fused.</summary>
/// <remarks>
/// In the blocked layout, the inputs of the three taps of one filter row in one input block are consecutive floats. The
/// output pixels of a row are therefore the rows of the <see cref="PanelKernel{TVector, TLanes, TVectors, TRows}"/>, and
/// each pair (filter row, input block) is one of its segments.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are output channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class DirectConvolutionStep<TVector, TLanes> : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int BandPixels = 448;

    // Maximum number of floats of the next panel to prefetch, so that the current panel stays in the L2 cache.
    private const int AheadFloats = 100_000;

    private readonly MapLayout _input;
    private readonly MapLayout _output;
    private readonly BufferId _source;
    private readonly BufferId _target;
    private readonly int _stride;
    private readonly bool _relu;

    public DirectConvolutionStep(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu, NativeArena weights)
    {
        Block = block.Shape;
        _input = input;
        _output = output;
        _source = source;
        _target = target;
        _stride = block.Shape.Stride;
        _relu = relu;
        Filters = new FilterPanels(block, input.Lanes, TLanes.Width, Panels.MaximumVectors, FilterOrder.TapMajor, weights);
    }

    public override BlockSpec Block { get; }

    /// <summary>The layer's filters.</summary>
    public FilterPanels Filters { get; }

    // The larger of the filters and the input is traversed in the outer loop, so that it is read from memory only once.
    private bool PanelsFirst => Filters.Floats > _input.ImagePitch;

    public override int CountItems(Window window) => window.Images * Bands(window).Count * Filters.Count;

    // If there are fewer pairs (image, panel) than threads, the rows of an image are divided among the threads.
    private EvenParts Bands(Window window)
    {
        int most = BandPixels / _output.Width;
        bool isEnough = window.Images * Filters.Count >= window.Threads;
        return new(_output.Height, isEnough ? most : Math.Min(most, (_output.Height + window.Threads - 1) / window.Threads), window.Threads);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(Window window, int item, int worker)
    {
        var bands = Bands(window);
        int places = window.Images * bands.Count;
        (int place, int index) = PanelsFirst ? (item % places, item / places) : Math.DivRem(item, Filters.Count);
        (int image, int band) = Math.DivRem(place, bands.Count);
        ref readonly var panel = ref Filters[index];
        int first = bands.First(band), last = bands.First(band + 1);

        float* source = window[_source] + image * _input.ImagePitch + panel.FirstInputBlock * _input.BlockPitch;
        float* target = window[_target] + image * _output.ImagePitch + panel.FirstBlock * _output.BlockPitch;
        nint* segments = stackalloc nint[3 * panel.InputBlocks];
        for (int ky = 0, i = 0; ky < 3; ky++)
        {
            for (int block = 0; block < panel.InputBlocks; block++)
                segments[i++] = (nint)(ky * _input.RowPitch + block * _input.BlockPitch);
        }
        var arguments = new PanelArguments
        {
            RowPitch = _stride * _input.Lanes,
            Segments = segments,
            SegmentCount = 3 * panel.InputBlocks,
            Depth = 3 * _input.Lanes,
            Panel = Filters.Weights(panel),
            InitialVectorPitch = TLanes.Width,
            TargetPitch = TLanes.Width,
            TargetVectorPitch = (nint)_output.BlockPitch,
            TargetIsFar = true,
            Relu = _relu,
        };
        // During the last items of a panel, the panel that this worker is expected to compute next is prefetched.
        long aheadFloats = 0;
        float* ahead = PanelsFirst && place >= places - window.Workers ? Filters.WeightsAhead(index + window.Workers, out aheadFloats) : null;
        aheadFloats = Math.Min(aheadFloats, AheadFloats) / (last - first);
        var groups = Panels<TVector, TLanes>.Cut(panel.Vectors, _output.Width);
        for (int y = first; y < last; y++, ahead += aheadFloats)
        {
            groups.LookAhead(&arguments, ahead, (nint)aheadFloats);
            arguments.Rows = source + (long)y * _stride * _input.RowPitch;
            arguments.Initial = Filters.Bias(panel);
            arguments.Target = target + _output.Origin + (long)y * _output.RowPitch;
            groups.Run(&arguments);
        }
    }
}
