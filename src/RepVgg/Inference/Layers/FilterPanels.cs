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

    /// <summary>
    /// [point][channels that are transformed together][kx][channel]: columns transformed, as the Winograd filter
    /// transform reads them.
    /// </summary>
    WinogradRows,

    /// <summary>[point of the row][point of the column][input channel]: wholly transformed.</summary>
    WinogradPoints,
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

    /// <param name="block">The convolution.</param>
    /// <param name="inputLanes">Channels in one block of the input's layout.</param>
    /// <param name="lanes">Channels in one block of the output's layout.</param>
    /// <param name="order">Order of the weights.</param>
    /// <param name="arena">Where they go.</param>
    public FilterPanels(BlockSource block, int inputLanes, int lanes, FilterOrder order, NativeArena arena)
    {
        _lanes = lanes;
        _inputLanes = inputLanes;
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

    // Threes where they come out even, else twos as far as it goes: a single vector uses the registers worst. Where few
    // tiles meet the filters, panels of one size matter more: threads share them evenly.
    private int VectorsOfNextPanel(int run, int left) =>
        left % Panels.MaximumVectors == 0 && (Order != FilterOrder.WinogradPoints || run % Panels.MaximumVectors == 0) ? Panels.MaximumVectors
        : left % 2 == 0 ? 2
        : Math.Min(left, Panels.MaximumVectors);

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

    private static long FloatsOf(FilterOrder order, int channels, int pitch) => channels * (long)pitch * order switch
    {
        FilterOrder.TapMajor => 9,
        FilterOrder.WinogradRows => 3 * WinogradAxis.Points,
        _ => WinogradChunk.Points,
    };

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
                    switch (Order)
                    {
                        case FilterOrder.TapMajor:
                            var (inputBlock, lane) = Math.DivRem(channel, _inputLanes);
                            PackTaps(
                                taps, groupInput * 9, end - o, at + ((long)inputBlock * 3 * _inputLanes + lane) * pitch,
                                channels * 3 * pitch, _inputLanes * pitch);
                            break;
                        case FilterOrder.WinogradRows:
                            int together = channel / WinogradFilter.Depth * WinogradFilter.Depth, depth = Math.Min(WinogradFilter.Depth, channels - together);
                            PackRows(
                                taps, groupInput * 9, end - o, at + (2L * together + channel) * pitch, channels * 3 * pitch, depth * pitch);
                            break;
                        default:
                            PackPoints(taps, groupInput * 9, end - o, at + (long)channel * pitch, channels * pitch);
                            break;
                    }
                }
            }
        }
    }

    /// <summary>Writes the nine taps of several output channels' filters side by side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackTaps(float* taps, nint filterPitch, int count, float* target, nint rowStep, nint columnStep)
    {
        for (; count > 0; count--, taps += filterPitch, target++)
        {
            float* at = target;
            for (int k = 0; k < 9; k += 3, at += rowStep)
            {
                at[0] = taps[k];
                at[columnStep] = taps[k + 1];
                at[2 * columnStep] = taps[k + 2];
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
                WinogradFilter.TransformLine(taps[x], taps[3 + x], taps[6 + x], values);
                float* at = target + x * columnStep;
                for (int point = 0; point < WinogradAxis.Points; point++, at += pointStep)
                    *at = values[point];
            }
        }
    }

    /// <summary>Writes the transformed filters of several output channels side by side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackPoints(float* taps, nint filterPitch, int count, float* target, nint pointStep)
    {
        float* columns = stackalloc float[3 * WinogradAxis.Points], values = stackalloc float[WinogradAxis.Points];
        for (; count > 0; count--, taps += filterPitch, target++)
        {
            for (int x = 0; x < 3; x++)
                WinogradFilter.TransformLine(taps[x], taps[3 + x], taps[6 + x], columns + x * WinogradAxis.Points);
            float* at = target;
            for (int row = 0; row < WinogradAxis.Points; row++)
            {
                WinogradFilter.TransformLine(
                    columns[row], columns[WinogradAxis.Points + row], columns[2 * WinogradAxis.Points + row], values);
                for (int column = 0; column < WinogradAxis.Points; column++, at += pointStep)
                    *at = values[column];
            }
        }
    }
}
