using RepVgg.Weights;

namespace RepVgg.Backends;

/// <summary>The abstract base class of backends: the tensor operations that networks and the training loop use.</summary>
/// <remarks>
/// The CPU backend and the TorchSharp backend derive from this class and pass the same tests. Within a training step,
/// operations are recorded, and <see cref="Backward"/> computes the gradients of the parameters that were used. Unless
/// a method states otherwise, a backend may be used by only one thread at a time.
/// </remarks>
public abstract class Backend : IDisposable
{
    /// <summary>Description of the device for display, such as "CPU, 2 threads, AVX2".</summary>
    public abstract string Description { get; }

    /// <summary>
    /// Number of steps between two reads of <see cref="PassTotals"/>. A read waits for the device, so a backend with an
    /// asynchronous device returns more than 1.
    /// </summary>
    public virtual int StepsBetweenReads => 1;

    // Memory ---------------------------------------------------------------------------------------------------

    /// <summary>Creates a trainable tensor that is valid until it is disposed.</summary>
    public abstract Tensor CreateParameter(TensorData initial);

    /// <summary>Creates a tensor that is not trained, such as running statistics, and is valid until it is disposed.</summary>
    public abstract Tensor CreateBuffer(TensorData initial);

    /// <summary>Creates an input tensor of the current step from values.</summary>
    /// <param name="shape">NCHW for maps, [N, features] for vectors.</param>
    /// <param name="values">The elements, in the order of the shape (row-major); their number must match the shape.</param>
    /// <param name="requiresGradient">True if <see cref="Backward"/> also computes the gradient with respect to this input.</param>
    public abstract Tensor CreateInput(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient = false);

    /// <summary>Starts copying a batch to the device, before the step that uses it. May be called on any thread.</summary>
    /// <param name="shape">NCHW for maps, [N, features] for vectors.</param>
    /// <param name="values">The elements, in the order of the shape. They must not be changed until the step has called <see cref="CreateInput(StagedInput)"/>.</param>
    /// <returns>The staged batch, to be passed to <see cref="CreateInput(StagedInput)"/> and then disposed.</returns>
    public virtual StagedInput Stage(IReadOnlyList<int> shape, ReadOnlyMemory<float> values) => new HostInput(shape, values);

    /// <summary>Creates an input tensor of the current step from a staged batch.</summary>
    /// <param name="staged">A batch staged by <see cref="Stage"/> of this backend.</param>
    public virtual Tensor CreateInput(StagedInput staged) => staged is HostInput input
        ? CreateInput([.. input.Shape], input.Values.Span)
        : throw new ArgumentException("The batch was staged by another backend.", nameof(staged));

    /// <summary>Overwrites the values of a parameter or buffer.</summary>
    public abstract void CopyIn(Tensor destination, ReadOnlySpan<float> values);

    /// <summary>Copies the values of a tensor to <paramref name="values"/>.</summary>
    public abstract void CopyOut(Tensor source, Span<float> values);

    /// <summary>
    /// Copies the gradient of a parameter, or of an input created with requiresGradient, to <paramref name="values"/>;
    /// zeros if the tensor was not used in the backward pass.
    /// </summary>
    public abstract void CopyGradient(Tensor source, Span<float> values);

    /// <summary>Starts a step. Tensors created in the step are released when the returned scope is disposed.</summary>
    /// <param name="training">True for training mode: batch norms use the statistics of the batch and update the running statistics. False for evaluation mode: batch norms use the running statistics.</param>
    /// <param name="record">Whether operations are recorded for <see cref="Backward"/>; null for the value of <paramref name="training"/>. The combination (false, true) trains with fixed running statistics.</param>
    public abstract IDisposable BeginStep(bool training, bool? record = null);

    // Operations -----------------------------------------------------------------------------------------------

    /// <summary>2-d convolution of an NCHW input. The kernel is OIHW with I = C / groups; stride and zero padding are equal in both dimensions.</summary>
    public abstract Tensor Conv2d(Tensor input, Tensor kernel, Tensor? bias, int stride, int padding, int groups);

    /// <summary>Batch normalisation over N, H, W. The mode of the step decides which statistics are used, unless the state is frozen.</summary>
    public abstract Tensor BatchNorm(Tensor input, BatchNormState state);

    /// <summary>Element-wise sum of two tensors of equal shape.</summary>
    public abstract Tensor Add(Tensor left, Tensor right);

    /// <summary>Multiplies each channel of a map [N, C, H, W] by one factor of a tensor [N, C, 1, 1].</summary>
    public abstract Tensor ScaleChannels(Tensor map, Tensor scale);

    /// <summary>max(x, 0).</summary>
    public abstract Tensor Relu(Tensor input);

