using RepVgg.Architectures;

namespace RepVgg.Backends;

/// <content>The operations of a step: each one checks its arguments and calls the core method of the backend.</content>
internal abstract partial class Backend
{
    /// <summary>2-d convolution of an NCHW input with zero padding that is equal in both dimensions.</summary>
    /// <param name="input">[N, C, H, W].</param>
    /// <param name="kernel">A parameter or buffer, OIHW with I = C / groups.</param>
    /// <param name="bias">[O]; null for none.</param>
    /// <param name="stride">Stride in both dimensions, at least 1.</param>
    /// <param name="padding">Rows and columns of zeros on each side, at least 0.</param>
    /// <param name="groups">Number of groups, at least 1.</param>
    public Tensor Conv2d(Tensor input, Tensor kernel, Tensor? bias, int stride, int padding, int groups) =>
        Conv2d(input, kernel, bias, ConvolutionGeometry.Padded(stride, padding, groups));

    /// <summary>2-d convolution of an NCHW input.</summary>
    /// <param name="input">[N, C, H, W].</param>
    /// <param name="kernel">A parameter or buffer, OIHW with I = C / groups.</param>
    /// <param name="bias">[O]; null for none.</param>
    /// <param name="geometry">Stride, dilation and groups, at least 1, and padding, at least 0. A stride and a dilation of more than 1 cannot be combined.</param>
    public Tensor Conv2d(Tensor input, Tensor kernel, Tensor? bias, ConvolutionGeometry geometry)
    {
        CheckMap(input, nameof(input));
        CheckKernel(kernel, nameof(kernel));
        CheckConvolution(input, kernel, geometry);
        if (bias is not null)
            CheckVector(bias, kernel.Shape[0], "bias", nameof(bias));
        return Conv2dCore(input, kernel, bias, geometry);
    }

    /// <summary>Batch normalisation over N, H, W. The mode of the step decides which statistics are used, unless the state is frozen.</summary>
    /// <param name="input">[N, C, H, W] or [N, C].</param>
    /// <param name="state">Parameters and running statistics of C channels.</param>
    /// <exception cref="InvalidOperationException">Batch statistics of a single value per channel are undefined.</exception>
    public Tensor BatchNorm(Tensor input, BatchNormState state)
    {
        CheckActivation(input, nameof(input));
        ArgumentNullException.ThrowIfNull(state);
        if (input.Shape.Count is not (2 or 4))
            throw new ArgumentException($"Batch normalisation needs [N, C] or [N, C, H, W], not {Text(input.Shape)}.", nameof(input));
        CheckNorm(state, input.Shape[1]);
        CheckStatistics(state, ValuesOfChannel(input.Shape));
        return BatchNormCore(input, state);
    }

    /// <summary>Element-wise sum of two tensors of equal shape.</summary>
    public Tensor Add(Tensor left, Tensor right)
    {
        CheckActivation(left, nameof(left));
        CheckActivation(right, nameof(right));
        if (!left.Shape.SequenceEqual(right.Shape))
            throw new ArgumentException($"Only equal shapes can be added: {Text(left.Shape)} and {Text(right.Shape)}.", nameof(right));
        return AddCore(left, right);
    }

    /// <summary>Multiplies each channel of a map [N, C, H, W] by one factor of a tensor [N, C, 1, 1].</summary>
    public Tensor ScaleChannels(Tensor map, Tensor scale)
    {
        CheckMap(map, nameof(map));
        CheckActivation(scale, nameof(scale));
        if (!scale.Shape.SequenceEqual([map.Shape[0], map.Shape[1], 1, 1]))
            throw new ArgumentException($"{Text(map.Shape)} needs a scale [{map.Shape[0]}, {map.Shape[1]}, 1, 1], not {Text(scale.Shape)}.", nameof(scale));
        return ScaleChannelsCore(map, scale);
    }

    /// <summary>max(x, 0).</summary>
    public Tensor Relu(Tensor input)
    {
        CheckActivation(input, nameof(input));
        return ReluCore(input);
    }

    /// <summary>1 / (1 + exp(-x)).</summary>
    public Tensor Sigmoid(Tensor input)
    {
        CheckActivation(input, nameof(input));
        return SigmoidCore(input);
    }

    /// <summary>Multiplies a tensor by a constant, such as a loss weight.</summary>
    public Tensor Scale(Tensor input, float factor)
    {
        CheckActivation(input, nameof(input));
        return ScaleCore(input, factor);
    }

