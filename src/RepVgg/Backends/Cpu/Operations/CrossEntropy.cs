namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Mean cross-entropy of softmax(logits) against smoothed one-hot targets.</summary>
internal sealed unsafe class CrossEntropy : CpuOperation
{
    private readonly CpuTensor _logits;
    private readonly CpuTensor _derivative;

    private CrossEntropy(CpuTensor logits, CpuTensor derivative, CpuTensor output)
        : base(output)
    {
        _logits = logits;
        _derivative = derivative;
    }

    public static CpuTensor Apply(CpuBackend backend, CpuTensor logits, ReadOnlySpan<int> labels, float smoothing)
    {
        int samples = logits.N, classes = logits.C;
        var output = backend.NewStepTensor([], logits.RequiresGradient);
        var derivative = backend.NewStepTensor([samples, classes], requiresGradient: false);
        double total = 0;
        double share = (double)smoothing / classes;
        for (int n = 0; n < samples; n++)
        {
            float* row = logits.Data + (long)n * classes;
            float* d = derivative.Data + (long)n * classes;
            double largest = double.NegativeInfinity, sum = 0;
            for (int c = 0; c < classes; c++)
                largest = Math.Max(largest, row[c]);
            for (int c = 0; c < classes; c++)
                sum += Math.Exp(row[c] - largest);
            double logSum = Math.Log(sum) + largest;
            for (int c = 0; c < classes; c++)
            {
                double target = share + (c == labels[n] ? 1 - (double)smoothing : 0);
                double logProbability = row[c] - logSum;
                if (target != 0)
                    total -= target * logProbability;
                d[c] = (float)((Math.Exp(logProbability) - target) / samples);
            }
        }
        *output.Data = (float)(total / samples);
        backend.Record(output, () => new CrossEntropy(logits, derivative, output));
        return output;
    }

    public override void Backward()
    {
        float factor = *Output.Gradient;
        float* d = _logits.GradientForWriting(out bool accumulate);
        Kernels.Elementwise.Scale(_derivative.Data, factor, d, (int)_logits.Count, accumulate);
    }
}
