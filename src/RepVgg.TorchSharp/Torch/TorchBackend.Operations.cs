using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Weights;
using TorchSharp;
using F = TorchSharp.torch.nn.functional;

namespace RepVgg.TorchSharp;

/// <summary>The operations of the backend. Shapes and labels are checked first, because libtorch's error messages do not name the tensor, and because an invalid label ends the process on CUDA.</summary>
internal sealed partial class TorchBackend
{
    private static readonly long[] _onePixel = [1, 1];

    public override Tensor Conv2d(Tensor input, Tensor kernel, Tensor? bias, int stride, int padding, int groups)
    {
        var x = Map(input, nameof(input));
        var w = Own(kernel);
        var b = bias is null ? null : Own(bias);
        OperationShapes.Convolution(x.Shape, w.Shape, b?.Shape, stride, padding, groups);
        return Run(() => Convolve(x.Value, w, b, stride, padding, groups));
    }

    public override Tensor BatchNorm(Tensor input, BatchNormState state)
    {
        var x = Activation(input, nameof(input));
        OperationShapes.BatchNorm(x.Shape, state, UsesBatch(state));
        return Run(() => Normalize(x.Value, state));
    }

    public override Tensor Add(Tensor left, Tensor right)
    {
        var a = Own(left);
        var b = Own(right);
        OperationShapes.Equal(a.Shape, b.Shape);
        return Run(() => a.Value + b.Value);
    }

    public override Tensor ScaleChannels(Tensor map, Tensor scale)
    {
        var x = Map(map, nameof(map));
        var s = Own(scale);
        OperationShapes.ScaleChannels(x.Shape, s.Shape);
        return Run(() => x.Value * s.Value);
    }

    public override Tensor Relu(Tensor input)
    {
        var x = Activation(input, nameof(input));
        return Run(() => x.Value.relu());
    }

    public override Tensor Sigmoid(Tensor input)
    {
        var x = Activation(input, nameof(input));
        return Run(() => x.Value.sigmoid());
    }

    public override Tensor Scale(Tensor input, float factor)
    {
        var x = Activation(input, nameof(input));
        return Run(() =>
        {
            using var scalar = factor.ToScalar();
            return x.Value * scalar;
        });
    }

    public override Tensor GlobalAveragePool(Tensor input)
    {
        var x = Map(input, nameof(input));
        return Run(() => F.adaptive_avg_pool2d(x.Value, _onePixel));
    }

    public override Tensor Linear(Tensor input, Tensor weight, Tensor bias)
    {
        var x = Activation(input, nameof(input));
        var w = Own(weight);
        var b = Own(bias);
        OperationShapes.Linear(x.Shape, w.Shape, b.Shape);
        return Run(() =>
        {
            using var single = Single(x.Value);
            using var rows = single.reshape(x.Shape[0], w.Shape[1]);
            return F.linear(rows, w.Value, b.Value);
        });
    }

    public override Tensor SoftmaxCrossEntropy(Tensor logits, ReadOnlySpan<int> labels, float labelSmoothing)
    {
        var x = Activation(logits, nameof(logits));
        OperationShapes.CrossEntropy(x.Shape, labels, labelSmoothing);
        var targets = LabelsOnDevice(labels);
        return Run(() =>
        {
            using var single = Single(x.Value);
            return F.cross_entropy(single, targets, label_smoothing: labelSmoothing);
        });
    }

