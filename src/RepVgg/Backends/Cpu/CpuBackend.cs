using RepVgg.Architectures;
using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Operations;
using RepVgg.Optimizers;
using RepVgg.Runtime.Resampling;
using RepVgg.Weights;

namespace RepVgg.Backends.Cpu;

/// <summary>The backend that computes on the CPU, without native dependencies. Results are bitwise equal for any number of threads.</summary>
internal sealed unsafe class CpuBackend : Backend
{
    private readonly CpuContext _context;

    /// <summary>Creates a backend.</summary>
    /// <param name="threads">Number of threads that compute, at most 1024; 0 for one per logical processor.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 0 or more than 1024 threads.</exception>
    public CpuBackend(int threads = 0) => _context = new CpuContext(threads);

    /// <summary>Number of threads that compute.</summary>
    public int Threads => _context.Threads;

    /// <inheritdoc/>
    public override string Description => $"CPU, {Threads} thread{(Threads == 1 ? "" : "s")}, {_context.Kernels.Name}";

    /// <summary>Bytes allocated from the system for tensors, including free buffers in the pool.</summary>
    internal long AllocatedBytes => _context.Pool.AllocatedBytes;

    /// <inheritdoc/>
    public override void ReleaseUnusedMemory() => _context.Pool.Trim();

    private protected override bool Owns(Tensor tensor) => tensor is CpuTensor own && own.Context == _context;

    private protected override Tensor CreateCore(TensorData initial, TensorRole role) => _context.CreatePersistent(initial, role);

    private protected override Tensor CreateInputCore(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient)
    {
        var tensor = _context.CreateStepTensor(shape, requiresGradient, isLeaf: true);
        _context.Write(tensor, values, tensor.Data);
        return tensor;
    }

    private protected override void CopyInCore(Tensor destination, ReadOnlySpan<float> values)
    {
        values.CopyTo(new Span<float>(Cast(destination).Data, values.Length));
        GC.KeepAlive(destination);
    }

    private protected override void CopyOutCore(Tensor source, Span<float> values)
    {
        var tensor = Cast(source);
        _context.Read(tensor, tensor.Data, values);
        GC.KeepAlive(tensor);
    }

    private protected override void CopyGradientCore(Tensor source, Span<float> values)
    {
        var tensor = Cast(source);
        if (tensor.HasGradient)
            _context.Read(tensor, tensor.Gradient, values);
        else
            values.Clear();
        GC.KeepAlive(tensor);
    }

    private protected override IDisposable BeginStepCore(bool training, bool recording) => _context.BeginStep(training, recording);

    private protected override void BackwardCore(Tensor output, ReadOnlySpan<float> outputGradient, bool accumulate) => _context.Backward(Cast(output), outputGradient, accumulate);

    private protected override Optimizer CreateOptimizerCore(IReadOnlyList<ParameterGroup> groups, OptimizerOptions options, float? gradientClipNorm) => options switch
    {
        SgdOptions sgd => new SgdOptimizer(_context, groups, sgd, gradientClipNorm),
        AdamWOptions adamW => new AdamWOptimizer(_context, groups, adamW, gradientClipNorm),
        _ => throw new NotSupportedException($"The CPU backend has no optimizer for {options.GetType().Name}."),
    };

    private protected override void DisposeCore() => _context.Dispose();

    private protected override Tensor Conv2dCore(Tensor input, Tensor kernel, Tensor? bias, ConvolutionGeometry geometry) =>
        Convolution.Apply(_context, Cast(input), Cast(kernel), bias is null ? null : Cast(bias), geometry);

    private protected override Tensor BatchNormCore(Tensor input, BatchNormState state) => BatchNormalization.Apply(_context, Cast(input), state);

    private protected override Tensor AddCore(Tensor left, Tensor right) => Addition.Apply(_context, Cast(left), Cast(right));

    private protected override Tensor ScaleChannelsCore(Tensor map, Tensor scale) => ChannelScale.Apply(_context, Cast(map), Cast(scale));

