using RepVgg.Optimizers;
using RepVgg.Weights;

namespace RepVgg.Backends;

/// <summary>The base class of backends: the tensor operations that networks and the training loop use.</summary>
/// <remarks>
/// The CPU backend and the TorchSharp backend derive from this class and pass the same tests. Within a training step,
/// operations are recorded, and <see cref="Backward"/> computes the gradients of the parameters that were used. Unless
/// a method states otherwise, a backend may be used by only one thread at a time. The public methods check their arguments
/// and the state of the step, with the same messages for every backend, and then call a core method, which a backend implements.
/// </remarks>
internal abstract partial class Backend : IDisposable
{
    private Step? _step;
    private bool _disposed;

    private protected Backend()
    {
    }

    /// <summary>Description of the device for display, such as "CPU, 2 threads, AVX2".</summary>
    public abstract string Description { get; }

    /// <summary>
    /// Number of steps between two reads of a <see cref="MetricAccumulator"/>. A read waits for the device, so a backend with
    /// an asynchronous device returns more than 1.
    /// </summary>
    public virtual int StepsBetweenReads => 1;

    /// <summary>Number of threads that prepare batches. A backend whose device computes beside the CPU returns more than 1.</summary>
    public virtual int LoaderThreads => 1;

    /// <summary>
    /// Maximum relative difference of a layer's results from those of the CPU backend that the precision of this backend
    /// explains: the L2 norm of the difference divided by the L2 norm of the CPU's results.
    /// </summary>
    public virtual double Tolerance => 0.01;

    // Memory ---------------------------------------------------------------------------------------------------

    /// <summary>Releases memory that is kept for further steps of the same shapes, between steps. Steps of other shapes need other memory.</summary>
    public virtual void ReleaseUnusedMemory()
    {
    }

    /// <summary>Creates a trainable tensor that is valid until it is disposed.</summary>
    /// <param name="initial">The initial values, which are copied.</param>
    public Tensor CreateParameter(TensorData initial) => Create(initial, TensorRole.Parameter);

    /// <summary>Creates a tensor that is not trained, such as running statistics, and is valid until it is disposed.</summary>
    /// <param name="initial">The initial values, which are copied.</param>
    public Tensor CreateBuffer(TensorData initial) => Create(initial, TensorRole.Buffer);

    /// <summary>Creates an input tensor of the current step from values.</summary>
    /// <param name="shape">NCHW for maps, [N, features] for vectors; each dimension at least 1.</param>
    /// <param name="values">The elements, in the order of the shape (row-major); their number must match the shape.</param>
    /// <param name="requiresGradient">True if <see cref="Backward"/> also computes the gradient with respect to this input.</param>
    public Tensor CreateInput(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient = false)
    {
        var step = CurrentStep();
        CheckInput(shape, values.Length);
        return CreateInputCore(shape, values, requiresGradient && step.Recording);
    }

    /// <summary>Starts copying a batch to the device, before the step that uses it. May be called on any thread.</summary>
    /// <param name="shape">NCHW for maps, [N, features] for vectors; each dimension at least 1.</param>
    /// <param name="values">The elements, in the order of the shape. They must not be changed until the step has called <see cref="CreateInput(StagedInput)"/>.</param>
    /// <returns>The staged batch, to be passed to <see cref="CreateInput(StagedInput)"/> and then disposed.</returns>
    public StagedInput Stage(IReadOnlyList<int> shape, ReadOnlyMemory<float> values)
    {
        ArgumentNullException.ThrowIfNull(shape);
        ObjectDisposedException.ThrowIf(_disposed, this);
        int[] dimensions = [.. shape];
        CheckInput(dimensions, values.Length);
        return StageCore(dimensions, values);
    }

    /// <summary>Creates an input tensor of the current step from a staged batch.</summary>
    /// <param name="staged">A batch staged by <see cref="Stage"/> of this backend.</param>
    public Tensor CreateInput(StagedInput staged)
    {
        ArgumentNullException.ThrowIfNull(staged);
        CurrentStep();
        if (staged.Owner != this)
            throw new ArgumentException("The batch was staged by another backend.", nameof(staged));
        return CreateStagedInputCore(staged);
    }

