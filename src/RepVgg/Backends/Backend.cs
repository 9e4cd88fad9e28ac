using RepVgg.Formats;

namespace RepVgg.Backends;

/// <summary>The seam between networks and hardware: what a backend must be able to compute.</summary>
/// <remarks>
/// Networks and the training loop are written once against this class; the CPU and the TorchSharp backend implement it
/// and pass the same tests. Within a training step operations are recorded, and <see cref="Backward"/> fills the
/// gradients of the parameters that took part. A backend is used by one thread at a time.
/// </remarks>
public abstract class Backend : IDisposable
{
    /// <summary>What runs here, for people: "CPU, 2 threads, AVX2".</summary>
    public abstract string Description { get; }

    /// <summary>After how many training steps the totals of a pass should be read: reading waits for the device.</summary>
    public virtual int StepsBetweenReads => 1;

    // Memory ---------------------------------------------------------------------------------------------------

    /// <summary>Makes a trainable tensor that lives until disposed.</summary>
    public abstract Tensor CreateParameter(TensorData initial);

    /// <summary>Makes a tensor that is not trained (running statistics) and lives until disposed.</summary>
    public abstract Tensor CreateBuffer(TensorData initial);

    /// <summary>Copies values in for the current step.</summary>
    /// <param name="shape">NCHW for maps, [N, features] for vectors.</param>
    /// <param name="values">As many as the shape says, in its order.</param>
    /// <param name="requiresGradient">True: <see cref="Backward"/> fills a gradient for it too.</param>
    public abstract Tensor CreateInput(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient = false);

    /// <summary>Starts copying a batch to the device, ahead of the step that will use it. May be called on any thread.</summary>
    /// <param name="shape">NCHW for maps, [N, features] for vectors.</param>
    /// <param name="values">As many as the shape says; they must stay as they are until the batch's step has taken it.</param>
    /// <returns>To be given to <see cref="CreateInput(StagedInput)"/>, and to be disposed.</returns>
    public virtual StagedInput Stage(IReadOnlyList<int> shape, ReadOnlyMemory<float> values) => new HostInput(shape, values);

    /// <summary>Takes a staged batch into the current step.</summary>
    /// <param name="staged">What <see cref="Stage"/> of this backend returned.</param>
    public virtual Tensor CreateInput(StagedInput staged) => staged is HostInput input
        ? CreateInput([.. input.Shape], input.Values.Span)
        : throw new ArgumentException("The batch was staged by another backend.", nameof(staged));

    /// <summary>Overwrites a parameter or buffer.</summary>
    public abstract void CopyIn(Tensor destination, ReadOnlySpan<float> values);

    /// <summary>Reads any tensor.</summary>
    public abstract void CopyOut(Tensor source, Span<float> values);

    /// <summary>Reads the gradient of a parameter, or of an input that asked for one; zeros if it took no part.</summary>
    public abstract void CopyGradient(Tensor source, Span<float> values);

    /// <summary>Starts a step. Tensors made until the returned scope is disposed die with it.</summary>
    /// <param name="training">True: batch norms use batch statistics and update the running ones. False: evaluation, with the running ones.</param>
    /// <param name="record">Whether operations are recorded for <see cref="Backward"/>; null: as <paramref name="training"/>. (false, true) trains with frozen statistics.</param>
    public abstract IDisposable BeginStep(bool training, bool? record = null);

    // Operations -----------------------------------------------------------------------------------------------

    /// <summary>2-d convolution, kernel OIHW with I = C / groups, square stride and zero padding.</summary>
    public abstract Tensor Conv2d(Tensor input, Tensor kernel, Tensor? bias, int stride, int padding, int groups);

    /// <summary>Batch normalisation over N, H, W; mode as the step says, unless the state is frozen.</summary>
    public abstract Tensor BatchNorm(Tensor input, BatchNormState state);

    /// <summary>Element-wise sum of equal shapes.</summary>
    public abstract Tensor Add(Tensor left, Tensor right);

    /// <summary>Multiplies map [N, C, H, W] by [N, C, 1, 1].</summary>
    public abstract Tensor ScaleChannels(Tensor map, Tensor scale);

    /// <summary>max(x, 0).</summary>
    public abstract Tensor Relu(Tensor input);

    /// <summary>1 / (1 + exp(-x)).</summary>
    public abstract Tensor Sigmoid(Tensor input);

    /// <summary>[N, C, H, W] to [N, C, 1, 1]: the mean over H and W.</summary>
    public abstract Tensor GlobalAveragePool(Tensor input);

    /// <summary>x W^T + b: [N, I] or [N, I, 1, 1] with weight [O, I] to [N, O].</summary>
    public abstract Tensor Linear(Tensor input, Tensor weight, Tensor bias);