    /// <summary>[N, C, H, W] to [N, C, 1, 1]: the mean over H and W.</summary>
    public Tensor GlobalAveragePool(Tensor input)
    {
        CheckMap(input, nameof(input));
        return GlobalAveragePoolCore(input);
    }

    /// <summary>The mean of every 3x3 window. The zeros of the padding count: the divisor is always 9.</summary>
    /// <param name="input">[N, C, H, W] with H and W of at least 3 - 2 * padding.</param>
    /// <param name="stride">Distance of the windows in both dimensions, at least 1.</param>
    /// <param name="padding">Rows and columns of zeros on each side: 0 or 1.</param>
    /// <returns>[N, C, (H + 2 * padding - 3) / stride + 1, (W + 2 * padding - 3) / stride + 1], rounded down.</returns>
    public Tensor AveragePool3x3(Tensor input, int stride, int padding)
    {
        CheckMap(input, nameof(input));
        if (stride < 1 || padding is not (0 or 1))
            throw new ArgumentException($"Average pooling needs stride >= 1 and padding 0 or 1; stride {stride} and padding {padding} were given.");
        if (input.Shape[2] + 2 * padding < 3 || input.Shape[3] + 2 * padding < 3)
            throw new ArgumentException($"A window of 3x3 is larger than the input {Text(input.Shape)} with padding {padding}.", nameof(input));
        return AveragePool3x3Core(input, stride, padding);
    }

    /// <summary>[N, C, H, W] to [N, C, H + 2, W + 2]: adds a border of one pixel with what a batch norm makes of 0 with its running statistics: bias - running mean * weight / sqrt(running variance + epsilon).</summary>
    /// <remarks>
    /// The batch norm itself is not applied: the map is its result, computed before, so that in training the running statistics
    /// already contain the batch. The border is a constant: no gradient flows through it to the batch norm. Source: BNAndPadLayer of the
    /// Diverse Branch Block.
    /// </remarks>
    /// <param name="map">[N, C, H, W].</param>
    /// <param name="norm">Parameters and running statistics of C channels.</param>
    public Tensor PadWithNorm(Tensor map, BatchNormState norm)
    {
        CheckMap(map, nameof(map));
        ArgumentNullException.ThrowIfNull(norm);
        CheckNorm(norm, map.Shape[1]);
        return PadWithNormCore(map, norm);
    }

    /// <summary>x W^T + b: [N, I] or [N, I, 1, 1] with weight [O, I] to [N, O].</summary>
    public Tensor Linear(Tensor input, Tensor weight, Tensor bias)
    {
        CheckActivation(input, nameof(input));
        CheckOwn(weight, nameof(weight));
        if (weight.Role == TensorRole.Step && !weight.IsKernel)
            throw new ArgumentException("The weight of a linear layer must be a parameter or buffer, or a quantization error.", nameof(weight));
        bool isVector = input.Shape.Count == 2 || input.Shape is [_, _, 1, 1];
        if (weight.Shape.Count != 2 || !isVector || input.Shape[1] != weight.Shape[1])
            throw new ArgumentException($"A linear layer {Text(weight.Shape)} does not fit an input {Text(input.Shape)}.", nameof(input));
        CheckVector(bias, weight.Shape[0], "bias", nameof(bias));
        return LinearCore(input, weight, bias);
    }

