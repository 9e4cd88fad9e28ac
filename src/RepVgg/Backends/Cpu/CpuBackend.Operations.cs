using RepVgg.Backends.Cpu.Operations;

namespace RepVgg.Backends.Cpu;

/// <content>The operations: checks of the arguments and calls of the implementations.</content>
public sealed partial class CpuBackend
{
    /// <inheritdoc/>
    public override Tensor Conv2d(Tensor input, Tensor kernel, Tensor? bias, int stride, int padding, int groups)
    {
        var x = Map(input, nameof(input));
        var w = Own(kernel);
        var b = bias is null ? null : Own(bias);
        CheckConvolution(x, w, stride, padding, groups);
        if (b is not null && b.Count != w.N)
            throw new ArgumentException($"The bias needs {w.N} values, but its shape is [{Text(b.Dimensions)}].", nameof(bias));
        return Convolution.Apply(this, x, w, b, stride, padding, groups);
    }

    /// <inheritdoc/>
    public override Tensor BatchNorm(Tensor input, BatchNormState state)
    {
        var x = Own(input);
        if (x.Role != TensorRole.Step || x.Shape.Count is not (2 or 4))
            throw new ArgumentException($"Batch normalisation needs [N, C] or [N, C, H, W], not [{Text(x.Dimensions)}].", nameof(input));
        return BatchNormalization.Apply(this, x, state);
    }

    /// <inheritdoc/>
    public override Tensor Add(Tensor left, Tensor right)
    {
        var a = Own(left);
        var b = Own(right);
        if (!a.Dimensions.SequenceEqual(b.Dimensions) || a.IsChannelsLast != b.IsChannelsLast)
            throw new ArgumentException($"Only equal shapes can be added: [{Text(a.Dimensions)}] and [{Text(b.Dimensions)}].", nameof(right));
        return Addition.Apply(this, a, b);
    }

    /// <inheritdoc/>
    public override Tensor ScaleChannels(Tensor map, Tensor scale)
    {
        var x = Map(map, nameof(map));
        var s = Own(scale);
        if (s.N != x.N || s.C != x.C || s.Area != 1)
            throw new ArgumentException($"[{Text(x.Dimensions)}] needs a scale [{x.N}, {x.C}, 1, 1], not [{Text(s.Dimensions)}].", nameof(scale));
        return ChannelScale.Apply(this, x, s);
    }

    /// <inheritdoc/>
    public override Tensor Relu(Tensor input) => Activation<Rectifier>.Apply(this, Value(input, nameof(input)));

    /// <inheritdoc/>
    public override Tensor Sigmoid(Tensor input) => Activation<Logistic>.Apply(this, Value(input, nameof(input)));

    /// <inheritdoc/>
    public override Tensor Scale(Tensor input, float factor) => ConstantScale.Apply(this, Value(input, nameof(input)), factor);

    /// <inheritdoc/>
    public override Tensor GlobalAveragePool(Tensor input) => AveragePool.Apply(this, Map(input, nameof(input)));

    /// <inheritdoc/>
    public override Tensor Linear(Tensor input, Tensor weight, Tensor bias)
    {
        var x = Own(input);
        var w = Own(weight);
        var b = Own(bias);
        if (w.Shape.Count != 2 || x.Shape.Count < 2 || x.Area != 1 || x.C != w.C)
            throw new ArgumentException($"A linear layer [{Text(w.Dimensions)}] does not fit an input [{Text(x.Dimensions)}].", nameof(input));
        if (b.Count != w.N)
            throw new ArgumentException($"The bias needs {w.N} values, but its shape is [{Text(b.Dimensions)}].", nameof(bias));
        return FullyConnected.Apply(this, x, w, b);
    }

