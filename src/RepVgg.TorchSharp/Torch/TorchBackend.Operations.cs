using RepVgg.Architectures;
using RepVgg.Backends;
using TorchSharp;
using F = TorchSharp.torch.nn.functional;

namespace RepVgg.TorchSharp;

/// <summary>The operations of the backend. The base class has checked shapes and labels, because an invalid label ends the process on CUDA.</summary>
internal sealed partial class TorchBackend
{
    private static readonly long[] _onePixel = [1, 1];
    private static readonly long[] _window3x3 = [3, 3];
    private static readonly long[] _borderOfOne = [1, 1, 1, 1];

    private protected override Tensor Conv2dCore(Tensor input, Tensor kernel, Tensor? bias, ConvolutionGeometry geometry) =>
        Run(() => Convolve(Value(input), Value(kernel), bias is null ? null : Value(bias), geometry));

    private protected override Tensor BatchNormCore(Tensor input, BatchNormState state) => Run(() => Normalize(Value(input), state));

    private protected override Tensor AddCore(Tensor left, Tensor right) => Run(() => Value(left).Plus(Value(right)));

    private protected override Tensor ScaleChannelsCore(Tensor map, Tensor scale) => Run(() => Value(map) * Value(scale));

    private protected override Tensor ReluCore(Tensor input) => Run(() => Value(input).relu());

    private protected override Tensor SigmoidCore(Tensor input) => Run(() => Value(input).sigmoid());

    private protected override Tensor ScaleCore(Tensor input, float factor) => Run(() => Multiply(Value(input), factor));

    private protected override Tensor GlobalAveragePoolCore(Tensor input) => Run(() => F.adaptive_avg_pool2d(Value(input), _onePixel));

    private protected override Tensor AveragePool3x3Core(Tensor input, int stride, int padding) =>
        Run(() => F.avg_pool2d(Value(input), _window3x3, [stride, stride], [padding, padding], count_include_pad: true));

    private protected override Tensor ResizeCore(Tensor map, int height, int width, bool alignCorners) =>
        Run(() => F.interpolate(Value(map), [height, width], mode: torch.InterpolationMode.Bilinear, align_corners: alignCorners));

    private protected override Tensor AdaptiveAveragePoolCore(Tensor map, int height, int width) => Run(() => F.adaptive_avg_pool2d(Value(map), [height, width]));

    private protected override Tensor ConcatenateCore(IReadOnlyList<Tensor> maps) => Run(() => torch.cat([.. maps.Select(Value)], 1));

    private protected override Tensor PixelCrossEntropyCore(Tensor logits, ReadOnlySpan<byte> labels, byte ignored, ReadOnlySpan<float> classWeights)
    {
        byte[] bytes = labels.ToArray();
        float[] weights = classWeights.ToArray();
        bool hasLabels = Array.Exists(bytes, label => label != ignored && weights[label] > 0);
        return Run(() =>
        {
            using var scope = torch.NewDisposeScope();
            var targets = PixelLabelsOnDevice(bytes, logits.Shape);
            var single = ToSinglePrecision(Value(logits));
            // PyTorch's mean over no pixels is NaN.
            var loss = hasLabels ? F.cross_entropy(single, targets, ToDevice(torch.tensor(weights)), ignore_index: ignored) : Multiply(single.sum(), 0);
            return loss.MoveToOuterDisposeScope();
        });
    }

    /// <summary>Copies the labels of pixels to the device, as 64-bit integers [N, H, W].</summary>
    internal torch.Tensor PixelLabelsOnDevice(byte[] labels, IReadOnlyList<int> logits)
    {
        using var scope = torch.NewDisposeScope();
        return ToDevice(torch.tensor(labels, [logits[0], logits[2], logits[3]], torch.ScalarType.Byte)).to(torch.ScalarType.Int64).MoveToOuterDisposeScope();
    }

    private protected override Tensor PadWithNormCore(Tensor map, BatchNormState norm) => Run(() =>
    {
        using var scope = torch.NewDisposeScope();
        var source = Value(map);
        var border = BorderOf(norm).to(source.dtype) * F.pad(torch.zeros([1, 1, map.Shape[2], map.Shape[3]], source.dtype, _device), _borderOfOne, value: 1);
        return F.pad(source, _borderOfOne).Plus(border).MoveToOuterDisposeScope();
    });

    private protected override Tensor LinearCore(Tensor input, Tensor weight, Tensor bias) => Run(() =>
    {
        using var single = ToSinglePrecision(Value(input));
        using var rows = single.reshape(input.Shape[0], weight.Shape[1]);
        return F.linear(rows, Value(weight), Value(bias));
    });

    private protected override Tensor SoftmaxCrossEntropyCore(Tensor logits, ReadOnlySpan<int> labels, float labelSmoothing)
    {
        var targets = LabelsOnDevice(labels);
        return Run(() =>
        {
            using var single = ToSinglePrecision(Value(logits));
            return F.cross_entropy(single, targets, label_smoothing: labelSmoothing);
        });
    }

