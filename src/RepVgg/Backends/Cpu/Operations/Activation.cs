using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>An element-wise activation function whose derivative is computed from its result.</summary>
/// <typeparam name="TFunction">The activation function.</typeparam>
internal sealed unsafe class Activation<TFunction> : CpuOperation
    where TFunction : struct, IActivationFunction
{
    private readonly CpuTensor _input;

    private Activation(CpuTensor input, CpuTensor output)
        : base(output) => _input = input;

    public static CpuTensor Apply(CpuContext context, CpuTensor input)
    {
        var output = context.CreateStepTensor(input.Dimensions, input.RequiresGradient);
        float* x = input.Data;
        float* y = output.Data;
        Elementwise.Run(context.Loop, output.Count, (start, count) => TFunction.Forward(x + start, y + start, count));
        context.Record(output, () => new Activation<TFunction>(input, output));
        return output;
    }

    public override void Backward()
    {
        float* y = Output.Data;
        float* g = Output.Gradient;
        float* d = _input.GradientForWriting(out bool accumulate);
        Elementwise.Run(Output.Context.Loop, Output.Count, (start, count) => TFunction.Gradient(y + start, g + start, d + start, count, accumulate));
    }
}

/// <summary>An activation function over consecutive values.</summary>
internal unsafe interface IActivationFunction
{
    /// <summary>y = f(x).</summary>
    static abstract void Forward(float* x, float* y, int count);

    /// <summary>d (+)= g * f'(x), computed from y = f(x). (+)= adds to d if <paramref name="accumulate"/> is true and overwrites it otherwise.</summary>
    static abstract void Gradient(float* y, float* g, float* d, int count, bool accumulate);
}

/// <summary>max(x, 0).</summary>
internal readonly unsafe struct ReluFunction : IActivationFunction
{
    public static void Forward(float* x, float* y, int count) => Elementwise.Relu(x, y, count);

    public static void Gradient(float* y, float* g, float* d, int count, bool accumulate) => Elementwise.ReluGradient(y, g, d, count, accumulate);
}

/// <summary>1 / (1 + exp(-x)).</summary>
internal readonly unsafe struct SigmoidFunction : IActivationFunction
{
    public static void Forward(float* x, float* y, int count) => Elementwise.Sigmoid(x, y, count);

    public static void Gradient(float* y, float* g, float* d, int count, bool accumulate) => Elementwise.SigmoidGradient(y, g, d, count, accumulate);
}
