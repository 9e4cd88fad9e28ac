using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Backends.Cpu.Memory;
using RepVgg.Backends.Cpu.Operations;
using RepVgg.Runtime.Threading;
using RepVgg.Weights;

namespace RepVgg.Backends.Cpu;

/// <summary>The backend that computes on the CPU, without native dependencies. Results are bitwise equal for any number of threads.</summary>
public sealed unsafe partial class CpuBackend : Backend
{
    private readonly ParallelLoop _loop;
    private readonly Dictionary<(ConvolutionShape Shape, int UnitImages), ConvolutionPlan> _plans = [];
    private readonly HashSet<CpuTensor> _kept = [];
    private readonly List<CpuTensor> _stepTensors = [];
    private readonly List<CpuOperation> _tape = [];
    private Step? _step;
    private bool _disposed;

    /// <summary>Creates a backend.</summary>
    /// <param name="threads">Number of threads that compute, at most 1024; 0 for one per logical processor.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 0 or more than 1024 threads.</exception>
    public CpuBackend(int threads = 0)
    {
        _loop = new ParallelLoop(ThreadCount.Resolve(threads));
    }

    /// <summary>Number of threads that compute.</summary>
    public int Threads => _loop.Threads;

    /// <inheritdoc/>
    public override string Description => $"CPU, {Threads} thread{(Threads == 1 ? "" : "s")}, {Kernels.Name}";

    /// <summary>Bytes of memory used by tensors or kept in the pool for the next step.</summary>
    internal long BytesHeld => Pool.BytesHeld;

    internal BufferPool Pool { get; } = new();

    internal ParallelLoop Loop => _loop;

    internal TileKernels Kernels { get; } = TileKernels.Best;

    /// <summary>Whether the current step is in training mode (batch norms use batch statistics).</summary>
    internal bool IsTraining => _step!.Training;

    /// <inheritdoc/>
    public override Tensor CreateParameter(TensorData initial) => Keep(initial, TensorRole.Parameter);

    /// <inheritdoc/>
    public override Tensor CreateBuffer(TensorData initial) => Keep(initial, TensorRole.Buffer);

    /// <inheritdoc/>
    public override Tensor CreateInput(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient = false)
    {
        foreach (int dimension in shape)
        {
            if (dimension <= 0)
                throw new ArgumentException($"Dimensions must be positive, but the shape is [{Text(shape)}].", nameof(shape));
        }
        CheckCount(CpuTensor.CountOf(shape), values.Length, nameof(values));
        var tensor = NewStepTensor(shape, requiresGradient);
        Write(tensor, values, tensor.Data);
        return tensor;
    }

    /// <inheritdoc/>
    public override void CopyIn(Tensor destination, ReadOnlySpan<float> values)
    {
        var tensor = Own(destination);
        if (tensor.Role == TensorRole.Step)
            throw new ArgumentException("Only parameters and buffers can be overwritten.", nameof(destination));
        CheckCount(tensor.Count, values.Length, nameof(values));
        values.CopyTo(new Span<float>(tensor.Data, values.Length));
    }

    /// <inheritdoc/>
    public override void CopyOut(Tensor source, Span<float> values)
    {
        var tensor = Own(source);
        CheckCount(tensor.Count, values.Length, nameof(values));
        Read(tensor, tensor.Data, values);
    }

    /// <inheritdoc/>
    public override void CopyGradient(Tensor source, Span<float> values)
    {
        var tensor = Own(source);
        CheckCount(tensor.Count, values.Length, nameof(values));
        if (!tensor.RequiresGradient)
            throw new ArgumentException("The tensor has no gradient: it is neither a parameter nor an input that was created with requiresGradient: true in a recorded step.", nameof(source));
        if (tensor.HasGradient)
            Read(tensor, tensor.Gradient, values);
        else
            values.Clear();
    }

