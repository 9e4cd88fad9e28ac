using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Mean cross-entropy of softmax(logits) against smoothed one-hot targets, or against rows of weighted targets.</summary>
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
        int[] labelOf = labels.ToArray();
        double share = (double)smoothing / logits.C;
        return Apply(context, logits, logits.N, n => new SmoothedLabel(labelOf[n], share, 1 - (double)smoothing));
    }

    public static CpuTensor Apply(CpuContext context, CpuTensor logits, ReadOnlySpan<float> targets)
    {
        int classes = logits.C;
        float[] rows = targets.ToArray();
        var weights = new double[logits.N];
        for (int n = 0; n < weights.Length; n++)
        {
            for (int c = 0; c < classes; c++)
                weights[n] += rows[n * classes + c];
        }
        return Apply(context, logits, weights.Sum(), n => new TargetRow(rows, n * classes, weights[n]));
    }

    private static CpuTensor Apply<TTarget>(CpuContext context, CpuTensor logits, double totalWeight, Func<int, TTarget> targetOf)
        where TTarget : struct, ITarget
    {
        int samples = logits.N, classes = logits.C;
        var output = context.CreateStepTensor([], logits.RequiresGradient);
        var derivative = context.CreateStepTensor([samples, classes], requiresGradient: false);
        float* x = logits.Data;
        float* derivatives = derivative.Data;
        var losses = new double[samples];
        int samplesPerBlock = Math.Max(1, LogitsPerBlock / classes);
        context.Run((samples + samplesPerBlock - 1) / samplesPerBlock, (block, _) =>
        {
            for (int n = block * samplesPerBlock; n < Math.Min((block + 1) * samplesPerBlock, samples); n++)
                losses[n] = Sample(x + (long)n * classes, classes, targetOf(n), totalWeight, derivatives + (long)n * classes);
        });
        *output.Data = (float)(losses.Sum() / totalWeight);
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
    /// Returns the loss of one sample, times its weight, and writes the derivative of the mean loss over all samples with respect to its
    /// logits: (weight * softmax - target) / total weight.
    /// </summary>
    private static double Sample<TTarget>(float* row, int classes, TTarget targets, double totalWeight, float* derivative)
        where TTarget : struct, ITarget
    {
        double largest = double.NegativeInfinity, sum = 0, loss = 0;
        for (int c = 0; c < classes; c++)
            largest = Math.Max(largest, row[c]);
        for (int c = 0; c < classes; c++)
            sum += Math.Exp(row[c] - largest);
        double logSum = Math.Log(sum) + largest, weight = targets.Weight;
        for (int c = 0; c < classes; c++)
        {
            double target = targets.Of(c);
            double logProbability = row[c] - logSum;
            if (target != 0)
                loss -= target * logProbability;
            derivative[c] = (float)((weight * Math.Exp(logProbability) - target) / totalWeight);
        }
        return loss;
    }

    /// <summary>The targets of one sample, times its weight. They are generic arguments, so that their methods are inlined.</summary>
    private interface ITarget
    {
        /// <summary>The weight: the sum over all classes.</summary>
        double Weight { get; }

        /// <summary>Gets the target of a class.</summary>
        double Of(int c);
    }

    private readonly struct SmoothedLabel(int label, double share, double labelShare) : ITarget
    {
        public double Weight => 1;

        public double Of(int c) => share + (c == label ? labelShare : 0);
    }

    private readonly struct TargetRow(float[] targets, int start, double weight) : ITarget
    {
        public double Weight => weight;

        public double Of(int c) => targets[start + c];
    }
}
