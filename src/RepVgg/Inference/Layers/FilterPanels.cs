using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;

namespace RepVgg.Inference.Layers;

/// <summary>One to three vectors of output channels that read the same input channels.</summary>
/// <param name="FirstBlock">First channel block of the output.</param>
/// <param name="Vectors">How many blocks.</param>
/// <param name="FirstInputBlock">First channel block of the input that they read.</param>
/// <param name="InputBlocks">How many.</param>
/// <param name="Offset">Where the panel's weights begin.</param>
internal readonly record struct FilterPanel(int FirstBlock, int Vectors, int FirstInputBlock, int InputBlocks, long Offset);

/// <summary>Order of the weights inside a panel; [vector][lane] comes last in each.</summary>
internal enum FilterOrder
{
    /// <summary>[ky][input block][kx][channel of the block]: as the direct kernel reads them.</summary>
    TapMajor,

    /// <summary>The same with the middle row last.</summary>
    OuterRowsFirst,

    /// <summary>
    /// [point][input block][kx][channel of the block]: columns transformed, the first taps of their rows halved, as
    /// Winograd's multiplication reads them.
    /// </summary>
    WinogradRows,
}

/// <summary>A block's 3x3 filters cut into panels, with zeros in lanes above the last channel.</summary>
/// <remarks>
/// With groups, a panel reads only the input blocks that its channels' groups touch; where a block straddles
/// groups, the weights between channels of different groups are zero.
/// </remarks>
internal sealed unsafe class FilterPanels
{
    private readonly float* _weights;
    private readonly float* _bias;
    private readonly FilterPanel[] _panels;
    private readonly int _lanes;
    private readonly int _inputLanes;
    private readonly int _vectors;

    /// <param name="block">The convolution.</param>
    /// <param name="inputLanes">Channels in one block of the input's layout.</param>
    /// <param name="lanes">Channels in one block of the output's layout.</param>
    /// <param name="vectors">Vectors of a panel where they come out even: 2 or 3.</param>
    /// <param name="order">Order of the weights.</param>
    /// <param name="arena">Where they go.</param>
    public FilterPanels(BlockSource block, int inputLanes, int lanes, int vectors, FilterOrder order, NativeArena arena)
    {
        _lanes = lanes;
        _inputLanes = inputLanes;
        _vectors = vectors;
        Order = order;
        _panels = Cut(block.Shape, out long total);
        Floats = total;
        _weights = arena.Allocate(total);
        _bias = arena.Allocate((long)((block.Shape.OutputChannels + lanes - 1) / lanes) * lanes);
        arena.Filling.Add((ref float[] room) => Fill(block, ref room));
    }

    public int Count => _panels.Length;

    /// <summary>Order of the weights.</summary>
    public FilterOrder Order { get; }

    /// <summary>Floats of all panels.</summary>
    public long Floats { get; }

    /// <summary>The filters that are needed after these, if any.</summary>
    public FilterPanels? Following { get; set; }

    public ref readonly FilterPanel this[int panel] => ref _panels[panel];

    /// <summary>A panel's weights.</summary>
    public float* Weights(in FilterPanel panel) => _weights + panel.Offset;

    /// <summary>The weights of the panel with a number; numbers beyond the last go on in the following layer.</summary>
    /// <param name="panel">Number of the panel.</param>
    /// <param name="floats">Their length; 0 if there is no such panel.</param>
    public float* WeightsAhead(int panel, out long floats)
    {
        floats = 0;
        if (panel >= Count)
            return Following is null || panel - Count >= Following.Count ? null : Following.WeightsAhead(panel - Count, out floats);
        floats = FloatsOf(_panels[panel]);
        return Weights(_panels[panel]);
    }

    /// <summary>Floats of a panel's weights.</summary>
    public long FloatsOf(in FilterPanel panel) => FloatsOf(Order, panel.InputBlocks * _inputLanes, panel.Vectors * _lanes);

    /// <summary>A panel's biases, one vector after the other.</summary>
    public float* Bias(in FilterPanel panel) => _bias + panel.FirstBlock * _lanes;

