using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

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

    /// <summary>Computes the loss of every pixel of a map of logits, with channels last: a row of logits per pixel.</summary>
    /// <param name="context">The execution context.</param>
    /// <param name="logits">[N, classes, H, W].</param>
    /// <param name="labels">The label of every pixel, [N, H, W].</param>
    /// <param name="ignored">The label of pixels that are left out.</param>
    /// <param name="classWeights">Weights of the classes.</param>
    public static CpuTensor ApplyToPixels(CpuContext context, CpuTensor logits, ReadOnlySpan<byte> labels, byte ignored, ReadOnlySpan<float> classWeights)
    {
        byte[] labelOf = labels.ToArray();
        float[] weightOf = classWeights.ToArray();
        double total = 0;
        foreach (byte label in labelOf)
            total += label == ignored ? 0 : weightOf[label];
        return Apply(context, logits, total > 0 ? total : 1, n => new PixelLabel(labelOf[n], labelOf[n] == ignored ? 0 : weightOf[labelOf[n]]));
    }

    private static CpuTensor Apply<TTarget>(CpuContext context, CpuTensor logits, double totalWeight, Func<int, TTarget> targetOf)
        where TTarget : struct, ITarget
    {
        int samples = checked((int)logits.Pixels), classes = logits.C;
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
        float* derivative = _derivative.Data;
        Elementwise.Run(Output.Context.Loop, _logits.Count, (start, count) => Elementwise.Scale(derivative + start, factor, d + start, count, accumulate));
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

    private readonly struct PixelLabel(int label, double weight) : ITarget
    {
        public double Weight => weight;

        public double Of(int c) => c == label ? weight : 0;
    }

    private readonly struct TargetRow(float[] targets, int start, double weight) : ITarget
    {
        public double Weight => weight;

        public double Of(int c) => targets[start + c];
    }
}