    /// <summary>1 / (1 + exp(-x)).</summary>
    public abstract Tensor Sigmoid(Tensor input);

    /// <summary>[N, C, H, W] to [N, C, 1, 1]: the mean over H and W.</summary>
    public abstract Tensor GlobalAveragePool(Tensor input);

    /// <summary>x W^T + b: [N, I] or [N, I, 1, 1] with weight [O, I] to [N, O].</summary>
    public abstract Tensor Linear(Tensor input, Tensor weight, Tensor bias);

    /// <summary>Mean cross-entropy of softmax(logits) and integer labels, with label smoothing s as in PyTorch: the target is (1 - s) one-hot + s / classes.</summary>
    /// <returns>A scalar.</returns>
    public abstract Tensor SoftmaxCrossEntropy(Tensor logits, ReadOnlySpan<int> labels, float labelSmoothing);

    /// <summary>Multiplies a tensor by a constant, such as a loss weight.</summary>
    public abstract Tensor Scale(Tensor input, float factor);

    // Training -------------------------------------------------------------------------------------------------

    /// <summary>
    /// Computes the gradients of a scalar with respect to all recorded parameters by backpropagation. They replace the
    /// gradients of earlier steps. May be called once per step.
    /// </summary>
    /// <exception cref="ArgumentException">The tensor is not a scalar.</exception>
    public void Backward(Tensor loss)
    {
        if (loss.Shape.Count != 0)
            throw new ArgumentException($"Backward starts from a scalar, but the tensor's shape is [{string.Join(", ", loss.Shape)}]. Call BackwardFrom with the gradient with respect to that tensor, or reduce the tensor to a scalar loss.", nameof(loss));
        BackwardFrom(loss, [1f]);
    }

    /// <summary>Does the same as <see cref="Backward"/> for a tensor of any shape, from a given gradient with respect to that tensor.</summary>
    /// <param name="output">A tensor computed in this step.</param>
    /// <param name="outputGradient">The gradient with respect to <paramref name="output"/>, in the order of its shape.</param>
    public abstract void BackwardFrom(Tensor output, ReadOnlySpan<float> outputGradient);

    /// <summary>Creates a stochastic-gradient-descent optimizer over parameters of this backend.</summary>
    public abstract Optimizer CreateSgd(IReadOnlyList<ParameterGroup> groups, float momentum, bool nesterov);

    /// <summary>Creates the exponential moving average of parameters and buffers of this backend.</summary>
    public virtual WeightAverage CreateWeightAverage(IReadOnlyList<Tensor> tensors) => new HostWeightAverage(this, tensors);

    /// <summary>Creates a metric accumulator for the batches of a pass.</summary>
    public virtual PassTotals CreatePassTotals() => new HostPassTotals(this);

    // Whole blocks: composed of primitives by default; a backend may override them with fused operations. --------

    /// <summary>
    /// The training form of a RepVGG block: BN(conv3x3(x)) + BN(conv1x1(x)) [+ BN(x)], followed by ReLU if
    /// <paramref name="relu"/> is true, without squeeze-and-excitation.
    /// </summary>
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

    /// <summary>The equivalent 3x3 kernel of a block: the sum of the kernels of its branches, each scaled by its batch norm with the running statistics.</summary>
    /// <remarks>Source: RepVGG, section 3.3. Differentiable with respect to the kernels and the batch norm weights; the running statistics are constants.</remarks>
    /// <param name="branches">The block's parameters.</param>
    /// <returns>OIHW: [O, I / groups, 3, 3].</returns>
    public abstract Tensor EquivalentKernel(BlockBranches branches);

    /// <summary>The equivalent bias of a block, to be used with <see cref="EquivalentKernel"/>.</summary>
    /// <param name="branches">The block's parameters.</param>
    /// <returns>[O].</returns>
    public abstract Tensor EquivalentBias(BlockBranches branches);

    /// <summary>
    /// The custom L2 penalty of the RepVGG authors for one block: the squared border taps of the 3x3 kernel plus the
    /// squared, normalised centre taps of the equivalent kernel.
    /// </summary>
    /// <remarks>
    /// sum(K3 border ^2) + sum((t3 K3 centre + t1 K1)^2 / (t3^2 + t1^2)), where t is weight / sqrt(running variance + epsilon)
    /// of the branch's batch norm and is treated as a constant; the identity branch is not included. Source: the authors'
    /// <c>get_custom_L2</c>.
    /// </remarks>
    /// <param name="branches">The block's parameters.</param>
    /// <returns>A scalar.</returns>
    public abstract Tensor BranchPenalty(BlockBranches branches);

    /// <inheritdoc/>
    public abstract void Dispose();
}