    /// <inheritdoc/>
    public override IDisposable BeginStep(bool training, bool? record = null)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_step is not null)
            throw new InvalidOperationException("A step is already open; dispose the scope that BeginStep returned first.");
        return _step = new Step(this, training, record ?? training);
    }

    /// <inheritdoc/>
    public override void BackwardFrom(Tensor output, ReadOnlySpan<float> outputGradient)
    {
        var result = Own(output);
        CheckCount(result.Count, outputGradient.Length, nameof(outputGradient));
        if (_step is not { Recording: true })
            throw new InvalidOperationException("Nothing was recorded: open the step with BeginStep(training: true) or with record: true.");
        if (_step.Done)
            throw new InvalidOperationException("Backward was already called in this step; begin another step.");
        _step.Done = true;
        foreach (var tensor in _kept)
            tensor.ForgetGradient();
        if (!result.RequiresGradient)
            return;
        Write(result, outputGradient, result.GradientForWriting(out _));
        for (int i = _tape.Count - 1; i >= 0; i--)
        {
            var operation = _tape[i];
            if (!operation.Output.HasGradient)
                continue;
            operation.Backward();
            operation.Output.ReleaseGradient();
        }
    }

    /// <inheritdoc/>
    public override Optimizer CreateSgd(IReadOnlyList<ParameterGroup> groups, float momentum, bool nesterov) =>
        new SgdOptimizer(this, groups, momentum, nesterov);

    /// <inheritdoc/>
    public override void Dispose()
    {
        if (_disposed)
            return;
        _step?.Dispose();
        _disposed = true;
        foreach (var tensor in _kept)
            tensor.Release();
        _kept.Clear();
        Pool.Dispose();
    }

    internal void Run(int items, Action<int, int> body) => _loop.Run(items, body);

    /// <summary>Returns the tables of a convolution, which are created on first use and cached.</summary>
    /// <param name="shape">The shape of the convolution.</param>
    /// <param name="unitImages">Number of images that are computed together; 0 for the default of the plan.</param>
    internal ConvolutionPlan PlanFor(ConvolutionShape shape, int unitImages = 0)
    {
        if (!_plans.TryGetValue((shape, unitImages), out var plan))
            _plans[(shape, unitImages)] = plan = ConvolutionPlan.Choose(Kernels, shape, unitImages);
        return plan;
    }

    /// <summary>Creates a tensor of the current step. Its values are not initialised.</summary>
    internal CpuTensor NewStepTensor(ReadOnlySpan<int> shape, bool requiresGradient)
    {
        if (_step is null)
            throw new InvalidOperationException("Operations need a step: call BeginStep first.");
        var tensor = new CpuTensor(this, shape.ToArray(), Pool.Rent(CpuTensor.CountOf(shape)), TensorRole.Step, requiresGradient && _step.Recording);
        _stepTensors.Add(tensor);
        return tensor;
    }

    /// <summary>Adds an operation to the tape for the backward pass if its result requires a gradient.</summary>
    internal void Record(CpuTensor output, Func<CpuOperation> operation)
    {
        if (output.RequiresGradient)
            _tape.Add(operation());
    }

    internal void Forget(CpuTensor tensor) => _kept.Remove(tensor);

    internal CpuTensor Own(Tensor tensor) =>
        tensor is CpuTensor own && own.Owner == this
            ? own
            : throw new ArgumentException("The tensor belongs to another backend.", nameof(tensor));

    private CpuTensor Keep(TensorData initial, TensorRole role)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var tensor = new CpuTensor(this, [.. initial.Shape], Pool.Rent(initial.Values.Length), role, role == TensorRole.Parameter);
        initial.Values.AsSpan().CopyTo(new Span<float>(tensor.Data, initial.Values.Length));
        _kept.Add(tensor);
        return tensor;
    }

    private void Write(CpuTensor tensor, ReadOnlySpan<float> values, float* to)
    {
        fixed (float* from = values)
        {
            if (tensor.IsChannelsLast)
                MoveImages(from, to, tensor, toChannelsLast: true);
            else
                values.CopyTo(new Span<float>(to, values.Length));
        }
    }

    private void Read(CpuTensor tensor, float* from, Span<float> values)
    {
        fixed (float* to = values)
        {
            if (tensor.IsChannelsLast)
                MoveImages(from, to, tensor, toChannelsLast: false);
            else
                new ReadOnlySpan<float>(from, values.Length).CopyTo(values);
        }
    }

    private void MoveImages(float* from, float* to, CpuTensor shape, bool toChannelsLast)
    {
        int channels = shape.C, area = shape.Area;
        Run(shape.N, (image, _) =>
        {
            long at = (long)image * channels * area;
            if (toChannelsLast)
                Transposition.Run(from + at, area, channels, area, to + at, channels);
            else
                Transposition.Run(from + at, channels, area, channels, to + at, area);
        });
    }

    private static void CheckCount(long expected, long actual, string name)
    {
        if (expected != actual)
            throw new ArgumentException($"The tensor has {expected} values, but {actual} were given.", name);
    }

    private static string Text(ReadOnlySpan<int> shape) => string.Join(", ", shape.ToArray());

    /// <summary>An open step. Disposal ends it and returns the memory of its tensors to the pool.</summary>
    private sealed class Step(CpuBackend backend, bool training, bool recording) : IDisposable
    {
        public bool Training => training;

        public bool Recording => recording;

        public bool Done { get; set; }

        public void Dispose()
        {
            if (backend._step != this)
                return;
            foreach (var tensor in backend._stepTensors)
                tensor.Release();
            backend._stepTensors.Clear();
            backend._tape.Clear();
            backend._step = null;
        }
    }
}
