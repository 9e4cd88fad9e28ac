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
    /// <summary>[input block][ky][kx][channel of the block]: as the direct kernel reads them.</summary>
    TapMajor,

    /// <summary>[input channel][ky][kx]: as the Winograd filter transform reads them.</summary>
    ChannelMajor,
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

    /// <param name="block">The convolution.</param>
    /// <param name="inputLanes">Channels in one block of the input's layout.</param>
    /// <param name="lanes">Channels in one block of the output's layout.</param>
    /// <param name="order">Order of the weights.</param>
    /// <param name="arena">Where they go.</param>
    public FilterPanels(BlockSource block, int inputLanes, int lanes, FilterOrder order, NativeArena arena)
    {
        _lanes = lanes;
        _panels = Cut(block.Shape, inputLanes, lanes, out long total);
        Floats = total;
        _weights = arena.Allocate(total);
        _bias = arena.Allocate((long)((block.Shape.OutputChannels + lanes - 1) / lanes) * lanes);
        arena.Filling.Add((ref float[] room) => Fill(block, inputLanes, order, ref room));
    }

    public int Count => _panels.Length;

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
        floats = (panel + 1 < Count ? _panels[panel + 1].Offset : Floats) - _panels[panel].Offset;
        return Weights(_panels[panel]);
    }

    /// <summary>A panel's biases, one vector after the other.</summary>
    public float* Bias(in FilterPanel panel) => _bias + panel.FirstBlock * _lanes;

    private static FilterPanel[] Cut(BlockSpec shape, int inputLanes, int lanes, out long total)
    {
        int groupInput = shape.InputChannels / shape.Groups, groupOutput = shape.OutputChannels / shape.Groups;
        bool aligned = shape.Groups == 1 || (groupInput % inputLanes == 0 && groupOutput % lanes == 0);
        int blocks = (shape.OutputChannels + lanes - 1) / lanes;
        int run = aligned ? blocks / shape.Groups : 1;
        var panels = new List<FilterPanel>();
        total = 0;
        for (int first = 0; first < blocks;)
        {
            int vectors = VectorsOfNextPanel(run - first % run);
            int lastChannel = Math.Min((first + vectors) * lanes, shape.OutputChannels) - 1;
            int from = first * lanes / groupOutput * groupInput / inputLanes;
            int to = ((lastChannel / groupOutput + 1) * groupInput - 1) / inputLanes;
            panels.Add(new FilterPanel(first, vectors, from, to - from + 1, total));
            total += (long)(to - from + 1) * inputLanes * 9 * vectors * lanes;
            first += vectors;
        }
        return [.. panels];
    }

    // Threes where they come out even, else twos as far as it goes: a single vector uses the registers worst.
    private static int VectorsOfNextPanel(int left) =>
        left % Panels.MaximumVectors == 0 ? Panels.MaximumVectors
        : left % 2 == 0 ? 2
        : Math.Min(left, Panels.MaximumVectors);

    private void Fill(BlockSource block, int inputLanes, FilterOrder order, ref float[] room)
    {
        var shape = block.Shape;
        block.Bias.Read(0, shape.OutputChannels, ref room).CopyTo(new Span<float>(_bias, shape.OutputChannels));
        int row = 9 * (shape.InputChannels / shape.Groups);
        for (int i = 0; i < _panels.Length; i++)
        {
            int first = _panels[i].FirstBlock * _lanes, last = Math.Min(first + _panels[i].Vectors * _lanes, shape.OutputChannels);
            Pack(shape, block.Kernel.Read(first * row, (last - first) * row, ref room), _panels[i], inputLanes, order);
        }
    }

    /// <summary>Packs the kernels of one panel's output channels.</summary>
    private void Pack(BlockSpec shape, ReadOnlySpan<float> kernels, in FilterPanel panel, int inputLanes, FilterOrder order)
    {
        int groupInput = shape.InputChannels / shape.Groups, groupOutput = shape.OutputChannels / shape.Groups;
        int pitch = panel.Vectors * _lanes;
        int channelStep = order == FilterOrder.TapMajor ? pitch : 9 * pitch;
        int tapStep = order == FilterOrder.TapMajor ? inputLanes * pitch : pitch;
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
                    var (inputBlock, lane) = Math.DivRem(group * groupInput + i, inputLanes);
                    float* at = Weights(panel) + (long)(inputBlock - panel.FirstInputBlock) * 9 * inputLanes * pitch + (long)lane * channelStep;
                    Scatter(source + ((long)(o - first) * groupInput + i) * 9, groupInput * 9, end - o, at + (o - first), tapStep);
                }
            }
        }
    }

    /// <summary>Writes the nine taps of several output channels' filters side by side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scatter(float* taps, nint pitch, int count, float* target, nint tapStep)
    {
        for (; count > 0; count--, taps += pitch, target++)
        {
            float* at = target;
            for (int k = 0; k < 9; k++, at += tapStep)
                *at = taps[k];
        }
    }
}
