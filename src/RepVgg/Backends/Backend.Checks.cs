using RepVgg.Architectures;

namespace RepVgg.Backends;

/// <content>The checks of arguments and of the step, shared by all operations.</content>
internal abstract partial class Backend
{
    /// <summary>Checks that a tensor is a scalar of the current step.</summary>
    internal void CheckScalar(Tensor tensor, string name)
    {
        CheckActivation(tensor, name);
        if (tensor.Shape.Count != 0)
            throw new ArgumentException($"A scalar is needed, not {Text(tensor.Shape)}.", name);
    }

    /// <summary>Checks that labels fit logits [N, classes] of the current step.</summary>
    internal void CheckLabels(Tensor logits, ReadOnlySpan<int> labels, string name)
    {
        CheckActivation(logits, nameof(logits));
        if (logits.Shape.Count != 2 || logits.Shape[0] != labels.Length)
            throw new ArgumentException($"{labels.Length} labels do not fit logits {Text(logits.Shape)}.", name);
        for (int i = 0; i < labels.Length; i++)
        {
            if ((uint)labels[i] >= (uint)logits.Shape[1])
                throw new ArgumentOutOfRangeException(name, labels[i], $"Label {i} is not one of the {logits.Shape[1]} classes.");
        }
    }

    /// <summary>Checks that labels of pixels fit logits [N, classes, H, W] of the current step.</summary>
    internal void CheckPixelLabels(Tensor logits, ReadOnlySpan<byte> labels, byte ignored, string name)
    {
        CheckMap(logits, nameof(logits));
        int classes = logits.Shape[1];
        if (classes > byte.MaxValue || ignored < classes)
            throw new ArgumentException($"Labels are bytes: with {classes} classes, the ignored label {ignored} must be another one, and there can be at most {byte.MaxValue} classes.", nameof(logits));
        if ((long)logits.Shape[0] * logits.Shape[2] * logits.Shape[3] != labels.Length)
            throw new ArgumentException($"{labels.Length} labels do not fit logits {Text(logits.Shape)}.", name);
        for (int i = 0; i < labels.Length; i++)
        {
            if (labels[i] >= classes && labels[i] != ignored)
                throw new ArgumentOutOfRangeException(name, labels[i], $"The label of pixel {i} is not one of the {classes} classes and not {ignored}, which is ignored.");
        }
    }

    private static void CheckSize(int height, int width)
    {
        if (height < 1 || width < 1)
            throw new ArgumentException($"A map cannot have {height} x {width} pixels.");
    }

    private void CheckTargets(Tensor logits, ReadOnlySpan<float> targets, string name)
    {
        CheckActivation(logits, nameof(logits));
        if (logits.Shape.Count != 2 || (long)logits.Shape[0] * logits.Shape[1] != targets.Length)
            throw new ArgumentException($"{targets.Length} targets do not fit logits {Text(logits.Shape)}.", name);
        double sum = 0;
        for (int i = 0; i < targets.Length; i++)
        {
            if (!(targets[i] >= 0 && float.IsFinite(targets[i])))
                throw new ArgumentOutOfRangeException(name, targets[i], FormattableString.Invariant($"Target {i} must be a finite number of 0 or more."));
            sum += targets[i];
        }
        if (sum == 0)
            throw new ArgumentException("All targets are 0; the sum of a row is the weight of its sample, of which one must be more than 0.", name);
    }

    private Step CurrentStep() => _step ?? throw new InvalidOperationException("Operations need a step: call BeginStep first.");

    /// <summary>Checks that this backend created a tensor and that it was not released.</summary>
    private void CheckOwn(Tensor tensor, string name)
    {
        ArgumentNullException.ThrowIfNull(tensor, name);
        if (!Owns(tensor))
            throw new ArgumentException("The tensor belongs to another backend.", name);
        if (tensor.IsReleased)
            throw new ObjectDisposedException(nameof(Tensor), "The tensor's step is over, or it was disposed.");
    }

