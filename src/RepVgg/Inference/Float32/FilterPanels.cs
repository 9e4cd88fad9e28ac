using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Inference.Float32;

/// <summary>A panel: the filters of one to three vectors of output channels, which read the same input channels.</summary>
/// <param name="FirstBlock">First channel block of the output.</param>
/// <param name="Vectors">Number of channel blocks of the output (vectors).</param>
/// <param name="FirstInputBlock">First channel block of the input that the panel reads.</param>
/// <param name="InputBlocks">Number of channel blocks of the input that the panel reads.</param>
/// <param name="Offset">Offset of the panel's weights from the first panel's, in floats.</param>
internal readonly record struct FilterPanel(int FirstBlock, int Vectors, int FirstInputBlock, int InputBlocks, long Offset);

/// <summary>Order of the packed weights inside a panel. The innermost dimensions are always [vector][lane] of the output channels.</summary>
internal enum FilterOrder
{
    /// <summary>
    /// [ky][input block][kx][channel of the block], for direct convolution. If the last block of the input has a multiple of
    /// <see cref="FilterPanels.ChannelUnit"/> channels, there are no weights for its unused lanes.
    /// </summary>
    TapMajor,

    /// <summary>As <see cref="TapMajor"/>, but with the filter rows in the order ky = 0, 2, 1, for convolution of stride 2.</summary>
    OuterRowsFirst,

    /// <summary>
    /// [row point][input block][kx][channel of the block], for Winograd convolution of stride 1. The filter columns are
    /// transformed to the six points; the filter rows are not, but the tap kx = 0 is halved (see <c>ToomCook</c>).
    /// </summary>
    WinogradRows,
}

/// <summary>Packs the 3x3 filters (OIHW) of a block into panels. Lanes above the last output channel are zero.</summary>
/// <remarks>
/// In grouped convolutions, a panel reads only the input blocks that contain channels of its groups. If a channel block
/// contains channels of several groups, the weights between channels of different groups are zero.
/// </remarks>
internal sealed unsafe class FilterPanels
{
    // Ratio of the floats of filters and maps above which threads divide the filters rather than the rows of the maps. Measured: 192 channels at 14x14
    // pixels (13) are faster by filters, 96 channels at 28x28 pixels (2) by rows.
    private const long LargeFilters = 8;

    /// <summary>Number of channels below which the unused lanes of an input block cost less than loops over fewer channels.</summary>
    public const int ChannelUnit = 8;

    private readonly float* _weights;
    private readonly float* _bias;
    private readonly FilterPanel[] _panels;
    private readonly int _lanes;
    private readonly int _inputLanes;
    private readonly int _vectors;
    private readonly int _inputChannels;

    /// <param name="block">The convolution.</param>
    /// <param name="inputLanes">Channels in one block of the input's layout.</param>
    /// <param name="lanes">Channels in one block of the output's layout.</param>
    /// <param name="vectors">Preferred number of vectors in a panel, 2 or 3.</param>
    /// <param name="order">Order of the weights.</param>
    /// <param name="arena">Allocates the memory of the weights and packs them later.</param>
    public FilterPanels(BlockSource block, int inputLanes, int lanes, int vectors, FilterOrder order, WeightArena arena)
    {
        _lanes = lanes;
        _inputLanes = inputLanes;
        _vectors = vectors;
        Order = order;
        int blocks = (block.Shape.InputChannels + inputLanes - 1) / inputLanes;
        SkipsUnusedLanes = order == FilterOrder.TapMajor && block.Shape.Groups == 1 && block.Shape.InputChannels % inputLanes != 0 && block.Shape.InputChannels % ChannelUnit == 0;
        _inputChannels = SkipsUnusedLanes ? block.Shape.InputChannels : blocks * inputLanes;
        _panels = CreatePanels(block.Shape, out long total);
        Floats = total;
        _weights = arena.Allocate(total);
        _bias = arena.Allocate((long)((block.Shape.OutputChannels + lanes - 1) / lanes) * lanes);
        arena.Packers.Add((ref float[] readBuffer) => PackAll(block, ref readBuffer));
    }

