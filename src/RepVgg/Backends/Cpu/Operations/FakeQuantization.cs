using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Rounds an activation to the 256 levels of its range; see <see cref="Backend.FakeQuantize"/>.</summary>
internal sealed unsafe class FakeQuantization : CpuOperation
{
    private readonly CpuTensor _input;
    private readonly float _scale, _zero;

    private FakeQuantization(CpuTensor input, CpuTensor output, float scale, float zero)
        : base(output) => (_input, _scale, _zero) = (input, scale, zero);

    public static CpuTensor Apply(CpuContext context, CpuTensor input, CpuTensor bounds, float momentum)
    {
        if (momentum > 0)
            Update(context, input, bounds.Data, momentum);
        float low = Math.Min(bounds.Data[0], 0), high = Math.Max(bounds.Data[1], 0), scale = (high - low) / byte.MaxValue;
        if (scale == 0)
            return ConstantScale.Apply(context, input, 1);
        float zero = Math.Clamp(MathF.Round(-low / scale), byte.MinValue, byte.MaxValue);
        var output = context.CreateStepTensor(input.Dimensions, input.RequiresGradient);
        float* x = input.Data;
        float* y = output.Data;
        Elementwise.Run(context.Loop, output.Count, (start, count) => Elementwise.FakeQuantize(x + start, y + start, count, scale, zero));
        context.Record(output, () => new FakeQuantization(input, output, scale, zero));
        return output;
    }

    public override void Backward()
    {
        float* x = _input.Data;
        float* g = Output.Gradient;
        float* d = _input.GradientForWriting(out bool accumulate);
        Elementwise.Run(Output.Context.Loop, Output.Count, (start, count) => Elementwise.FakeQuantizeGradient(x + start, g + start, d + start, count, _scale, _zero, accumulate));
    }

    /// <summary>Moves the bounds towards those of a batch, which replace the bounds 0 and 0.</summary>
    private static void Update(CpuContext context, CpuTensor input, float* bounds, float momentum)
    {
        var blocks = new (float Minimum, float Maximum)[Elementwise.Blocks(input.Count)];
        float* x = input.Data;
        Elementwise.Run(context.Loop, input.Count, (start, count) => blocks[start / Elementwise.Block] = Elementwise.Bounds(x + start, count, 0, 0));
        float low = blocks.Min(block => block.Minimum), high = blocks.Max(block => block.Maximum);
        bool isFirst = bounds[0] == 0 && bounds[1] == 0;
        bounds[0] = isFirst ? low : bounds[0] + momentum * (low - bounds[0]);
        bounds[1] = isFirst ? high : bounds[1] + momentum * (high - bounds[1]);
    }
}

/// <summary>The change of weights by their quantization; see <see cref="Backend.QuantizationError"/>.</summary>
internal static unsafe class QuantizationError
{
    public static CpuTensor Apply(CpuContext context, CpuTensor weights, int largest)
    {
        var error = context.CreateStepTensor(weights.Dimensions, requiresGradient: false, isKernel: true);
        int outputs = weights.N, filter = (int)(weights.Count / outputs);
        float* from = weights.Data;
        float* to = error.Data;
        context.Run(outputs, (o, _) =>
        {
            float* w = from + (long)o * filter;
            float* e = to + (long)o * filter;
            var (minimum, maximum) = Elementwise.Bounds(w, filter, 0, 0);
            float bound = Math.Max(-minimum, maximum), scale = bound == 0 ? 1 : bound / largest;
            for (int i = 0; i < filter; i++)
                e[i] = MathF.Round(w[i] / scale) * scale - w[i];
        });
        return error;
    }
}