    private FilterPanel[] Cut(BlockSpec shape, out long total)
    {
        int groupInput = shape.InputChannels / shape.Groups, groupOutput = shape.OutputChannels / shape.Groups;
        bool aligned = shape.Groups == 1 || (groupInput % _inputLanes == 0 && groupOutput % _lanes == 0);
        int blocks = (shape.OutputChannels + _lanes - 1) / _lanes;
        int run = aligned ? blocks / shape.Groups : 1;
        var panels = new List<FilterPanel>();
        total = 0;
        for (int first = 0; first < blocks;)
        {
            int vectors = VectorsOfNextPanel(run, run - first % run);
            int lastChannel = Math.Min((first + vectors) * _lanes, shape.OutputChannels) - 1;
            int from = first * _lanes / groupOutput * groupInput / _inputLanes;
            int to = ((lastChannel / groupOutput + 1) * groupInput - 1) / _inputLanes;
            panels.Add(new FilterPanel(first, vectors, from, to - from + 1, total));
            total += FloatsOf(Order, (to - from + 1) * _inputLanes, vectors * _lanes);
            first += vectors;
        }
        return [.. panels];
    }

    // Where twos are as good as threes: what makes an even number of panels, for threads to share.
    private int VectorsOfNextPanel(int run, int left)
    {
        int vectors = _vectors == 2 && run % 4 != 0 && run % 6 == 0 ? Panels.MaximumVectors : _vectors;
        return left <= Panels.MaximumVectors ? left : left % vectors == 0 ? vectors : 2;
    }

    private void Fill(BlockSource block, ref float[] room)
    {
        var shape = block.Shape;
        block.Bias.Read(0, shape.OutputChannels, ref room).CopyTo(new Span<float>(_bias, shape.OutputChannels));
        int row = 9 * (shape.InputChannels / shape.Groups);
        for (int i = 0; i < _panels.Length; i++)
        {
            int first = _panels[i].FirstBlock * _lanes, last = Math.Min(first + _panels[i].Vectors * _lanes, shape.OutputChannels);
            Pack(shape, block.Kernel.Read(first * row, (last - first) * row, ref room), _panels[i]);
        }
    }

    private static long FloatsOf(FilterOrder order, int channels, int pitch) =>
        channels * (long)pitch * 3 * (order == FilterOrder.WinogradRows ? WinogradAxis.Points : 3);

    /// <summary>Packs the kernels of one panel's output channels.</summary>
    private void Pack(BlockSpec shape, ReadOnlySpan<float> kernels, in FilterPanel panel)
    {
        int groupInput = shape.InputChannels / shape.Groups, groupOutput = shape.OutputChannels / shape.Groups;
        int pitch = panel.Vectors * _lanes, channels = panel.InputBlocks * _inputLanes;
        int first = panel.FirstBlock * _lanes, last = Math.Min(first + pitch, shape.OutputChannels);
        fixed (float* source = kernels)
        {
            for (int o = first, end; o < last; o = end)
            {
                int group = o / groupOutput;
                end = Math.Min((group + 1) * groupOutput, last);
                // Output channels vary fastest, so that what is written lies close together.
                for (int i = 0; i < groupInput; i++)
                {
                    int channel = group * groupInput + i - panel.FirstInputBlock * _inputLanes;
                    float* taps = source + ((long)(o - first) * groupInput + i) * 9, at = Weights(panel) + (o - first);
                    var (inputBlock, lane) = Math.DivRem(channel, _inputLanes);
                    at += ((long)inputBlock * 3 * _inputLanes + lane) * pitch;
                    nint rowStep = channels * 3 * pitch, columnStep = _inputLanes * pitch;
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

    /// <summary>Writes the nine taps of several output channels' filters side by side.</summary>
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

    /// <summary>Writes the transformed columns of several output channels' filters side by side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackRows(float* taps, nint filterPitch, int count, float* target, nint pointStep, nint columnStep)
    {
        float* values = stackalloc float[WinogradAxis.Points];
        for (; count > 0; count--, taps += filterPitch, target++)
        {
            for (int x = 0; x < 3; x++)
            {
                Transform(taps[x], taps[3 + x], taps[6 + x], values);
                float* at = target + x * columnStep;
                for (int point = 0; point < WinogradAxis.Points; point++, at += pointStep)
                    *at = x == 0 ? 0.5f * values[point] : values[point];
            }
        }
    }

    // Three taps to their values at the six points; see ToomCook.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transform(float a, float b, float c, float* values)
    {
        float half = 0.5f * a, ones = a + c, twos = half + 2 * c;
        values[0] = half;
        values[1] = c;
        values[2] = ones + b;
        values[3] = ones - b;
        values[4] = twos + b;
        values[5] = twos - b;
    }
}