    /// <summary>Checks that a tensor is an input or a result of the current step.</summary>
    private void CheckActivation(Tensor tensor, string name)
    {
        CurrentStep();
        CheckOwn(tensor, name);
        if (tensor.Role != TensorRole.Step)
            throw new ArgumentException("The operation needs an input or a result of another operation, not a parameter.", name);
        if (tensor.IsKernel)
            throw new ArgumentException("An equivalent kernel can only be used as the kernel of a convolution or of a branch.", name);
    }

    private void CheckMap(Tensor tensor, string name)
    {
        CheckActivation(tensor, name);
        if (tensor.Shape.Count != 4)
            throw new ArgumentException($"A map [N, C, H, W] from an input or an operation is needed, not {Text(tensor.Shape)}.", name);
    }

    private void CheckKernel(Tensor kernel, string name)
    {
        CheckOwn(kernel, name);
        bool isMap = kernel.Role == TensorRole.Step && !kernel.IsKernel;
        if (kernel.Shape.Count != 4 || isMap)
            throw new ArgumentException($"A convolution's kernel is a parameter, a buffer or an equivalent kernel of shape OIHW, not {(isMap ? "an input or another result" : "a tensor")} of shape {Text(kernel.Shape)}.", name);
    }

    private static void CheckConvolution(Tensor input, Tensor kernel, ConvolutionGeometry geometry)
    {
        int groups = geometry.Groups;
        if (geometry.Stride < 1 || geometry.Dilation < 1 || groups < 1 || Math.Min(Math.Min(geometry.Top, geometry.Left), Math.Min(geometry.Bottom, geometry.Right)) < 0)
            throw new ArgumentException($"A convolution needs stride >= 1, dilation >= 1, padding >= 0 and groups >= 1; {geometry} were given.");
        if (geometry.Stride > 1 && geometry.Dilation > 1)
            throw new ArgumentException($"A convolution cannot have both a stride and a dilation of more than 1; {geometry} were given.");
        if (input.Shape[1] % groups != 0 || kernel.Shape[0] % groups != 0 || kernel.Shape[1] != input.Shape[1] / groups)
            throw new ArgumentException($"A kernel {Text(kernel.Shape)} with {groups} group(s) does not fit an input {Text(input.Shape)}.");
        if (geometry.PaddedHeight(input.Shape[2]) < geometry.Span(kernel.Shape[2]) || geometry.PaddedWidth(input.Shape[3]) < geometry.Span(kernel.Shape[3]))
            throw new ArgumentException($"The kernel {Text(kernel.Shape)} is larger than the padded input {Text(input.Shape)}.");
    }

    private static void CheckBlock(Tensor input, BlockGeometry geometry)
    {
        if (geometry.Stride < 1 || geometry.Groups < 1 || geometry.Dilation < 1 || geometry.Top is not (0 or 1) || geometry.Left is not (0 or 1))
            throw new ArgumentException($"A block needs stride >= 1, groups >= 1, dilation >= 1 and padding of 0 or 1 at the top and at the left; {geometry} were given.");
        if ((geometry.Top == 0 && (geometry.Stride != 2 || input.Shape[2] % 2 != 0)) || (geometry.Left == 0 && (geometry.Stride != 2 || input.Shape[3] % 2 != 0)))
            throw new ArgumentException($"Padding on one side needs stride 2 and an even height or width in that dimension, not {geometry} and an input {Text(input.Shape)}.");
    }

    private void CheckVector(Tensor tensor, int length, string what, string name)
    {
        CheckOwn(tensor, name);
        if (tensor.Shape.Count != 1 || tensor.Shape[0] != length || tensor.Role == TensorRole.Step)
            throw new ArgumentException($"The {what} must be a parameter or buffer of {length} values, but its shape is {Text(tensor.Shape)}.", name);
    }