    private protected override Tensor SoftmaxCrossEntropyCore(Tensor logits, ReadOnlySpan<float> targets)
    {
        float[] values = targets.ToArray();
        return Run(() =>
        {
            using var scope = torch.NewDisposeScope();
            var rows = ToDevice(torch.tensor(values, [logits.Shape[0], logits.Shape[1]]));
            var logProbabilities = F.log_softmax(ToSinglePrecision(Value(logits)), 1);
            return ((rows * logProbabilities).sum().neg() / rows.sum()).MoveToOuterDisposeScope();
        });
    }

    /// <summary>Computes the same as the composition of primitive operations with less memory: intermediate tensor handles are disposed at once, and the sum and the ReLU are computed in place.</summary>
    private protected override Tensor MultiBranchConvCore(Tensor input, IReadOnlyList<Branch> branches, BlockGeometry geometry, bool relu, BatchNormState? norm) => Run(() =>
    {
        using var source = ToComputeType(Value(input));
        torch.Tensor? sum = null;
        foreach (var branch in branches)
        {
            var part = ComputeBranch(source, branch, geometry);
            if (sum is null)
            {
                sum = part;
                continue;
            }
            using (part)
                sum.AddInPlace(part);
        }
        if (norm is not null)
        {
            using var plain = sum!;
            sum = Normalize(plain, norm);
        }
        return relu ? sum!.relu_() : sum!;
    });

    /// <summary>Returns a new tensor that no other operation reads, so that it can be changed in place.</summary>
    private torch.Tensor ComputeBranch(torch.Tensor input, Branch branch, BlockGeometry geometry)
    {
        using var scope = torch.NewDisposeScope();
        var result = branch.Kernel is { } kernel ? Convolve(input, Value(kernel), null, geometry.Of(branch.KernelHeight, branch.KernelWidth)) : input;
        if (branch.Norm is { } norm)
            result = Normalize(result, norm);
        return (ReferenceEquals(result, input) ? input.clone() : result).MoveToOuterDisposeScope();
    }

    private torch.Tensor Convolve(torch.Tensor input, torch.Tensor kernel, torch.Tensor? bias, ConvolutionGeometry geometry)
    {
        using var source = ToComputeType(input);
        bool isEven = geometry.Top == geometry.Bottom && geometry.Left == geometry.Right;
        using var x = isEven ? source.alias() : F.pad(source, [geometry.Left, geometry.Right, geometry.Top, geometry.Bottom]);
        using var w = ToComputeType(kernel);
        using var b = bias is null ? null : ToComputeType(bias);
        long stride = geometry.Stride, dilation = geometry.Dilation;
        return F.conv2d(x, w, b, [stride, stride], isEven ? [geometry.Top, geometry.Left] : [0, 0], [dilation, dilation], geometry.Groups);
    }

    private torch.Tensor Normalize(torch.Tensor input, BatchNormState state) => F.batch_norm(
        input, Value(state.RunningMean), Value(state.RunningVariance), Value(state.Weight), Value(state.Bias),
        _step!.Training && !state.Frozen, state.Momentum, state.Epsilon);

    /// <summary>Computes what a batch norm makes of 0 with its running statistics, [1, C, 1, 1], without a gradient.</summary>
    private torch.Tensor BorderOf(BatchNormState norm)
    {
        using var mode = torch.no_grad();
        return (Value(norm.Bias) - Value(norm.RunningMean) * NormScaleOf(norm)).reshape(1, -1, 1, 1);
    }

    private static torch.Tensor Multiply(torch.Tensor input, float factor)
    {
        using var scalar = factor.ToScalar();
        return input * scalar;
    }

    /// <summary>Returns a new tensor handle: in bfloat16 in a training step with <see cref="TorchBackendOptions.Bfloat16"/>, otherwise in single precision.</summary>
    private torch.Tensor ToComputeType(torch.Tensor tensor) =>
        tensor.to(_options.Bfloat16 && _step!.Training ? torch.ScalarType.BFloat16 : torch.ScalarType.Float32);

    /// <summary>Returns a new tensor handle in single precision.</summary>
    private static torch.Tensor ToSinglePrecision(torch.Tensor tensor) => tensor.to(torch.ScalarType.Float32);

    /// <summary>Copies labels to the device. Losses of the same step with equal labels share one copy.</summary>
    internal torch.Tensor LabelsOnDevice(ReadOnlySpan<int> labels)
    {
        var step = _step!;
        if (step.Labels is { } known && labels.SequenceEqual(known.Host))
            return known.Device;
        int[] host = labels.ToArray();
        torch.Tensor? device = null;
        TranslateOutOfMemory(() => device = ToDevice(torch.tensor(Array.ConvertAll(host, label => (long)label))));
        step.Labels = (host, device!);
        return device!;
    }

    private static torch.Tensor Value(Tensor tensor) => ((TorchTensor)tensor).Value;

    private TorchTensor Run(Func<torch.Tensor> operation, bool isKernel = false)
    {
        torch.Tensor? result = null;
        TranslateOutOfMemory(() => result = operation());
        return Wrap(result!, isKernel);
    }
}