    /// <summary>Mean cross-entropy of softmax(logits) against integer labels, PyTorch's label smoothing: target (1 - s) one-hot + s / classes.</summary>
    /// <returns>A scalar.</returns>
    public abstract Tensor SoftmaxCrossEntropy(Tensor logits, ReadOnlySpan<int> labels, float labelSmoothing);

    /// <summary>Multiplies by a constant (loss weights).</summary>
    public abstract Tensor Scale(Tensor input, float factor);

    // Training -------------------------------------------------------------------------------------------------

    /// <summary>Fills the gradients of every recorded parameter from a scalar; gradients of earlier steps are replaced. Once a step.</summary>
    /// <exception cref="ArgumentException">Not a scalar.</exception>
    public void Backward(Tensor loss)
    {
        if (loss.Shape.Count != 0)
            throw new ArgumentException($"Backward starts from a scalar, but the tensor's shape is [{string.Join(", ", loss.Shape)}]. Give the gradient by that tensor, or reduce it to a loss.", nameof(loss));
        BackwardFrom(loss, [1f]);
    }

    /// <summary>As <see cref="Backward"/>, from any tensor and a given gradient by it.</summary>
    /// <param name="output">A result of this step.</param>
    /// <param name="outputGradient">In the order of the tensor's shape.</param>
    public abstract void BackwardFrom(Tensor output, ReadOnlySpan<float> outputGradient);

    /// <summary>Makes a stochastic-gradient-descent optimizer over parameters of this backend.</summary>
    public abstract Optimizer CreateSgd(IReadOnlyList<ParameterGroup> groups, float momentum, bool nesterov);

    /// <summary>Makes the moving average of parameters and buffers of this backend.</summary>
    public virtual WeightAverage CreateWeightAverage(IReadOnlyList<Tensor> tensors) => new HostWeightAverage(this, tensors);

    /// <summary>Makes sums over the batches of a pass.</summary>
    public virtual PassTotals CreatePassTotals() => new HostPassTotals(this);

    // Whole blocks: the defaults compose primitives; a backend may fuse them. -----------------------------------

    /// <summary>The training form of a RepVGG block: BN(conv3x3(x)) + BN(conv1x1(x)) [+ BN(x)], without what follows (SE, ReLU).</summary>
    /// <remarks>Source: RepVGG, section 3.2, figure 2(b).</remarks>
    public virtual Tensor MultiBranchConv(Tensor input, Tensor kernel3x3, BatchNormState norm3x3, Tensor kernel1x1, BatchNormState norm1x1, BatchNormState? normIdentity, int stride, int groups, bool relu)
    {
        var sum = Add(
            BatchNorm(Conv2d(input, kernel3x3, null, stride, 1, groups), norm3x3),
            BatchNorm(Conv2d(input, kernel1x1, null, stride, 0, groups), norm1x1));
        if (normIdentity is not null)
            sum = Add(sum, BatchNorm(input, normIdentity));
        return relu ? Relu(sum) : sum;
    }

    // Parameters of a block, re-parameterized within a step: differentiable. -------------------------------------

    /// <summary>The 3x3 kernel that a block's branches add up to, each scaled by its batch norm with the running statistics.</summary>
    /// <remarks>Source: RepVGG, section 3.3. Gradients reach the kernels and the batch norms' weights; the statistics are constants.</remarks>
    /// <param name="branches">The block's parameters.</param>
    /// <returns>OIHW: [O, I / groups, 3, 3].</returns>
    public abstract Tensor EquivalentKernel(BlockBranches branches);

    /// <summary>The bias that goes with <see cref="EquivalentKernel"/>.</summary>
    /// <param name="branches">The block's parameters.</param>
    /// <returns>[O].</returns>
    public abstract Tensor EquivalentBias(BlockBranches branches);

    /// <summary>The RepVGG authors' L2 of a block: the 3x3 kernel's border, squared, and the equivalent kernel's centre, squared and brought to the scale of ordinary L2.</summary>
    /// <remarks>
    /// sum(K3 border ^2) + sum((t3 K3 centre + t1 K1)^2 / (t3^2 + t1^2)), where t is weight / sqrt(running variance + epsilon)
    /// of the branch's batch norm and counts as a constant; the identity branch has no part. Source: the authors' <c>get_custom_L2</c>.
    /// </remarks>
    /// <param name="branches">The block's parameters.</param>
    /// <returns>A scalar.</returns>
    public abstract Tensor BranchPenalty(BlockBranches branches);

    /// <inheritdoc/>
    public abstract void Dispose();
}
