using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Weights;

namespace RepVgg.Testing;

/// <summary>The CPU backend under another name, with faults that a test can switch on.</summary>
internal sealed class AlteredBackend : Backend
{
    private readonly CpuBackend _inner = new(1);

    public float GradientFactor { get; init; } = 1;

    public float LogitFactor { get; init; } = 1;

    public bool ForgetsReluBackward { get; init; }

    public bool OptimizerDoesNothing { get; init; }

    /// <summary>Convolutions that lose their negative outputs, by the shape of the kernel (OIHW), the stride and the groups.</summary>
    public Func<IReadOnlyList<int>, int, int, bool> FaultyConvolution { get; init; } = (_, _, _) => false;

    public float SigmoidFactor { get; init; } = 1;

    public float EvaluationFactor { get; init; } = 1;

    private bool _training;

    public int ReadInterval { get; init; } = 1;

    public override int StepsBetweenReads => ReadInterval;

    public override string Description => "Altered device 3";

    public override Tensor CreateParameter(TensorData initial) => _inner.CreateParameter(initial);

    public override Tensor CreateBuffer(TensorData initial) => _inner.CreateBuffer(initial);

    public override Tensor CreateInput(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient = false) => _inner.CreateInput(shape, values, requiresGradient);

    public override void CopyIn(Tensor destination, ReadOnlySpan<float> values) => _inner.CopyIn(destination, values);

    public override void CopyOut(Tensor source, Span<float> values) => _inner.CopyOut(source, values);

    public override void CopyGradient(Tensor source, Span<float> values) => _inner.CopyGradient(source, values);

    public override IDisposable BeginStep(bool training, bool? record = null)
    {
        _training = training;
        return _inner.BeginStep(training, record);
    }

    public override Tensor Conv2d(Tensor input, Tensor kernel, Tensor? bias, int stride, int padding, int groups)
    {
        var output = _inner.Conv2d(input, kernel, bias, stride, padding, groups);
        return FaultyConvolution(kernel.Shape, stride, groups) ? _inner.Relu(output) : output;
    }

    public override Tensor BatchNorm(Tensor input, BatchNormState state) =>
        _training || EvaluationFactor == 1 ? _inner.BatchNorm(input, state) : _inner.Scale(_inner.BatchNorm(input, state), EvaluationFactor);

    public override Tensor Add(Tensor left, Tensor right) => _inner.Add(left, right);

    public override Tensor ScaleChannels(Tensor map, Tensor scale) => _inner.ScaleChannels(map, scale);

    public override Tensor Relu(Tensor input) => ForgetsReluBackward ? _inner.Scale(input, 1) : _inner.Relu(input);

    public override Tensor Sigmoid(Tensor input) => SigmoidFactor == 1 ? _inner.Sigmoid(input) : _inner.Scale(_inner.Sigmoid(input), SigmoidFactor);

    public override Tensor GlobalAveragePool(Tensor input) => _inner.GlobalAveragePool(input);

    public override Tensor Linear(Tensor input, Tensor weight, Tensor bias) =>
        LogitFactor == 1 ? _inner.Linear(input, weight, bias) : _inner.Scale(_inner.Linear(input, weight, bias), LogitFactor);

    public override Tensor SoftmaxCrossEntropy(Tensor logits, ReadOnlySpan<int> labels, float labelSmoothing) => _inner.SoftmaxCrossEntropy(logits, labels, labelSmoothing);

    public override Tensor Scale(Tensor input, float factor) => _inner.Scale(input, factor);

    public override Tensor EquivalentKernel(BlockBranches branches) => _inner.EquivalentKernel(branches);

    public override Tensor EquivalentBias(BlockBranches branches) => _inner.EquivalentBias(branches);

    public override Tensor BranchPenalty(BlockBranches branches) => _inner.BranchPenalty(branches);

    public override void BackwardFrom(Tensor output, ReadOnlySpan<float> outputGradient) => _inner.BackwardFrom(output, [.. outputGradient.ToArray().Select(value => value * GradientFactor)]);

    public override Optimizer CreateSgd(IReadOnlyList<ParameterGroup> groups, float momentum, bool nesterov) =>
        _inner.CreateSgd(OptimizerDoesNothing ? [] : groups, momentum, nesterov);

    public override void Dispose() => _inner.Dispose();
}