    /// <summary>Mean cross-entropy of softmax(logits) and integer labels, with label smoothing s as in PyTorch: the target is (1 - s) one-hot + s / classes.</summary>
    /// <param name="logits">[N, classes].</param>
    /// <param name="labels">N labels, from 0 to classes - 1.</param>
    /// <param name="labelSmoothing">s, from 0 to 1.</param>
    /// <returns>A scalar.</returns>
    public Tensor SoftmaxCrossEntropy(Tensor logits, ReadOnlySpan<int> labels, float labelSmoothing)
    {
        CheckLabels(logits, labels, nameof(labels));
        if (labelSmoothing is not (>= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(labelSmoothing), labelSmoothing, "Label smoothing must be between 0 and 1.");
        return SoftmaxCrossEntropyCore(logits, labels, labelSmoothing);
    }

    /// <summary>Weighted mean of the cross-entropies of softmax(logits) and target probabilities: the sum of -targets * log(softmax(logits)), divided by the sum of the targets.</summary>
    /// <param name="logits">[N, classes].</param>
    /// <param name="targets">N * classes finite values of 0 or more. The sum of a row is the weight of its sample, at least one of which is not 0.</param>
    /// <returns>A scalar.</returns>
    public Tensor SoftmaxCrossEntropy(Tensor logits, ReadOnlySpan<float> targets)
    {
        CheckTargets(logits, targets, nameof(targets));
        return SoftmaxCrossEntropyCore(logits, targets);
    }

    /// <summary>The training form of a block: the sum of its branches, followed by a batch norm if there is one and by ReLU if <paramref name="relu"/> is true, without squeeze-and-excitation.</summary>
    /// <remarks>
    /// Source: RepVGG, section 3.2, figure 2(b). Branches without batch norms are one linear map: if none has a batch norm and at least one has
    /// a kernel, they are computed as one convolution by their equivalent kernel. Branches with channel scales or normalised filters can only be
    /// computed that way.
    /// </remarks>
    /// <param name="input">[N, C, H, W].</param>
    /// <param name="branches">The branches of the block, at least one, with equal numbers of outputs. An identity needs stride 1 and O = C.</param>
    /// <param name="geometry">How the convolutions move over the input. A height or width that is padded on one side only must be even, and its stride 2.</param>
    /// <param name="relu">Whether negative values of the result are replaced by 0.</param>
    /// <param name="norm">Batch norm of the sum, O channels; null for none.</param>
    /// <returns>[N, O, ceil(H / stride), ceil(W / stride)].</returns>
    public Tensor MultiBranchConv(Tensor input, IReadOnlyList<Branch> branches, BlockGeometry geometry, bool relu, BatchNormState? norm = null)
    {
        CheckMap(input, nameof(input));
        int? kernelOutputs = CheckBranches(branches)?[0];
        CheckBlock(input, geometry);
        int stride = geometry.Stride;
        int outputs = kernelOutputs ?? input.Shape[1];
        long values = (long)input.Shape[0] * ConvolutionSize.OutputOfBlock(input.Shape[2], stride) * ConvolutionSize.OutputOfBlock(input.Shape[3], stride);
        foreach (var branch in branches)
        {
            if (branch.Kernel is { } kernel)
                CheckConvolution(input, kernel, geometry.Of(branch.KernelHeight, branch.KernelWidth));
            else if (stride != 1 || outputs != input.Shape[1])
                throw new ArgumentException($"An identity branch needs stride 1 and equal numbers of input and output channels, not stride {stride} and {input.Shape[1]} to {outputs} channels.", nameof(branches));
            CheckScales(branch, outputs);
            if (branch.Norm is not null)
                CheckStatistics(branch.Norm, values);
        }
        if (norm is not null)
        {
            CheckNorm(norm, outputs);
            CheckStatistics(norm, values);
        }

        using var merged = MergeBranches(branches, geometry);
        if (merged is not null)
            branches = [new Branch(merged)];
        return branches is [{ Kernel: { } single, Norm: null }]
            ? MultiBranchConvCore(input, [new Branch(single, norm)], geometry, relu, norm: null)
            : MultiBranchConvCore(input, branches, geometry, relu, norm);
    }

    // Quantization-aware training. --------------------------------------------------------------------------------

    /// <summary>Rounds the values of an activation to 256 levels, as if it were stored as unsigned bytes. In training mode, the range is updated from the batch first, unless it is frozen.</summary>
    /// <remarks>
    /// With the bounds lo and hi, scale = (hi - lo) / 255, zero = round(-lo / scale) and q = round(x / scale) + zero, the result is scale * (clip(q, 0, 255) - zero); ties are rounded to even. The gradient passes
    /// where q is from 0 to 255 and is 0 elsewhere (straight-through estimator). With the bounds 0 and 0, the result is the input. Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    /// Integer-Arithmetic-Only Inference", CVPR 2018, sections 3 and 3.1.
    /// </remarks>
    /// <param name="activation">A map [N, C, H, W] or features [N, C].</param>
    /// <param name="range">The range of the activation.</param>
    public Tensor FakeQuantize(Tensor activation, RangeState range)
    {
        CheckActivation(activation, nameof(activation));
        ArgumentNullException.ThrowIfNull(range);
        CheckVector(range.Bounds, 2, "range of an activation", nameof(range));
        return FakeQuantizeCore(activation, range.Bounds, CurrentStep().Training && !range.Frozen ? range.Momentum : 0);
    }

    /// <summary>The change of weights by rounding them to signed integers with one scale for each output: scale * round(w / scale) - w, where scale is the largest absolute weight of the output divided by the largest integer.</summary>
    /// <remarks>
    /// It is a constant: no gradient flows through it. A layer with the sum of its weights and of this change is one with quantized weights, whose gradient with respect to the
    /// weights is that of the straight-through estimator. The weights of a block need not be computed for that: its result is the sum of its branches and of a convolution with the change of its equivalent kernel.
    /// </remarks>
    /// <param name="weights">A kernel OIHW or the weight of a linear layer [O, I]: a parameter, a buffer or an equivalent kernel.</param>
    /// <param name="largest">The largest integer, from 1 to 127.</param>
    /// <returns>A tensor of the same shape, which operations of the same step take as a kernel or as the weight of a linear layer.</returns>
    public Tensor QuantizationError(Tensor weights, int largest)
    {
        CurrentStep();
        CheckOwn(weights, nameof(weights));
        if (weights.Shape.Count is not (2 or 4) || (weights.Role == TensorRole.Step && !weights.IsKernel))
            throw new ArgumentException($"Weights to quantize are a parameter, a buffer or an equivalent kernel of shape [O, I] or OIHW, not a tensor of shape {Text(weights.Shape)}.", nameof(weights));
        if (largest is < 1 or > sbyte.MaxValue)
            throw new ArgumentOutOfRangeException(nameof(largest), largest, "The largest integer of a weight must be from 1 to 127.");
        return QuantizationErrorCore(weights, largest);
    }

    // Parameters of a block, re-parameterized within a step: differentiable. -------------------------------------

    /// <summary>The equivalent 3x3 kernel of a block: the sum of the kernels of its branches, each scaled by its batch norm with the running statistics.</summary>
    /// <remarks>
    /// Source: RepVGG, section 3.3. Differentiable with respect to the kernels, the channel scales and the batch norm weights; the
    /// running statistics are constants. Must be called within a step, whose operations take the result as a kernel, and not as a map.
    /// </remarks>
    /// <param name="branches">The branches of the block, of which at least one has a kernel.</param>
    /// <returns>OIHW: [O, I / groups, 3, 3].</returns>
    public Tensor EquivalentKernel(IReadOnlyList<Branch> branches)
    {
        CheckEquivalent(branches);
        return EquivalentKernelCore(branches);
    }

    /// <summary>The equivalent bias of a block, which belongs to <see cref="EquivalentKernel"/>: the sum of bias - running mean * scale over the batch norms of its branches, with their channel scales.</summary>
    /// <param name="branches">The branches of the block, of which at least one has a kernel.</param>
    /// <returns>[O].</returns>
    public Tensor EquivalentBias(IReadOnlyList<Branch> branches)
    {
        CheckEquivalent(branches);
        return EquivalentBiasCore(branches);
    }

    /// <summary>
    /// The custom L2 penalty of the RepVGG authors for one block: the squared border taps of the 3x3 kernels plus the
    /// squared, normalised centre taps of the equivalent kernel.
    /// </summary>
    /// <remarks>
    /// sum(border taps ^2) + sum((sum of t K centre)^2 / (sum of t^2)) over the branches with kernels, where t is the scale of
    /// the branch: weight / sqrt(running variance + epsilon) of its batch norm. The scales are
    /// treated as constants; identity branches are not included. Source: the authors' <c>get_custom_L2</c>, for a 3x3 and a 1x1 branch.
    /// </remarks>
    /// <param name="branches">The branches of the block, of which at least one has a 3x3 kernel.</param>
    /// <returns>A scalar.</returns>
    public Tensor BranchPenalty(IReadOnlyList<Branch> branches)
    {
        CheckEquivalent(branches);
        if (!branches.Any(branch => branch is { KernelHeight: 3, KernelWidth: 3 }))
            throw new ArgumentException("The custom L2 penalty needs a branch with a 3x3 kernel.", nameof(branches));
        if (branches.Any(branch => branch.RequiresMerging))
            throw new ArgumentException("The custom L2 penalty is not defined for branches with channel scales or normalised filters.", nameof(branches));
        return BranchPenaltyCore(branches);
    }

    // Core methods: their arguments are checked. -----------------------------------------------------------------

    private protected abstract Tensor Conv2dCore(Tensor input, Tensor kernel, Tensor? bias, ConvolutionGeometry geometry);

    private protected abstract Tensor BatchNormCore(Tensor input, BatchNormState state);

    private protected abstract Tensor AddCore(Tensor left, Tensor right);

    private protected abstract Tensor ScaleChannelsCore(Tensor map, Tensor scale);

    private protected abstract Tensor ReluCore(Tensor input);

    private protected abstract Tensor SigmoidCore(Tensor input);

    private protected abstract Tensor ScaleCore(Tensor input, float factor);

    private protected abstract Tensor GlobalAveragePoolCore(Tensor input);

    private protected abstract Tensor AveragePool3x3Core(Tensor input, int stride, int padding);

    private protected abstract Tensor PadWithNormCore(Tensor map, BatchNormState norm);

    private protected abstract Tensor LinearCore(Tensor input, Tensor weight, Tensor bias);

    private protected abstract Tensor SoftmaxCrossEntropyCore(Tensor logits, ReadOnlySpan<int> labels, float labelSmoothing);

    private protected abstract Tensor SoftmaxCrossEntropyCore(Tensor logits, ReadOnlySpan<float> targets);

    /// <summary>Computes <see cref="FakeQuantize"/> after an update of the bounds.</summary>
    /// <param name="activation">The activation.</param>
    /// <param name="bounds">The bounds of the range.</param>
    /// <param name="momentum">Weight of the batch in the update of the bounds; 0 for no update.</param>
    private protected abstract Tensor FakeQuantizeCore(Tensor activation, Tensor bounds, float momentum);

    /// <summary>Computes <see cref="QuantizationError"/>.</summary>
    /// <returns>A constant tensor with <see cref="Tensor.IsKernel"/>.</returns>
    private protected abstract Tensor QuantizationErrorCore(Tensor weights, int largest);

    /// <summary>Composes the block of primitives. A backend may override this method with a fused operation that computes the same.</summary>
    /// <param name="input">The input map.</param>
    /// <param name="branches">The branches, without channel scales and normalised filters.</param>
    /// <param name="geometry">How the convolutions move over the input.</param>
    /// <param name="relu">Whether negative values of the result are replaced by 0.</param>
    /// <param name="norm">Batch norm of the sum; null if there is none or if a single convolution has it as the batch norm of its branch.</param>
    private protected virtual Tensor MultiBranchConvCore(Tensor input, IReadOnlyList<Branch> branches, BlockGeometry geometry, bool relu, BatchNormState? norm)
    {
        Tensor? sum = null;
        foreach (var branch in branches)
        {
            var part = branch.Kernel is { } kernel ? Conv2dCore(input, kernel, null, geometry.Of(branch.KernelHeight, branch.KernelWidth)) : input;
            if (branch.Norm is not null)
                part = BatchNormCore(part, branch.Norm);
            sum = sum is null ? part : AddCore(sum, part);
        }
        if (norm is not null)
            sum = BatchNormCore(sum!, norm);
        if (relu)
            return ReluCore(sum!);
        // The caller may dispose the result, which must not be the input itself.
        return ReferenceEquals(sum, input) ? ScaleCore(input, 1) : sum!;
    }

    /// <summary>Computes <see cref="EquivalentKernel"/>, differentiable with respect to the kernels, the channel scales and the weights of the batch norms.</summary>
    /// <returns>A tensor with <see cref="Tensor.IsKernel"/>.</returns>
    private protected abstract Tensor EquivalentKernelCore(IReadOnlyList<Branch> branches);

    /// <summary>Computes <see cref="EquivalentBias"/>, differentiable with respect to the channel scales and the weights and biases of the batch norms.</summary>
    private protected abstract Tensor EquivalentBiasCore(IReadOnlyList<Branch> branches);

    /// <summary>Computes <see cref="BranchPenalty"/>, differentiable with respect to the kernels; the scales of the batch norms are constants.</summary>
    private protected abstract Tensor BranchPenaltyCore(IReadOnlyList<Branch> branches);

    /// <summary>Computes the equivalent kernel of the branches of a block if they are one linear map and not already a single convolution.</summary>
    /// <returns>The kernel; null if the branches are to be computed as they are.</returns>
    private Tensor? MergeBranches(IReadOnlyList<Branch> branches, BlockGeometry geometry)
    {
        bool requiresMerging = branches.Any(branch => branch.RequiresMerging);
        if (branches.Any(branch => branch.Kernel is not null) && branches.All(branch => branch.Norm is null) && (geometry.IsCentred || requiresMerging))
        {
            if (!geometry.IsCentred)
                throw new ArgumentException("Branches with channel scales or normalised filters are computed as one kernel with the other kernels in its centre; they need padding on all sides.", nameof(geometry));
            return requiresMerging || branches.Count > 1 ? EquivalentKernelCore(branches) : null;
        }
        if (requiresMerging)
            throw new ArgumentException("Channel scales and normalised filters need a block with a kernel in which no branch has a batch norm of its own; give the block a batch norm of the sum instead.", nameof(branches));
        return null;
    }
}
