using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Mean cross-entropy of softmax(logits) against smoothed one-hot targets.</summary>
internal sealed unsafe class CrossEntropy : CpuOperation
{
    /// <summary>Number of logits of one item of parallel work.</summary>
    private const int LogitsPerBlock = 1 << 11;

    private readonly CpuTensor _logits;
    private readonly CpuTensor _derivative;

    private CrossEntropy(CpuTensor logits, CpuTensor derivative, CpuTensor output)
        : base(output)
    {
        _logits = logits;
        _derivative = derivative;
    }

    public static CpuTensor Apply(CpuContext context, CpuTensor logits, ReadOnlySpan<int> labels, float smoothing)
    {
        int samples = logits.N, classes = logits.C;
        var output = context.CreateStepTensor([], logits.RequiresGradient);
        var derivative = context.CreateStepTensor([samples, classes], requiresGradient: false);
        double share = (double)smoothing / classes;
        float* x = logits.Data;
        float* derivatives = derivative.Data;
        int[] labelOf = labels.ToArray();
        var losses = new double[samples];
        int samplesPerBlock = Math.Max(1, LogitsPerBlock / classes);
        context.Run((samples + samplesPerBlock - 1) / samplesPerBlock, (block, _) =>
        {
            for (int n = block * samplesPerBlock; n < Math.Min((block + 1) * samplesPerBlock, samples); n++)
                losses[n] = Sample(x + (long)n * classes, classes, labelOf[n], share, 1 - (double)smoothing, samples, derivatives + (long)n * classes);
        });
        *output.Data = (float)(losses.Sum() / samples);
        context.Record(output, () => new CrossEntropy(logits, derivative, output));
        return output;
    }

    public override void Backward()
    {
        float factor = *Output.Gradient;
        float* d = _logits.GradientForWriting(out bool accumulate);
        Kernels.Elementwise.Scale(_derivative.Data, factor, d, (int)_logits.Count, accumulate);
    }

    /// <summary>
    /// Returns the loss of one sample and writes the derivative of the mean loss over all samples with respect to its
    /// logits: (softmax - target) / samples.
    /// </summary>
    private static double Sample(float* row, int classes, int label, double share, double labelShare, int samples, float* derivative)
    {
        double largest = double.NegativeInfinity, sum = 0, loss = 0;
        for (int c = 0; c < classes; c++)
            largest = Math.Max(largest, row[c]);
        for (int c = 0; c < classes; c++)
            sum += Math.Exp(row[c] - largest);
        double logSum = Math.Log(sum) + largest;
        for (int c = 0; c < classes; c++)
        {
            double target = share + (c == label ? labelShare : 0);
            double logProbability = row[c] - logSum;
            if (target != 0)
                loss -= target * logProbability;
            derivative[c] = (float)((Math.Exp(logProbability) - target) / samples);
        }
        return loss;
    }
}
