using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Runtime.Threading;
using RepVgg.Weights;

namespace RepVgg.Backends.Cpu.Execution;

/// <summary>The execution context of the CPU backend's operations: threads, memory, the tensors of the current step, and the tape of recorded operations.</summary>
internal sealed unsafe class CpuContext(int threads) : IDisposable
{
    private readonly Dictionary<Type, object> _caches = [];
    private readonly HashSet<CpuTensor> _persistent = [];
    private readonly List<CpuTensor> _stepTensors = [];
    private readonly List<CpuOperation> _tape = [];
    private bool _recording;

    /// <summary>Number of threads that compute.</summary>
    public int Threads => Loop.Threads;

    public ParallelLoop Loop { get; } = new(ThreadCount.Resolve(threads));

    public BufferPool Pool { get; } = new();

    /// <summary>The micro-kernels for the instruction set of this machine.</summary>
    public MicroKernelSet Kernels { get; } = MicroKernelSet.Best;

    /// <summary>Whether the current step is in training mode (batch norms use batch statistics).</summary>
    public bool IsTraining { get; private set; }

    /// <summary>Runs a body for each of several items in parallel. The body receives the index of the item and of the worker thread.</summary>
    public void Run(int items, Action<int, int> body) => Loop.Run(items, body);

    /// <summary>Returns an object that is created on first use and cached for the lifetime of the context.</summary>
    public TValue GetOrCreate<TKey, TValue>(TKey key, Func<CpuContext, TKey, TValue> create)
        where TKey : notnull
    {
        if (!_caches.TryGetValue(typeof(TKey), out object? cache))
            _caches[typeof(TKey)] = cache = new Dictionary<TKey, TValue>();
        var values = (Dictionary<TKey, TValue>)cache;
        if (!values.TryGetValue(key, out var value))
            values[key] = value = create(this, key);
        return value;
    }

    /// <summary>Creates a parameter or buffer.</summary>
    public CpuTensor CreatePersistent(TensorData initial, TensorRole role)
    {
        var tensor = new CpuTensor(this, [.. initial.Shape], Pool.Rent(initial.Values.Length), role, role == TensorRole.Parameter) { IsLeaf = true };
        initial.Values.AsSpan().CopyTo(new Span<float>(tensor.Data, initial.Values.Length));
        _persistent.Add(tensor);
        return tensor;
    }

    /// <summary>Removes a parameter or buffer that was disposed.</summary>
    public void Unregister(CpuTensor tensor) => _persistent.Remove(tensor);

    /// <summary>Creates a tensor of the current step. Its values are not initialised.</summary>
    public CpuTensor CreateStepTensor(ReadOnlySpan<int> shape, bool requiresGradient, bool isLeaf = false, bool isKernel = false)
    {
        var tensor = new CpuTensor(this, shape.ToArray(), Pool.Rent(CpuTensor.CountOf(shape)), TensorRole.Step, requiresGradient && _recording) { IsLeaf = isLeaf, IsKernel = isKernel };
        _stepTensors.Add(tensor);
        return tensor;
    }

    /// <summary>Adds an operation to the tape for the backward pass if its result requires a gradient.</summary>
    public void Record(CpuTensor output, Func<CpuOperation> operation)
    {
        if (output.RequiresGradient)
            _tape.Add(operation());
    }

    /// <summary>Begins a step; the returned object ends it and returns the memory of its tensors to the pool.</summary>
    public IDisposable BeginStep(bool training, bool recording)
    {
        (IsTraining, _recording) = (training, recording);
        return new StepScope(this);
    }

    /// <summary>Runs the backward pass of the recorded operations, from the gradient with respect to one result. It replaces the gradients of parameters, or adds to them.</summary>
    public void Backward(CpuTensor result, ReadOnlySpan<float> outputGradient, bool accumulate)
    {
        if (!accumulate)
        {
            foreach (var tensor in _persistent)
                tensor.ClearGradient();
        }
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

    /// <summary>Copies values in the order of a tensor's shape to memory in the tensor's order.</summary>
    public void Write(CpuTensor tensor, ReadOnlySpan<float> values, float* to)
    {
        fixed (float* from = values)
        {
            if (tensor.IsChannelsLast)
                TransposeImages(from, to, tensor, toChannelsLast: true);
            else
                values.CopyTo(new Span<float>(to, values.Length));
        }
    }

    /// <summary>Copies memory in a tensor's order to values in the order of its shape.</summary>
    public void Read(CpuTensor tensor, float* from, Span<float> values)
    {
        fixed (float* to = values)
        {
            if (tensor.IsChannelsLast)
                TransposeImages(from, to, tensor, toChannelsLast: false);
            else
                new ReadOnlySpan<float>(from, values.Length).CopyTo(values);
        }
    }

    public void Dispose()
    {
        foreach (var tensor in _persistent)
            tensor.Release();
        _persistent.Clear();
        Pool.Dispose();
    }

    private void TransposeImages(float* from, float* to, CpuTensor shape, bool toChannelsLast)
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

    private void EndStep()
    {
        foreach (var tensor in _stepTensors)
            tensor.Release();
        _stepTensors.Clear();
        _tape.Clear();
    }

    private sealed class StepScope(CpuContext context) : IDisposable
    {
        public void Dispose() => context.EndStep();
    }
}