    /// <inheritdoc/>
    public override Tensor SoftmaxCrossEntropy(Tensor logits, ReadOnlySpan<int> labels, float labelSmoothing)
    {
        var x = Own(logits);
        if (x.Shape.Count != 2 || x.N != labels.Length)
            throw new ArgumentException($"{labels.Length} labels do not fit logits [{Text(x.Dimensions)}].", nameof(labels));
        if (labelSmoothing is not (>= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(labelSmoothing), labelSmoothing, "Label smoothing must be between 0 and 1.");
        for (int i = 0; i < labels.Length; i++)
        {
            if ((uint)labels[i] >= (uint)x.C)
                throw new ArgumentOutOfRangeException(nameof(labels), labels[i], $"Label {i} is not one of the {x.C} classes.");
        }
        return CrossEntropy.Apply(this, x, labels, labelSmoothing);
    }

    /// <inheritdoc/>
    public override Tensor MultiBranchConv(Tensor input, Tensor kernel3x3, BatchNormState norm3x3, Tensor kernel1x1, BatchNormState norm1x1, BatchNormState? normIdentity, int stride, int groups, bool relu)
    {
        var x = Map(input, nameof(input));
        var w3 = Own(kernel3x3);
        var w1 = Own(kernel1x1);
        CheckConvolution(x, w3, stride, 1, groups);
        CheckConvolution(x, w1, stride, 0, groups);
        if (w3.H != 3 || w3.W != 3 || w1.H != 1 || w1.W != 1 || w3.N != w1.N)
            throw new ArgumentException($"A block needs a 3x3 and a 1x1 kernel with equal numbers of outputs, not [{Text(w3.Dimensions)}] and [{Text(w1.Dimensions)}].", nameof(kernel3x3));
        if (normIdentity is not null && (stride != 1 || w3.N != x.C))
            throw new ArgumentException("An identity branch needs stride 1 and equal numbers of input and output channels.", nameof(normIdentity));
        return MultiBranchBlock.Apply(this, x, w3, w1, normIdentity is null ? [norm3x3, norm1x1] : [norm3x3, norm1x1, normIdentity], stride, groups, relu);
    }

    /// <inheritdoc/>
    public override Tensor EquivalentKernel(BlockBranches branches) => Operations.EquivalentKernel.Apply(this, new BranchValues(this, branches));

    /// <inheritdoc/>
    public override Tensor EquivalentBias(BlockBranches branches) => Operations.EquivalentBias.Apply(this, new BranchValues(this, branches));

    /// <inheritdoc/>
    public override Tensor BranchPenalty(BlockBranches branches) => Operations.BranchPenalty.Apply(this, new BranchValues(this, branches));

    private static void CheckConvolution(CpuTensor x, CpuTensor w, int stride, int padding, int groups)
    {
        if (stride < 1 || padding < 0 || groups < 1)
            throw new ArgumentException($"A convolution needs stride >= 1, padding >= 0 and groups >= 1; stride {stride}, padding {padding}, groups {groups} were given.");
        if (w.Shape.Count != 4 || w.IsChannelsLast)
            throw new ArgumentException($"A convolution's kernel is a parameter or buffer of shape OIHW, not [{Text(w.Dimensions)}].");
        if (x.C % groups != 0 || w.N % groups != 0 || w.C != x.C / groups)
            throw new ArgumentException($"A kernel [{Text(w.Dimensions)}] with {groups} group(s) does not fit an input [{Text(x.Dimensions)}].");
        if (x.H + 2 * padding < w.H || x.W + 2 * padding < w.W)
            throw new ArgumentException($"The kernel [{Text(w.Dimensions)}] is larger than the padded input [{Text(x.Dimensions)}].");
    }

    private CpuTensor Map(Tensor tensor, string name)
    {
        var own = Own(tensor);
        return own.IsChannelsLast
            ? own
            : throw new ArgumentException($"A map [N, C, H, W] from an input or an operation is needed, not [{Text(own.Dimensions)}].", name);
    }

    private CpuTensor Value(Tensor tensor, string name)
    {
        var own = Own(tensor);
        return own.Role == TensorRole.Step
            ? own
            : throw new ArgumentException("The operation needs an input or a result of another operation, not a parameter.", name);
    }
}
