using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Formats;

namespace Microsoft.ML.RepVgg.Tests.Support;

/// <summary>The CPU backend under another name, with faults that a test can switch on.</summary>
internal sealed class AlteredBackend : Backend
{
    private readonly CpuBackend _inner = new(1);

    public float GradientFactor { get; init; } = 1;

    public float LogitFactor { get; init; } = 1;

    public bool ForgetsReluBackward { get; init; }

    public bool OptimizerDoesNothing { get; init; }

    /// <summary>3x3 convolutions of hidden layers lose their negative outputs where the input channels are no multiple of this; 1: none do.</summary>
    public int RightForMultiplesOf { get; init; } = 1;

    public int ReadInterval { get; init; } = 1;

    public override int StepsBetweenReads => ReadInterval;

    public override string Description => "Altered device 3";

    public override Tensor CreateParameter(TensorData initial) => _inner.CreateParameter(initial);

    public override Tensor CreateBuffer(TensorData initial) => _inner.CreateBuffer(initial);

    public override Tensor CreateInput(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient = false) => _inner.CreateInput(shape, values, requiresGradient);

    public override void CopyIn(Tensor destination, ReadOnlySpan<float> values) => _inner.CopyIn(destination, values);

    public override void CopyOut(Tensor source, Span<float> values) => _inner.CopyOut(source, values);

    public override void CopyGradient(Tensor source, Span<float> values) => _inner.CopyGradient(source, values);

    public override IDisposable BeginStep(bool training, bool? record = null) => _inner.BeginStep(training, record);

    public override Tensor Conv2d(Tensor input, Tensor kernel, Tensor? bias, int stride, int padding, int groups)
    {
        var output = _inner.Conv2d(input, kernel, bias, stride, padding, groups);
        return padding == 1 && input.Shape[1] > 3 && input.Shape[1] % RightForMultiplesOf != 0 ? _inner.Relu(output) : output;
    }

    public override Tensor BatchNorm(Tensor input, BatchNormState state) => _inner.BatchNorm(input, state);

    public override Tensor Add(Tensor left, Tensor right) => _inner.Add(left, right);

    public override Tensor ScaleChannels(Tensor map, Tensor scale) => _inner.ScaleChannels(map, scale);

    public override Tensor Relu(Tensor input) => ForgetsReluBackward ? _inner.Scale(input, 1) : _inner.Relu(input);

    public override Tensor Sigmoid(Tensor input) => _inner.Sigmoid(input);

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
