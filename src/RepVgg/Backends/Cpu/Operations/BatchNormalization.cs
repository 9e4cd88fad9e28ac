using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Batch normalisation over all rows of [rows, channels]: with the statistics of the batch or with the running statistics.</summary>
internal sealed unsafe class BatchNormalization : CpuOperation
{
    private readonly CpuTensor _input;
    private readonly NormalizationStatistics _statistics;

    private BatchNormalization(CpuTensor input, NormalizationStatistics statistics, CpuTensor output)
        : base(output)
    {
        _input = input;
        _statistics = statistics;
    }

    public static CpuTensor Apply(CpuContext context, CpuTensor input, BatchNormState state)
    {
        var output = context.CreateStepTensor(input.Dimensions,
            input.RequiresGradient || ((CpuTensor)state.Weight).RequiresGradient || ((CpuTensor)state.Bias).RequiresGradient);
        int channels = input.C;
        var statistics = new NormalizationStatistics(context, state, channels);
        var chunks = ChunksOf(input);
        float* from = input.Data;
        if (statistics.UsesBatch)
        {
            using var moments = new ChunkedBuffer(context.Pool, chunks.Count, 2 * channels);
            context.Run(chunks.Count, (chunk, _) =>
            {
                int start = chunks.Start(chunk);
                float* result = moments[chunk];
                ChannelLoops.Moments(from + (long)start * channels, chunks.Start(chunk + 1) - start, channels, result, result + channels);
            });
            statistics.UseBatch(chunks, moments);
        }
        else
        {
            statistics.UseRunning();
        }
        float* to = output.Data;
        context.Run(chunks.Count, (chunk, _) =>
        {
            long start = chunks.Start(chunk);
            ChannelLoops.Normalize(from + start * channels, to + start * channels, (int)(chunks.Start(chunk + 1) - start), channels,
                statistics.Mean, statistics.Scale, statistics.Shift);
        });
        context.Record(output, () => new BatchNormalization(input, statistics, output));
        return output;
    }

    public override void Backward()
    {
        var context = Output.Context;
        int channels = _input.C;
        var chunks = ChunksOf(_input);
        float* input = _input.Data;
        float* gradient = Output.Gradient;
        using var sums = new ChunkedBuffer(context.Pool, chunks.Count, 2 * channels);
        context.Run(chunks.Count, (chunk, _) =>
        {
            long start = chunks.Start(chunk);
            float* result = sums[chunk];
            ChannelLoops.GradientMoments(input + start * channels, gradient + start * channels, (int)(chunks.Start(chunk + 1) - start), channels,
                _statistics.Mean, result, result + channels);
        });
        _statistics.Backward(_input.Pixels, c => sums.Total(c), c => sums.Total(channels + c));
        if (!_input.RequiresGradient)
            return;
        float* inputGradient = _input.GradientForWriting(out bool accumulate);
        context.Run(chunks.Count, (chunk, _) =>
        {
            long start = chunks.Start(chunk);
            ChannelLoops.NormalizeGradient(input + start * channels, gradient + start * channels, inputGradient + start * channels,
                (int)(chunks.Start(chunk + 1) - start), channels, _statistics.Mean, _statistics.GradientFactor, _statistics.InputFactor,
                _statistics.GradientOffset, accumulate);
        });
    }

    private static BatchChunks ChunksOf(CpuTensor input) => BatchChunks.OfRows(input.Pixels, 512);
}