    /// <summary>Overwrites the values of a parameter or buffer.</summary>
    /// <param name="destination">The parameter or buffer.</param>
    /// <param name="values">The new values, in the order of the shape.</param>
    public void CopyIn(Tensor destination, ReadOnlySpan<float> values)
    {
        CheckOwn(destination, nameof(destination));
        if (destination.Role == TensorRole.Step)
            throw new ArgumentException("Only parameters and buffers can be overwritten.", nameof(destination));
        CheckCount(destination.Shape, values.Length, nameof(values));
        CopyInCore(destination, values);
    }

    /// <summary>Copies the values of a tensor to <paramref name="values"/>, in the order of the shape.</summary>
    /// <param name="source">A tensor of this backend.</param>
    /// <param name="values">Receives as many values as the tensor has.</param>
    public void CopyOut(Tensor source, Span<float> values)
    {
        CheckOwn(source, nameof(source));
        CheckCount(source.Shape, values.Length, nameof(values));
        CopyOutCore(source, values);
    }

    /// <summary>
    /// Copies the gradient of a parameter, or of an input created with requiresGradient, to <paramref name="values"/>;
    /// zeros if the tensor was not used in the backward pass.
    /// </summary>
    /// <param name="source">A parameter, or an input of the current step.</param>
    /// <param name="values">Receives as many values as the tensor has.</param>
    public void CopyGradient(Tensor source, Span<float> values)
    {
        CheckOwn(source, nameof(source));
        CheckCount(source.Shape, values.Length, nameof(values));
        if (!source.RetainsGradient)
            throw new ArgumentException("The tensor has no gradient: it is neither a parameter nor an input that was created with requiresGradient: true in a recorded step.", nameof(source));
        CopyGradientCore(source, values);
    }

    // Steps and gradients --------------------------------------------------------------------------------------

