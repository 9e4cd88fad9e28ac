using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Optimizers;
using RepVgg.Weights;

namespace RepVgg.Testing;

/// <summary>The CPU backend under another name, with faults that a test can switch on.</summary>
internal sealed class AlteredBackend : Backend
{
    private readonly CpuBackend _inner = new(1);

    public float GradientFactor { get; init; } = 1;

    public float LogitFactor { get; init; } = 1;

    public bool SkipsReluBackward { get; init; }

    public bool OptimizerDoesNothing { get; init; }

    /// <summary>Convolutions that lose their negative outputs, by the shape of the kernel (OIHW), the stride and the groups.</summary>
    public Func<IReadOnlyList<int>, int, int, bool> FaultyConvolution { get; init; } = (_, _, _) => false;

    public float SigmoidFactor { get; init; } = 1;

    public float EvaluationFactor { get; init; } = 1;

    /// <summary>From this training step on, counted from 0, the logits of training are NaN.</summary>
    public int FirstFaultyStep { get; init; } = int.MaxValue;

    /// <summary>Number of batches that were staged.</summary>
    public int StagedBatches { get; private set; }

    private bool _training;
    private int _trainingSteps;

    public int ReadInterval { get; init; } = 1;

    public override int StepsBetweenReads => ReadInterval;

    public override string Description => "Altered device 3";

    // The tensors are those of the inner backend.
    private protected override bool Owns(Tensor tensor) => true;

    private protected override Tensor CreateCore(TensorData initial, TensorRole role) =>
        role == TensorRole.Parameter ? _inner.CreateParameter(initial) : _inner.CreateBuffer(initial);

    private protected override Tensor CreateInputCore(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient) => _inner.CreateInput(shape, values, requiresGradient);

    private protected override StagedInput StageCore(int[] shape, ReadOnlyMemory<float> values)
    {
        StagedBatches++;
        return base.StageCore(shape, values);
    }

    private protected override void CopyInCore(Tensor destination, ReadOnlySpan<float> values) => _inner.CopyIn(destination, values);

    private protected override void CopyOutCore(Tensor source, Span<float> values) => _inner.CopyOut(source, values);

    private protected override void CopyGradientCore(Tensor source, Span<float> values) => _inner.CopyGradient(source, values);

    private protected override IDisposable BeginStepCore(bool training, bool recording)
    {
        _training = training;
        _trainingSteps += training ? 1 : 0;
        return _inner.BeginStep(training, recording);
    }

    private protected override Tensor Conv2dCore(Tensor input, Tensor kernel, Tensor? bias, ConvolutionGeometry geometry)
    {
        var output = _inner.Conv2d(input, kernel, bias, geometry);
        return FaultyConvolution(kernel.Shape, geometry.Stride, geometry.Groups) ? _inner.Relu(output) : output;
    }

    private protected override Tensor BatchNormCore(Tensor input, BatchNormState state) =>
        _training || EvaluationFactor == 1 ? _inner.BatchNorm(input, state) : _inner.Scale(_inner.BatchNorm(input, state), EvaluationFactor);

    private protected override Tensor AddCore(Tensor left, Tensor right) => _inner.Add(left, right);

    private protected override Tensor ScaleChannelsCore(Tensor map, Tensor scale) => _inner.ScaleChannels(map, scale);

    private protected override Tensor ReluCore(Tensor input) => SkipsReluBackward ? _inner.Scale(input, 1) : _inner.Relu(input);

    private protected override Tensor SigmoidCore(Tensor input) => SigmoidFactor == 1 ? _inner.Sigmoid(input) : _inner.Scale(_inner.Sigmoid(input), SigmoidFactor);

    private protected override Tensor GlobalAveragePoolCore(Tensor input) => _inner.GlobalAveragePool(input);

    private protected override Tensor ResizeCore(Tensor map, int height, int width, bool alignCorners) => _inner.Resize(map, height, width, alignCorners);

    private protected override Tensor AdaptiveAveragePoolCore(Tensor map, int height, int width) => _inner.AdaptiveAveragePool(map, height, width);

    private protected override Tensor ConcatenateCore(IReadOnlyList<Tensor> maps) => _inner.Concatenate(maps);

    private protected override Tensor PixelCrossEntropyCore(Tensor logits, ReadOnlySpan<byte> labels, byte ignored, ReadOnlySpan<float> classWeights) => _inner.PixelCrossEntropy(logits, labels, ignored, classWeights);

    private protected override Tensor AveragePool3x3Core(Tensor input, int stride, int padding) => _inner.AveragePool3x3(input, stride, padding);

    private protected override Tensor PadWithNormCore(Tensor map, BatchNormState norm) => _inner.PadWithNorm(map, norm);

    private protected override Tensor LinearCore(Tensor input, Tensor weight, Tensor bias) =>
        _training && _trainingSteps > FirstFaultyStep ? _inner.Scale(_inner.Linear(input, weight, bias), float.NaN) : LogitFactor == 1 ? _inner.Linear(input, weight, bias) : _inner.Scale(_inner.Linear(input, weight, bias), LogitFactor);

    private protected override Tensor SoftmaxCrossEntropyCore(Tensor logits, ReadOnlySpan<int> labels, float labelSmoothing) => _inner.SoftmaxCrossEntropy(logits, labels, labelSmoothing);

    private protected override Tensor SoftmaxCrossEntropyCore(Tensor logits, ReadOnlySpan<float> targets) => _inner.SoftmaxCrossEntropy(logits, targets);

    private protected override Tensor ScaleCore(Tensor input, float factor) => _inner.Scale(input, factor);

    private protected override Tensor FakeQuantizeCore(Tensor activation, Tensor bounds, float momentum) => _inner.FakeQuantize(activation, new RangeState(bounds, momentum) { Frozen = momentum == 0 });

    private protected override Tensor QuantizationErrorCore(Tensor weights, int largest) => _inner.QuantizationError(weights, largest);

    private protected override Tensor EquivalentKernelCore(IReadOnlyList<Branch> branches) => _inner.EquivalentKernel(branches);

    private protected override Tensor EquivalentBiasCore(IReadOnlyList<Branch> branches) => _inner.EquivalentBias(branches);

    private protected override Tensor BranchPenaltyCore(IReadOnlyList<Branch> branches) => _inner.BranchPenalty(branches);

    private protected override void BackwardCore(Tensor output, ReadOnlySpan<float> outputGradient, bool accumulate) =>
        _inner.BackwardFrom(output, [.. outputGradient.ToArray().Select(value => value * GradientFactor)], accumulate);

    private protected override Optimizer CreateOptimizerCore(IReadOnlyList<ParameterGroup> groups, OptimizerOptions options, float? gradientClipNorm) =>
        _inner.CreateOptimizer(OptimizerDoesNothing ? [] : groups, options, gradientClipNorm);

    private protected override void DisposeCore() => _inner.Dispose();
}
