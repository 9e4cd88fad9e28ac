using RepVgg.Inference.Execution;
using RepVgg.Inference.Simd;
using RepVgg.Networks;

namespace RepVgg.Inference.Layers;

/// <summary>3x3 convolution by its definition, any stride and groups; bias and optional ReLU fused.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal sealed unsafe class DirectConvolutionStep<TVector, TLanes> : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int Pixels = 8;

    private readonly MapLayout _input;
    private readonly MapLayout _output;
    private readonly BufferId _source;
    private readonly BufferId _target;
    private readonly int _stride;
    private readonly bool _relu;
    private readonly PackedFilters _filters;
    private readonly int _bands;
    private readonly int _bandRows;

    public DirectConvolutionStep(DeployBlock block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu)
    {
        _input = input;
        _output = output;
        _source = source;
        _target = target;
        _stride = block.Shape.Stride;
        _relu = relu;
        _filters = new PackedFilters(block, input.Lanes, TLanes.Width);
        _bandRows = Math.Max(1, Math.Min(output.Height, 256 / Math.Max(output.Width, 1)));
        _bands = (output.Height + _bandRows - 1) / _bandRows;
    }

    public override int CountItems(int images) => images * _output.Blocks * _bands;

    public override void RunItem(Workspace workspace, int item, int worker)
    {
        (item, int band) = Math.DivRem(item, _bands);
        (int image, int block) = Math.DivRem(item, _output.Blocks);
        int first = band * _bandRows, last = Math.Min(first + _bandRows, _output.Height);

        float* source = workspace[_source] + image * _input.ImagePitch + _filters.FirstInputBlock(block) * _input.BlockPitch;
        float* target = workspace[_target] + image * _output.ImagePitch + block * _output.BlockPitch;
        float* weights = _filters.Weights(block);
        int inputBlocks = _filters.InputBlocks(block), channels = _filters.ChannelsPerBlock;
        for (int y = first; y < last; y++)
        {
            float* sourceRow = source + (long)y * _stride * _input.RowPitch;
            float* targetRow = target + _output.Origin + (long)y * _output.RowPitch;
            for (int x = 0; x < _output.Width; x += Pixels)
            {
                Compute(
                    sourceRow + x * _stride * _input.Lanes, weights, _filters.Bias(block), targetRow + x * TLanes.Width,
                    inputBlocks, channels, Math.Min(Pixels, _output.Width - x));
            }
        }
        _output.ClearBorder(target, first, last);
    }

    public override void Dispose() => _filters.Dispose();

    private void Compute(float* source, float* weights, float* bias, float* target, int inputBlocks, int channels, int pixels)
    {
        // In the planar layout of the input a channel is a block of one lane.
        bool planar = _input.Lanes == 1;
        long channelStep = planar ? _input.BlockPitch : 1;
        long blockStep = _input.BlockPitch;
        int column = _input.Lanes, step = _stride * column;
        TVector a0 = TLanes.Load(bias), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
        for (int b = 0; b < inputBlocks; b++, source += blockStep)
        {
            for (int ky = 0; ky < 3; ky++)
            {
                for (int kx = 0; kx < 3; kx++)
                {
                    float* p = source + ky * _input.RowPitch + kx * column;
                    for (int c = 0; c < channels; c++)
                    {
                        TVector w = TLanes.Load(weights);
                        weights += TLanes.Width;
                        a0 = TLanes.MultiplyAdd(TLanes.Broadcast(p[0]), w, a0);
                        a1 = TLanes.MultiplyAdd(TLanes.Broadcast(p[step]), w, a1);
                        a2 = TLanes.MultiplyAdd(TLanes.Broadcast(p[2 * step]), w, a2);
                        a3 = TLanes.MultiplyAdd(TLanes.Broadcast(p[3 * step]), w, a3);
                        a4 = TLanes.MultiplyAdd(TLanes.Broadcast(p[4 * step]), w, a4);
                        a5 = TLanes.MultiplyAdd(TLanes.Broadcast(p[5 * step]), w, a5);
                        a6 = TLanes.MultiplyAdd(TLanes.Broadcast(p[6 * step]), w, a6);
                        a7 = TLanes.MultiplyAdd(TLanes.Broadcast(p[7 * step]), w, a7);
                        p += channelStep;
                    }
                }
            }
        }
        if (_relu)
        {
            a0 = TLanes.Relu(a0);
            a1 = TLanes.Relu(a1);
            a2 = TLanes.Relu(a2);
            a3 = TLanes.Relu(a3);
            a4 = TLanes.Relu(a4);
            a5 = TLanes.Relu(a5);
            a6 = TLanes.Relu(a6);
            a7 = TLanes.Relu(a7);
        }
        int width = TLanes.Width;
        TLanes.Store(target, a0);
        if (pixels > 1)
            TLanes.Store(target + width, a1);
        if (pixels > 2)
            TLanes.Store(target + 2 * width, a2);
        if (pixels > 3)
            TLanes.Store(target + 3 * width, a3);
        if (pixels > 4)
            TLanes.Store(target + 4 * width, a4);
        if (pixels > 5)
            TLanes.Store(target + 5 * width, a5);
        if (pixels > 6)
            TLanes.Store(target + 6 * width, a6);
        if (pixels > 7)
            TLanes.Store(target + 7 * width, a7);
    }
}