    /// <summary>Number of panels.</summary>
    public int Count => _panels.Length;

    /// <summary>Order of the weights.</summary>
    public FilterOrder Order { get; }

    /// <summary>Whether there are no weights for the unused lanes of the last input block.</summary>
    public bool SkipsUnusedLanes { get; }

    /// <summary>Number of floats in the weights of all panels.</summary>
    public long Floats { get; }

    /// <summary>The filters of the next convolution of the network; null for the last.</summary>
    public FilterPanels? Next { get; set; }

    /// <summary>
    /// Whether the filters are so much larger than the maps that they multiply that threads should divide the filters: each thread then reads only its part of
    /// the filters, but all of the maps.
    /// </summary>
    /// <param name="mapFloats">Floats of the input maps of all images.</param>
    public bool AreLargerThan(long mapFloats) => Floats >= LargeFilters * mapFloats;

    public ref readonly FilterPanel this[int panel] => ref _panels[panel];

    /// <summary>Address of a panel's weights.</summary>
    public float* Weights(in FilterPanel panel) => _weights + panel.Offset;

    /// <summary>Address of the weights to prefetch for a panel index; indices from <see cref="Count"/> on refer to the next convolution.</summary>
    /// <param name="panel">Index of the panel.</param>
    /// <param name="floats">Floats of the panel's weights; 0 if there is no such panel.</param>
    /// <returns>The address, or null if there is no such panel.</returns>
    public float* WeightsToPrefetch(int panel, out long floats)
    {
        floats = 0;
        if (panel >= Count)
            return Next is null || panel - Count >= Next.Count ? null : Next.WeightsToPrefetch(panel - Count, out floats);
        floats = FloatsOf(_panels[panel]);
        return Weights(_panels[panel]);
    }

    /// <summary>Floats of a panel's weights.</summary>
    public long FloatsOf(in FilterPanel panel) => FloatsOf(Order, ChannelsOf(panel.FirstInputBlock, panel.InputBlocks), panel.Vectors * _lanes);

    /// <summary>Address of a panel's biases, [vector][lane].</summary>
    public float* Bias(in FilterPanel panel) => _bias + panel.FirstBlock * _lanes;

    private FilterPanel[] CreatePanels(BlockSpec shape, out long total)
    {
        int groupInput = shape.InputChannels / shape.Groups, groupOutput = shape.OutputChannels / shape.Groups;
        bool aligned = shape.Groups == 1 || (groupInput % _inputLanes == 0 && groupOutput % _lanes == 0);
        int blocks = (shape.OutputChannels + _lanes - 1) / _lanes;
        int blocksPerGroup = aligned ? blocks / shape.Groups : 1;
        var panels = new List<FilterPanel>();
        total = 0;
        for (int first = 0; first < blocks;)
        {
            int vectors = ChooseVectors(blocksPerGroup, blocksPerGroup - first % blocksPerGroup);
            int lastChannel = Math.Min((first + vectors) * _lanes, shape.OutputChannels) - 1;
            int firstInput = first * _lanes / groupOutput * groupInput / _inputLanes;
            int lastInput = ((lastChannel / groupOutput + 1) * groupInput - 1) / _inputLanes;
            panels.Add(new FilterPanel(first, vectors, firstInput, lastInput - firstInput + 1, total));
            total += FloatsOf(Order, ChannelsOf(firstInput, lastInput - firstInput + 1), vectors * _lanes);
            first += vectors;
        }
        return [.. panels];
    }

    // If panels of two vectors are as fast as panels of three, prefers the size that gives an even number of panels, which
    // threads can share evenly.
    private int ChooseVectors(int blocksPerGroup, int remaining)
    {
        int vectors = _vectors == 2 && blocksPerGroup % 4 != 0 && blocksPerGroup % 6 == 0 ? MicroKernels.MaximumVectors : _vectors;
        return remaining <= MicroKernels.MaximumVectors ? remaining : remaining % vectors == 0 ? vectors : 2;
    }