    private void CheckNorm(BatchNormState state, int channels)
    {
        foreach (var (tensor, name) in (ReadOnlySpan<(Tensor, string)>)[
            (state.Weight, nameof(state.Weight)), (state.Bias, nameof(state.Bias)), (state.RunningMean, nameof(state.RunningMean)), (state.RunningVariance, nameof(state.RunningVariance))])
        {
            CheckOwn(tensor, name);
            if (tensor.Shape.Count != 1 || tensor.Shape[0] != channels || tensor.Role == TensorRole.Step)
                throw new ArgumentException($"Batch normalisation of {channels} outputs or channels needs a parameter or buffer of {channels} values in {name}, but its shape is {Text(tensor.Shape)}.", name);
        }
    }

    /// <summary>Checks that batch statistics are defined, if the batch norm uses them in the current step.</summary>
    private void CheckStatistics(BatchNormState state, long values)
    {
        if (CurrentStep().Training && !state.Frozen && values < 2)
            throw new InvalidOperationException("Batch normalisation in training needs more than one value per channel: use a batch of at least two images, or larger ones.");
    }

    /// <summary>Checks that branches are not empty and that their kernels are equal but for their height and width.</summary>
    /// <returns>The shape of the first kernel, OIHW; null if no branch has one.</returns>
    private IReadOnlyList<int>? CheckBranches(IReadOnlyList<Branch> branches)
    {
        ArgumentNullException.ThrowIfNull(branches);
        if (branches.Count == 0)
            throw new ArgumentException("A block needs at least one branch.", nameof(branches));
        IReadOnlyList<int>? first = null;
        foreach (var branch in branches)
        {
            if (branch.Kernel is not { } kernel)
            {
                if (branch.NormalizesFilters)
                    throw new ArgumentException("A branch without a kernel has no filters to normalise.", nameof(branches));
                continue;
            }
            CheckKernel(kernel, nameof(branches));
            first ??= kernel.Shape;
            if (kernel.Shape[2] is not (1 or 3) || kernel.Shape[3] is not (1 or 3))
                throw new ArgumentException($"The kernel of a branch must have a height and width of 1 or 3, not the shape {Text(kernel.Shape)}.", nameof(branches));
            if (kernel.Shape[0] != first[0] || kernel.Shape[1] != first[1])
                throw new ArgumentException($"The kernels of a block's branches must have equal numbers of outputs and inputs, not the shapes {Text(first)} and {Text(kernel.Shape)}.", nameof(branches));
        }
        return first;
    }

    /// <summary>Checks the tensors of a branch that have one value per output.</summary>
    private void CheckScales(Branch branch, int outputs)
    {
        if (branch.Norm is { } norm)
            CheckNorm(norm, outputs);
        if (branch.ChannelScale is { } scale)
            CheckVector(scale, outputs, "channel scale of a branch", nameof(branch));
    }

    private void CheckEquivalent(IReadOnlyList<Branch> branches)
    {
        CurrentStep();
        if (CheckBranches(branches) is not [var outputs, var inputs, ..])
            throw new ArgumentException("A block without a kernel has no equivalent convolution: its groups are unknown.", nameof(branches));
        foreach (var branch in branches)
        {
            CheckScales(branch, outputs);
            if (branch.Kernel is null && outputs % inputs != 0)
                throw new ArgumentException($"An identity branch needs as many inputs as outputs, but groups of {inputs} inputs do not divide {outputs}.", nameof(branches));
        }
    }

    private static void CheckInput(ReadOnlySpan<int> shape, int values)
    {
        foreach (int dimension in shape)
        {
            if (dimension <= 0)
                throw new ArgumentException($"Dimensions must be positive, but the shape is {Text(shape.ToArray())}.", nameof(shape));
        }
        CheckCount(shape.ToArray(), values, nameof(values));
    }

    private static void CheckCount(IReadOnlyList<int> shape, int actual, string name)
    {
        long expected = shape.Aggregate(1L, (product, dimension) => product * dimension);
        if (expected != actual)
            throw new ArgumentException($"A tensor of shape {Text(shape)} has {expected} values, but {actual} were given.", name);
    }

    private static long ValuesOfChannel(IReadOnlyList<int> shape) => shape.Count == 2 ? shape[0] : (long)shape[0] * shape[2] * shape[3];

    private static string Text(IReadOnlyList<int> shape) => $"[{string.Join(", ", shape)}]";
}
