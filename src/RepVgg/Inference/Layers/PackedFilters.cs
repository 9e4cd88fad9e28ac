using RepVgg.Inference.Execution;
using RepVgg.Networks;

namespace RepVgg.Inference.Layers;

/// <summary>
/// A block's 3x3 filters in the order in which the direct kernel reads them:
/// [output block][input block][ky][kx][input channel][output lane], with zeros in lanes above the last channel.
/// </summary>
/// <remarks>
/// With groups, an output block reads only the input blocks that its channels' groups touch; where a block straddles
/// groups, the weights between channels of different groups are zero.
/// </remarks>
internal sealed unsafe class PackedFilters : IDisposable
{
    private readonly NativeBuffer _weights;
    private readonly NativeBuffer _bias;
    private readonly (long Offset, int First, int Count)[] _blocks;
    private readonly int _lanes;

    /// <param name="block">The convolution.</param>
    /// <param name="inputLanes">Lanes of the input's layout; 1 for the planar input.</param>
    /// <param name="lanes">Lanes of the output's layout.</param>
    public PackedFilters(DeployBlock block, int inputLanes, int lanes)
    {
        var shape = block.Shape;
        int groupInput = shape.InputChannels / shape.Groups, groupOutput = shape.OutputChannels / shape.Groups;
        _lanes = lanes;
        // The planar input is read as one block that holds all channels.
        int blockChannels = inputLanes == 1 ? shape.InputChannels : inputLanes;
        ChannelsPerBlock = blockChannels;
        int outputBlocks = (shape.OutputChannels + lanes - 1) / lanes;
        _blocks = new (long, int, int)[outputBlocks];
        long total = 0;
        for (int ob = 0; ob < outputBlocks; ob++)
        {
            int lastChannel = Math.Min((ob + 1) * lanes, shape.OutputChannels) - 1;
            int from = ob * lanes / groupOutput * groupInput / blockChannels;
            int to = ((lastChannel / groupOutput + 1) * groupInput - 1) / blockChannels;
            _blocks[ob] = (total, from, to - from + 1);
            total += (long)(to - from + 1) * blockChannels * 9 * lanes;
        }
        _weights = new NativeBuffer(total);
        _bias = new NativeBuffer((long)outputBlocks * lanes);
        for (int o = 0; o < shape.OutputChannels; o++)
        {
            _bias.Pointer[o] = block.Bias[o];
            var (offset, first, _) = _blocks[o / lanes];
            for (int i = 0; i < groupInput; i++)
            {
                int channel = o / groupOutput * groupInput + i;
                float* at = _weights.Pointer + offset + (long)(channel / blockChannels - first) * 9 * blockChannels * lanes
                    + channel % blockChannels * lanes + o % lanes;
                for (int k = 0; k < 9; k++)
                    at[(long)k * blockChannels * lanes] = block.Kernel[(o * groupInput + i) * 9 + k];
            }
        }
    }

    /// <summary>Channels that the kernel reads from each input block.</summary>
    public int ChannelsPerBlock { get; }

    public int FirstInputBlock(int outputBlock) => _blocks[outputBlock].First;

    public int InputBlocks(int outputBlock) => _blocks[outputBlock].Count;

    public float* Weights(int outputBlock) => _weights.Pointer + _blocks[outputBlock].Offset;

    public float* Bias(int outputBlock) => _bias.Pointer + outputBlock * _lanes;

    public void Dispose()
    {
        _weights.Dispose();
        _bias.Dispose();
    }
}