    /// <summary>Starts a step. Tensors created in the step are released when the returned scope is disposed.</summary>
    /// <param name="training">True for training mode: batch norms use the statistics of the batch and update the running statistics. False for evaluation mode: batch norms use the running statistics.</param>
    /// <param name="record">Whether operations are recorded for <see cref="Backward"/>; null for the value of <paramref name="training"/>. The combination (false, true) trains with fixed running statistics.</param>
    /// <exception cref="InvalidOperationException">Another step has not been disposed yet.</exception>
    public IDisposable BeginStep(bool training, bool? record = null)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_step is not null)
            throw new InvalidOperationException("A step is already open; dispose the scope that BeginStep returned first.");
        bool recording = record ?? training;
        return _step = new Step(this, training, recording, BeginStepCore(training, recording));
    }

    /// <summary>
    /// Computes the gradients of a scalar with respect to all recorded parameters by backpropagation. May be called once per step.
    /// </summary>
    /// <param name="loss">A scalar computed in this step.</param>
    /// <param name="accumulate">True to add to the gradients of the parameters from earlier steps; false to replace them.</param>
    /// <exception cref="ArgumentException">The tensor is not a scalar.</exception>
    public void Backward(Tensor loss, bool accumulate = false)
    {
        ArgumentNullException.ThrowIfNull(loss);
        if (loss.Shape.Count != 0)
            throw new ArgumentException($"Backward starts from a scalar, but the tensor's shape is {Text(loss.Shape)}. Call BackwardFrom with the gradient with respect to that tensor, or reduce the tensor to a scalar loss.", nameof(loss));
        BackwardFrom(loss, [1f], accumulate);
    }

    /// <summary>Does the same as <see cref="Backward"/> for a tensor of any shape, from a given gradient with respect to that tensor.</summary>
    /// <param name="output">A tensor computed in this step.</param>
    /// <param name="outputGradient">The gradient with respect to <paramref name="output"/>, in the order of its shape.</param>
    /// <param name="accumulate">True to add to the gradients of the parameters from earlier steps; false to replace them.</param>
    public void BackwardFrom(Tensor output, ReadOnlySpan<float> outputGradient, bool accumulate = false)
    {
        CheckOwn(output, nameof(output));
        if (output.Role != TensorRole.Step)
            throw new ArgumentException("The backward pass starts from a result of an operation, not from a parameter.", nameof(output));
        CheckCount(output.Shape, outputGradient.Length, nameof(outputGradient));
        if (_step is not { Recording: true } step)
            throw new InvalidOperationException("Nothing was recorded: open the step with BeginStep(training: true) or with record: true.");
        if (step.HasRunBackward)
            throw new InvalidOperationException("Backward was already called in this step; begin another step.");
        step.HasRunBackward = true;
        BackwardCore(output, outputGradient, accumulate);
    }

    /// <summary>Creates an optimizer over parameters of this backend.</summary>
    /// <param name="groups">The parameters, in groups with common hyperparameters. No parameter may occur twice.</param>
    /// <param name="options">The algorithm, e.g. <see cref="SgdOptions"/>.</param>
    /// <param name="gradientClipNorm">
    /// Maximum L2 norm of all gradients together, more than 0; null for none. In every step, larger gradients are scaled as
    /// torch.nn.utils.clip_grad_norm_ scales them, by gradientClipNorm / (norm + 1e-6).
    /// </param>
    /// <exception cref="ArgumentException">
    /// A tensor is not a parameter of this backend, a name or a parameter occurs twice, an option is out of range, gradient
    /// multipliers do not fit, or there are gradient multipliers and a maximum norm.
    /// </exception>
    public Optimizer CreateOptimizer(IReadOnlyList<ParameterGroup> groups, OptimizerOptions options, float? gradientClipNorm = null)
    {
        ArgumentNullException.ThrowIfNull(groups);
        ArgumentNullException.ThrowIfNull(options);
        ObjectDisposedException.ThrowIf(_disposed, this);
        options.Validate();
        if (gradientClipNorm is { } norm && !(norm > 0 && float.IsFinite(norm)))
            throw new ArgumentException(FormattableString.Invariant($"The maximum norm of the gradients is {norm}; it must be more than 0."), nameof(gradientClipNorm));
        foreach (var group in groups)
        {
            group.CheckMultipliers(nameof(groups));
            if (gradientClipNorm is not null && group.GradientMultipliers is not null)
                throw new ArgumentException("Gradients cannot be clipped by their norm where parameters have gradient multipliers, as those of RepOptimizer: the norm differs from that of the branches whose training the multipliers reproduce. Train without GradientClipNorm.", nameof(gradientClipNorm));
        }
        var names = new HashSet<string>(StringComparer.Ordinal);
        var tensors = new HashSet<Tensor>(ReferenceEqualityComparer.Instance);
        foreach (var (name, tensor) in groups.SelectMany(group => group.Parameters))
        {
            CheckOwn(tensor, nameof(groups));
            if (tensor.Role != TensorRole.Parameter)
                throw new ArgumentException($"'{name}' cannot be trained: it is not a parameter.", nameof(groups));
            if (!names.Add(name) || !tensors.Add(tensor))
                throw new ArgumentException($"The parameter '{name}' occurs twice in the groups.", nameof(groups));
        }
        return CreateOptimizerCore(groups, options, gradientClipNorm);
    }

    /// <summary>Creates the exponential moving average of parameters and buffers of this backend.</summary>
    /// <param name="tensors">The tensors and their names.</param>
    /// <exception cref="ArgumentException">A tensor is neither a parameter nor a buffer of this backend, or a name occurs twice.</exception>
    public WeightAverage CreateWeightAverage(IReadOnlyList<(string Name, Tensor Tensor)> tensors)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        ObjectDisposedException.ThrowIf(_disposed, this);
        var names = new HashSet<string>(StringComparer.Ordinal);
        var distinct = new HashSet<Tensor>(ReferenceEqualityComparer.Instance);
        foreach (var (name, tensor) in tensors)
        {
            CheckOwn(tensor, nameof(tensors));
            if (tensor.Role == TensorRole.Step)
                throw new ArgumentException($"'{name}' cannot be averaged: it is neither a parameter nor a buffer.", nameof(tensors));
            if (!names.Add(name) || !distinct.Add(tensor))
                throw new ArgumentException($"'{name}' occurs twice in the averaged tensors.", nameof(tensors));
        }
        return CreateWeightAverageCore(tensors);
    }

    /// <summary>Creates a metric accumulator for the batches of a pass.</summary>
    public MetricAccumulator CreateMetricAccumulator()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return CreateMetricAccumulatorCore();
    }

    /// <summary>Creates an accumulator of the confusion matrix of pixels for the batches of a pass.</summary>
    /// <param name="classes">Number of classes, 1 to 255.</param>
    /// <param name="ignored">The label of pixels that are left out; no class has it.</param>
    public ConfusionAccumulator CreateConfusionAccumulator(int classes, byte ignored)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (classes is < 1 or > byte.MaxValue || ignored < classes)
            throw new ArgumentException($"A confusion matrix of {classes} classes with the ignored label {ignored} is not possible: there must be 1 to {byte.MaxValue} classes, and the label must not be one of them.", nameof(classes));
        return CreateConfusionAccumulatorCore(classes, ignored);
    }

    /// <summary>Releases all tensors of the backend. An open step ends.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;
        _step?.Dispose();
        _disposed = true;
        DisposeCore();
        GC.SuppressFinalize(this);
    }

    // Core methods: their arguments are checked. Tensors are not null, belong to the backend and are not released. ----

    /// <summary>Whether this backend created a tensor.</summary>
    private protected abstract bool Owns(Tensor tensor);

    /// <summary>Creates a parameter or buffer with a copy of the values.</summary>
    private protected abstract Tensor CreateCore(TensorData initial, TensorRole role);

    /// <summary>Creates an input of the current step. <paramref name="requiresGradient"/> is true only in a recorded step.</summary>
    private protected abstract Tensor CreateInputCore(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient);

    /// <summary>Starts copying a batch to the device, on any thread. By default the values stay in host memory until the step copies them.</summary>
    private protected virtual StagedInput StageCore(int[] shape, ReadOnlyMemory<float> values) => new HostInput(this, shape, values);

    /// <summary>Creates an input from a batch that <see cref="StageCore"/> staged.</summary>
    private protected virtual Tensor CreateStagedInputCore(StagedInput staged) =>
        CreateInputCore([.. staged.Shape], ((HostInput)staged).Values.Span, requiresGradient: false);

    private protected abstract void CopyInCore(Tensor destination, ReadOnlySpan<float> values);

    private protected abstract void CopyOutCore(Tensor source, Span<float> values);

    /// <summary>Copies a gradient; zeros if the tensor was not used in the latest backward pass.</summary>
    private protected abstract void CopyGradientCore(Tensor source, Span<float> values);

    /// <summary>Begins a step. The returned object is disposed at its end and releases the tensors of the step.</summary>
    private protected abstract IDisposable BeginStepCore(bool training, bool recording);

    /// <summary>Clears the gradients of all parameters unless <paramref name="accumulate"/> is true, then adds those of the tensors from which <paramref name="output"/> was computed.</summary>
    private protected abstract void BackwardCore(Tensor output, ReadOnlySpan<float> outputGradient, bool accumulate);

    /// <summary>Creates an optimizer.</summary>
    /// <exception cref="NotSupportedException">The backend does not implement the algorithm of the options.</exception>
    private protected abstract Optimizer CreateOptimizerCore(IReadOnlyList<ParameterGroup> groups, OptimizerOptions options, float? gradientClipNorm);

    private protected virtual WeightAverage CreateWeightAverageCore(IReadOnlyList<(string Name, Tensor Tensor)> tensors) => new HostWeightAverage(this, tensors);

    private protected virtual MetricAccumulator CreateMetricAccumulatorCore() => new HostMetricAccumulator(this);

    private protected virtual ConfusionAccumulator CreateConfusionAccumulatorCore(int classes, byte ignored) => new HostConfusionAccumulator(this, classes, ignored);

    /// <summary>Releases all tensors of the backend. No step is open.</summary>
    private protected abstract void DisposeCore();

    private Tensor Create(TensorData initial, TensorRole role)
    {
        ArgumentNullException.ThrowIfNull(initial);
        ObjectDisposedException.ThrowIf(_disposed, this);
        return CreateCore(initial, role);
    }

    /// <summary>An open step. Disposal ends it and releases its tensors.</summary>
    private sealed class Step(Backend backend, bool training, bool recording, IDisposable core) : IDisposable
    {
        public bool Training => training;

        public bool Recording => recording;

        public bool HasRunBackward { get; set; }

        public void Dispose()
        {
            if (backend._step != this)
                return;
            backend._step = null;
            core.Dispose();
        }
    }
}