    private protected override Tensor ReluCore(Tensor input) => Activation<ReluFunction>.Apply(_context, Cast(input));

    private protected override Tensor SigmoidCore(Tensor input) => Activation<SigmoidFunction>.Apply(_context, Cast(input));

    private protected override Tensor ScaleCore(Tensor input, float factor) => ConstantScale.Apply(_context, Cast(input), factor);

    private protected override Tensor GlobalAveragePoolCore(Tensor input) => AveragePool.Apply(_context, Cast(input));

    private protected override Tensor AveragePool3x3Core(Tensor input, int stride, int padding) => AverageWindow.Apply(_context, Cast(input), stride, padding);

    private protected override Tensor ResizeCore(Tensor map, int height, int width, bool alignCorners) =>
        Resampling.Apply(_context, Cast(map), AxisWeights.Bilinear(map.Shape[2], height, alignCorners), AxisWeights.Bilinear(map.Shape[3], width, alignCorners));

    private protected override Tensor AdaptiveAveragePoolCore(Tensor map, int height, int width) =>
        Resampling.Apply(_context, Cast(map), AxisWeights.AdaptiveMean(map.Shape[2], height), AxisWeights.AdaptiveMean(map.Shape[3], width));

    private protected override Tensor ConcatenateCore(IReadOnlyList<Tensor> maps) => Concatenation.Apply(_context, [.. maps.Select(Cast)]);

    private protected override Tensor PixelCrossEntropyCore(Tensor logits, ReadOnlySpan<byte> labels, byte ignored, ReadOnlySpan<float> classWeights) =>
        CrossEntropy.ApplyToPixels(_context, Cast(logits), labels, ignored, classWeights);

    private protected override Tensor PadWithNormCore(Tensor map, BatchNormState norm) => NormPadding.Apply(_context, Cast(map), norm);

    private protected override Tensor LinearCore(Tensor input, Tensor weight, Tensor bias) => FullyConnected.Apply(_context, Cast(input), Cast(weight), Cast(bias));

    private protected override Tensor SoftmaxCrossEntropyCore(Tensor logits, ReadOnlySpan<int> labels, float labelSmoothing) =>
        CrossEntropy.Apply(_context, Cast(logits), labels, labelSmoothing);

    private protected override Tensor SoftmaxCrossEntropyCore(Tensor logits, ReadOnlySpan<float> targets) => CrossEntropy.Apply(_context, Cast(logits), targets);

    /// <summary>Computes convolutions and at most one identity, each with a batch norm, by one fused operation; other blocks are composed of primitives.</summary>
    private protected override Tensor MultiBranchConvCore(Tensor input, IReadOnlyList<Branch> branches, BlockGeometry geometry, bool relu, BatchNormState? norm) =>
        (norm is null ? MultiBranchBlock.TryApply(_context, Cast(input), branches, geometry, relu) : null)
        ?? base.MultiBranchConvCore(input, branches, geometry, relu, norm);

    private protected override Tensor FakeQuantizeCore(Tensor activation, Tensor bounds, float momentum) => FakeQuantization.Apply(_context, Cast(activation), Cast(bounds), momentum);

    private protected override Tensor QuantizationErrorCore(Tensor weights, int largest) => Operations.QuantizationError.Apply(_context, Cast(weights), largest);

    private protected override Tensor EquivalentKernelCore(IReadOnlyList<Branch> branches) => Operations.EquivalentKernel.Apply(_context, BranchValues.Of(branches));

    private protected override Tensor EquivalentBiasCore(IReadOnlyList<Branch> branches) => Operations.EquivalentBias.Apply(_context, BranchValues.Of(branches));

    private protected override Tensor BranchPenaltyCore(IReadOnlyList<Branch> branches) => Operations.BranchPenalty.Apply(_context, BranchValues.Of(branches));

    private static CpuTensor Cast(Tensor tensor) => (CpuTensor)tensor;
}
