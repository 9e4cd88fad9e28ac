using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>A linear layer, x W^T + b, computed as a convolution with one tap whose pixels are the samples.</summary>
internal sealed unsafe class FullyConnected : CpuOperation
{
    private const int SamplesPerBlock = 32;

    private readonly CpuTensor _input;
    private readonly CpuTensor _weight;
    private readonly CpuTensor _bias;

    private FullyConnected(CpuTensor input, CpuTensor weight, CpuTensor bias, CpuTensor output)
        : base(output)
    {
        _input = input;
        _weight = weight;
        _bias = bias;
    }

    public static CpuTensor Apply(CpuContext context, CpuTensor input, CpuTensor weight, CpuTensor bias)
    {
        int samples = input.N, inputs = weight.C, outputs = weight.N;
        var output = context.CreateStepTensor([samples, outputs], input.RequiresGradient || weight.RequiresGradient || bias.RequiresGradient);
        var kernels = context.Kernels;
        using var packed = new ChunkedBuffer(context.Pool, 1, PackedGemm.PackedLength(kernels, 1, inputs, outputs));
        PackedGemm.Pack(context.Kernels, context.Loop, weight.Data, [0], inputs, 1, outputs, inputs, packed[0]);
        float* x = input.Data;
        float* y = output.Data;
        float* b = bias.Data;
        RunBlocks(context, samples, inputs, outputs, (offsets, first) =>
        {
            float* result = y + first * outputs;
            PackedGemm.Run(kernels, offsets, offsets.Pixels, x + first * inputs, inputs, packed[0], outputs, result, accumulate: false);
            ChannelLoops.AddBias(result, offsets.Pixels, outputs, b);
        });
        context.Record(output, () => new FullyConnected(input, weight, bias, output));
        return output;
    }

    public override void Backward()
    {
        var context = Output.Context;
        var kernels = context.Kernels;
        int samples = _input.N, inputs = _weight.C, outputs = _weight.N;
        float* gradient = Output.Gradient;
        if (_input.RequiresGradient)
        {
            using var packed = new ChunkedBuffer(context.Pool, 1, PackedGemm.PackedLength(kernels, 1, outputs, inputs));
            PackedGemm.Pack(context.Kernels, context.Loop, _weight.Data, [0], outputs, inputs, inputs, 1, packed[0]);
            float* inputGradient = _input.GradientForWriting(out bool accumulate);
            RunBlocks(context, samples, outputs, inputs, (offsets, first) =>
                PackedGemm.Run(kernels, offsets, offsets.Pixels, gradient + first * outputs, outputs, packed[0], inputs, inputGradient + first * inputs, accumulate));
        }
        if (_weight.RequiresGradient)
            AddWeightGradient(context, samples, inputs, outputs, gradient);
        if (_bias.RequiresGradient)
        {
            using var sums = new ChunkedBuffer(context.Pool, 1, outputs);
            sums.Clear(0);
            ChannelLoops.AddSums(gradient, samples, outputs, sums[0]);
            sums.SumInto(_bias);
        }
    }

    private void AddWeightGradient(CpuContext context, int samples, int inputs, int outputs, float* gradient)
    {
        var kernels = context.Kernels;
        using var sums = new ChunkedBuffer(context.Pool, 1, WeightGradientGemm.SumsLength(kernels, 1, inputs, outputs));
        sums.Clear(0);
        float* x = _input.Data;
        var offsets = CreateOffsets(samples, inputs, outputs);
        int stride = kernels.PadColumns(outputs);
        const int RowsPerBlock = 48;
        float* weightGradient = _weight.GradientForWriting(out bool accumulate);
        context.Run((inputs + RowsPerBlock - 1) / RowsPerBlock, (block, _) =>
        {
            int first = block * RowsPerBlock, rows = Math.Min(RowsPerBlock, inputs - first);
            float* blockSums = sums[0] + (long)first * stride;
            WeightGradientGemm.Accumulate(kernels, offsets, samples, x + first, rows, gradient, outputs, outputs, blockSums);
            Transposition.Run(blockSums, stride, rows, outputs, weightGradient + first, inputs, accumulate);
        });
    }

    private static void RunBlocks(CpuContext context, int samples, int inputStride, int outputStride, Action<GemmOffsets, long> body)
    {
        var whole = CreateOffsets(Math.Min(SamplesPerBlock, samples), inputStride, outputStride);
        int rest = samples % SamplesPerBlock;
        var last = rest == 0 ? whole : CreateOffsets(rest, inputStride, outputStride);
        context.Run((samples + SamplesPerBlock - 1) / SamplesPerBlock, (block, _) =>
        {
            long first = (long)block * SamplesPerBlock;
            body(samples - first >= SamplesPerBlock ? whole : last, first);
        });
    }

    private static GemmOffsets CreateOffsets(int samples, int inputStride, int outputStride) =>
        GemmOffsets.Create([.. Enumerable.Range(0, samples).Select(i => i * inputStride)],
            [.. Enumerable.Range(0, samples).Select(i => i * outputStride)], [0]);
}