    /// <summary>Computes the same as the composition of primitive operations with less memory: intermediate tensor handles are disposed at once, and the sum and the ReLU are computed in place.</summary>
    public override Tensor MultiBranchConv(Tensor input, Tensor kernel3x3, BatchNormState norm3x3, Tensor kernel1x1, BatchNormState norm1x1, BatchNormState? normIdentity, int stride, int groups, bool relu)
    {
        var x = Map(input, nameof(input));
        var large = Own(kernel3x3);
        var small = Own(kernel1x1);
        OperationShapes.Convolution(x.Shape, large.Shape, null, stride, 1, groups);
        OperationShapes.Convolution(x.Shape, small.Shape, null, stride, 0, groups);
        int[] shape = [x.Shape[0], large.Shape[0], ConvolutionSize.OutputOfBlock(x.Shape[2], stride), ConvolutionSize.OutputOfBlock(x.Shape[3], stride)];
        OperationShapes.BatchNorm(shape, norm3x3, UsesBatch(norm3x3));
        OperationShapes.BatchNorm(shape, norm1x1, UsesBatch(norm1x1));
        if (normIdentity is not null)
            OperationShapes.BatchNorm(x.Shape, normIdentity, UsesBatch(normIdentity));
        return Run(() =>
        {
            using var source = Half(x.Value);
            var sum = ConvolveAndNormalize(source, large, norm3x3, stride, 1, groups);
            AddTo(sum, ConvolveAndNormalize(source, small, norm1x1, stride, 0, groups));
            if (normIdentity is not null)
                AddTo(sum, Normalize(source, normIdentity));
            return relu ? sum.relu_() : sum;
        });
    }

    private static void AddTo(torch.Tensor sum, torch.Tensor branch)
    {
        using (branch)
            sum.add_(branch);
    }

    private torch.Tensor ConvolveAndNormalize(torch.Tensor input, TorchTensor kernel, BatchNormState norm, int stride, int padding, int groups)
    {
        using var convolved = Convolve(input, kernel, null, stride, padding, groups);
        return Normalize(convolved, norm);
    }

    private torch.Tensor Convolve(torch.Tensor input, TorchTensor kernel, TorchTensor? bias, int stride, int padding, int groups)
    {
        using var x = Half(input);
        using var w = Half(kernel.Value);
        using var b = bias is null ? null : Half(bias.Value);
        return F.conv2d(x, w, b, [stride, stride], [padding, padding], groups: groups);
    }

    private torch.Tensor Normalize(torch.Tensor input, BatchNormState state) => F.batch_norm(
        input, Own(state.RunningMean).Value, Own(state.RunningVariance).Value, Own(state.Weight).Value, Own(state.Bias).Value,
        UsesBatch(state), state.Momentum, state.Epsilon);

    private bool UsesBatch(BatchNormState state) => CurrentStep().Training && !state.Frozen;

    /// <summary>Returns a new tensor handle: in bfloat16 in a training step with <see cref="TorchBackendOptions.Bfloat16"/>, otherwise in single precision.</summary>
    private torch.Tensor Half(torch.Tensor tensor) =>
        tensor.to(_options.Bfloat16 && CurrentStep().Training ? torch.ScalarType.BFloat16 : torch.ScalarType.Float32);

    /// <summary>Returns a new tensor handle in single precision.</summary>
    private static torch.Tensor Single(torch.Tensor tensor) => tensor.to(torch.ScalarType.Float32);

    /// <summary>Copies labels to the device. Losses of the same step with equal labels share one copy.</summary>
    internal torch.Tensor LabelsOnDevice(ReadOnlySpan<int> labels)
    {
        var step = CurrentStep();
        if (step.Labels is { } known && labels.SequenceEqual(known.Host))
            return known.Device;
        int[] host = labels.ToArray();
        torch.Tensor? device = null;
        Guarded(() => device = ToDevice(torch.tensor(Array.ConvertAll(host, label => (long)label))));
        step.Labels = (host, device!);
        return device!;
    }

    private TorchTensor Map(Tensor tensor, string name)
    {
        var own = Activation(tensor, name);
        return own.Shape.Count == 4
            ? own
            : throw new ArgumentException($"A map [N, C, H, W] from an input or an operation is needed, not [{string.Join(", ", own.Shape)}].", name);
    }

    private TorchTensor Activation(Tensor tensor, string name)
    {
        CurrentStep();
        var own = Own(tensor);
        return own.Role == TensorRole.Step
            ? own
            : throw new ArgumentException("The operation needs an input or a result of another operation, not a parameter.", name);
    }

    private TorchTensor Run(Func<torch.Tensor> operation)
    {
        torch.Tensor? result = null;
        Guarded(() => result = operation());
        return Wrap(result!);
    }
}