    private void PackAll(BlockSource block, ref float[] readBuffer)
    {
        var shape = block.Shape;
        block.Bias.Read(0, shape.OutputChannels, ref readBuffer).CopyTo(new Span<float>(_bias, shape.OutputChannels));
        int row = 9 * (shape.InputChannels / shape.Groups);
        for (int i = 0; i < _panels.Length; i++)
        {
            int first = _panels[i].FirstBlock * _lanes, last = Math.Min(first + _panels[i].Vectors * _lanes, shape.OutputChannels);
            Pack(shape, block.Kernel.Read(first * row, (last - first) * row, ref readBuffer), _panels[i]);
        }
    }

    // Number of channels, with the unused lanes that have weights, of some input blocks.
    private int ChannelsOf(int firstBlock, int blocks) => Math.Min(blocks * _inputLanes, _inputChannels - firstBlock * _inputLanes);

    private static long FloatsOf(FilterOrder order, int channels, int pitch) =>
        channels * (long)pitch * 3 * (order == FilterOrder.WinogradRows ? WinogradTile.Points : 3);

    /// <summary>Packs the filters of one panel's output channels.</summary>
    private void Pack(BlockSpec shape, ReadOnlySpan<float> kernels, in FilterPanel panel)
    {
        int groupInput = shape.InputChannels / shape.Groups, groupOutput = shape.OutputChannels / shape.Groups;
        int pitch = panel.Vectors * _lanes, channels = ChannelsOf(panel.FirstInputBlock, panel.InputBlocks);
        int first = panel.FirstBlock * _lanes, last = Math.Min(first + pitch, shape.OutputChannels);
        fixed (float* source = kernels)
        {
            for (int o = first, end; o < last; o = end)
            {
                int group = o / groupOutput;
                end = Math.Min((group + 1) * groupOutput, last);
                // The output channel is the innermost loop, so that consecutive writes go to adjacent addresses.
                for (int i = 0; i < groupInput; i++)
                {
                    int channel = group * groupInput + i - panel.FirstInputBlock * _inputLanes;
                    float* taps = source + ((long)(o - first) * groupInput + i) * 9, at = Weights(panel) + (o - first);
                    var (inputBlock, lane) = Math.DivRem(channel, _inputLanes);
                    at += ((long)inputBlock * 3 * _inputLanes + lane) * pitch;
                    nint rowStep = channels * 3 * pitch, columnStep = ChannelsOf(panel.FirstInputBlock + inputBlock, 1) * pitch;
                    if (Order == FilterOrder.WinogradRows)
                        PackRows(taps, groupInput * 9, end - o, at, rowStep, columnStep);
                    else if (Order == FilterOrder.TapMajor)
                        PackTaps(taps, groupInput * 9, end - o, at, rowStep, 2 * rowStep, columnStep);
                    else
                        PackTaps(taps, groupInput * 9, end - o, at, 2 * rowStep, rowStep, columnStep);
                }
            }
        }
    }

    /// <summary>Writes the nine taps of the filters of consecutive output channels to consecutive lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackTaps(float* taps, nint filterPitch, int count, float* target, nint middleRow, nint lastRow, nint columnStep)
    {
        for (; count > 0; count--, taps += filterPitch, target++)
        {
            for (int x = 0; x < 3; x++)
            {
                float* at = target + x * columnStep;
                *at = taps[x];
                at[middleRow] = taps[3 + x];
                at[lastRow] = taps[6 + x];
            }
        }
    }

    /// <summary>Writes the transformed columns of the filters of consecutive output channels to consecutive lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackRows(float* taps, nint filterPitch, int count, float* target, nint pointStep, nint columnStep)
    {
        float* values = stackalloc float[WinogradTile.Points];
        for (; count > 0; count--, taps += filterPitch, target++)
        {
            for (int x = 0; x < 3; x++)
            {
                float half = 0.5f * taps[x];
                values[0] = half;
                values[1] = taps[6 + x];
                ToomCook<float, ScalarLanes>.TransformFilter(half, taps[3 + x], taps[6 + x], values + 2, 1);
                float* at = target + x * columnStep;
                for (int point = 0; point < WinogradTile.Points; point++, at += pointStep)
                    *at = x == 0 ? 0.5f * values[point] : values[point];
            }
        }
    }

}
