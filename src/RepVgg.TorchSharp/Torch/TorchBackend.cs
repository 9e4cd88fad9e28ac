using System.Runtime.InteropServices;
using RepVgg.Backends;
using RepVgg.Runtime.Threading;
using RepVgg.Weights;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>The backend on TorchSharp. This file contains memory, steps and gradients; the operations are in TorchBackend.Operations.cs.</summary>
/// <remarks>
/// A step is one dispose scope of TorchSharp. Only reading values waits for the device. Copies to the device use page-locked
/// memory and are asynchronous, so a step can be queued while the device computes the previous step.
/// </remarks>
internal sealed partial class TorchBackend : Backend
{
    private readonly TorchBackendOptions _options;
    private readonly torch.Device _device;
    private readonly NativeHeap? _heap;
    private readonly HashSet<TorchTensor> _parameters = new(ReferenceEqualityComparer.Instance);
    private readonly HashSet<TorchTensor> _lasting = new(ReferenceEqualityComparer.Instance);
    private Step? _step;
    private int[] _inputShape = [];
    private bool _disposed;

    public TorchBackend(TorchBackendOptions options)
    {
        _options = options;
        _device = options.CudaDevice is { } index ? new torch.Device(DeviceType.CUDA, index) : torch.CPU;
        Layout = new MemoryLayout(options.ChannelsLast ?? IsCuda);
        int threads = ThreadCount.Resolve(options.Threads);
        torch.set_num_threads(threads);
        if (IsCuda)
        {
            torch.backends.cuda.matmul.allow_tf32 = options.AllowTf32;
            torch.backends.cudnn.allow_tf32 = options.AllowTf32;
        }
        else
        {
            _heap = NativeHeap.KeepFreed();
        }
        string precision = options.Bfloat16 ? "bfloat16" : IsCuda && options.AllowTf32 ? "TF32" : "float32";
        string where = IsCuda ? $"CUDA device {options.CudaDevice}" : threads == 1 ? "CPU, 1 thread" : $"CPU, {threads} threads";
        Description = $"TorchSharp {TorchRuntime.Version}, {where}, {precision}{(Layout.ChannelsLast ? ", channels last" : "")}";
    }

    public override string Description { get; }

    public override int StepsBetweenReads => IsCuda ? 20 : 1;

    internal torch.Device Device => _device;

    internal MemoryLayout Layout { get; }

    private bool IsCuda => _options.CudaDevice is not null;

    public override Tensor CreateParameter(TensorData initial) => CreateLasting(initial, TensorRole.Parameter);

    public override Tensor CreateBuffer(TensorData initial) => CreateLasting(initial, TensorRole.Buffer);

    public override Tensor CreateInput(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient = false)
    {
        var step = CurrentStep();
        OperationShapes.Positive(shape);
        _inputShape = shape.ToArray();
        try
        {
            var value = Layout.Arrange(ToDevice(HostCopy.ToTensor(shape, values)));
            return Wrap(requiresGradient && step.Recording ? value.requires_grad_(true) : value);
        }
        catch (ExternalException exception) when (IsOutOfMemory(exception))
        {
            throw OutOfMemory(exception);
        }
    }

    public override StagedInput Stage(IReadOnlyList<int> shape, ReadOnlyMemory<float> values)
    {
        ArgumentNullException.ThrowIfNull(shape);
        int[] dimensions = [.. shape];
        OperationShapes.Positive(dimensions);
        _inputShape = dimensions;
        torch.Tensor? staged = null;
        Guarded(() =>
        {
            using var scope = torch.NewDisposeScope();
            using var mode = torch.no_grad();
            staged = scope.Detach(Layout.Arrange(CopyAhead(dimensions, values)));
        });
        return new TorchInput(dimensions, staged!);
    }

    public override Tensor CreateInput(StagedInput staged)
    {
        CurrentStep();
        if (staged is not TorchInput input)
            throw new ArgumentException("The batch was staged by another backend.", nameof(staged));
        return Wrap(_step!.Own(input.Take()));
    }

    public override void CopyIn(Tensor destination, ReadOnlySpan<float> values)
    {
        var target = Own(destination);
        if (target.Role == TensorRole.Step)
            throw new ArgumentException("Only parameters and buffers can be overwritten.", nameof(destination));
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        target.Value.copy_(HostCopy.ToTensor(target.Shape.ToArray(), values));
    }

    public override void CopyOut(Tensor source, Span<float> values)
    {
        try
        {
            HostCopy.FromTensor(Own(source).Value, values);
        }
        catch (ExternalException exception) when (IsOutOfMemory(exception))
        {
            throw OutOfMemory(exception);
        }
    }

    public override void CopyGradient(Tensor source, Span<float> values)
    {
        using var scope = torch.NewDisposeScope();
        var tensor = Own(source);
        if (!tensor.Value.requires_grad)
            throw new ArgumentException("The tensor has no gradient: it is neither a parameter nor an input that was created with requiresGradient.", nameof(source));
        if (tensor.Value.grad is { } gradient)
            HostCopy.FromTensor(gradient, values);
        else if (values.Length == tensor.Count)
            values.Clear();
        else
            throw new ArgumentException($"The tensor holds {tensor.Count} values, not {values.Length}.", nameof(values));
    }

    public override IDisposable BeginStep(bool training, bool? record = null)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_step is not null)
            throw new InvalidOperationException("A step is open already; dispose what BeginStep returned first.");
        return _step = new Step(this, training, record ?? training);
    }

    public override void BackwardFrom(Tensor output, ReadOnlySpan<float> outputGradient)
    {
        var result = Own(output);
        if (result.Count != outputGradient.Length)
            throw new ArgumentException($"The tensor holds {result.Count} values, the gradient {outputGradient.Length}.", nameof(outputGradient));
        if (_step is not { Recording: true } step)
            throw new InvalidOperationException("Nothing was recorded: open the step with BeginStep(training: true) or with record: true.");
        if (step.Done)
            throw new InvalidOperationException("Backward was called already in this step; begin another.");
        step.Done = true;
        foreach (var parameter in _parameters)
            parameter.Value.grad = null;
        var value = result.Value;
        if (!value.requires_grad)
            return;
        // For a scalar output and a gradient of 1, libtorch creates the gradient itself, which avoids a copy to the device.
        torch.Tensor[] gradients = outputGradient is [1f] && result.Shape.Count == 0 ? [] : [ToDevice(HostCopy.ToTensor([.. result.Shape], outputGradient)).to(value.dtype)];
        Guarded(() => value.backward(gradients));
    }

    public override Optimizer CreateSgd(IReadOnlyList<ParameterGroup> groups, float momentum, bool nesterov) => new TorchSgd(this, groups, momentum, nesterov);

    public override WeightAverage CreateWeightAverage(IReadOnlyList<Tensor> tensors) => new TorchWeightAverage(this, tensors);

    public override PassTotals CreatePassTotals() => new TorchPassTotals(this);

    public override void Dispose()
    {
        if (_disposed)
            return;
        _step?.Dispose();
        _disposed = true;
        foreach (var tensor in _lasting.ToArray())
            tensor.Dispose();
        _heap?.Dispose();
    }

    internal void Forget(TorchTensor tensor)
    {
        _parameters.Remove(tensor);
        _lasting.Remove(tensor);
    }

    /// <summary>Checks that this backend created a tensor.</summary>
    internal TorchTensor Own(Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        return tensor is TorchTensor own && own.Backend == this ? own : throw new ArgumentException("The tensor belongs to another backend.", nameof(tensor));
    }

    /// <summary>Runs an action and converts libtorch's out-of-memory errors to <see cref="InsufficientMemoryException"/>.</summary>
    internal void Guarded(Action work)
    {
        try
        {
            work();
        }
        catch (ExternalException exception) when (IsOutOfMemory(exception))
        {
            throw OutOfMemory(exception);
        }
    }

    private Step CurrentStep() => _step ?? throw new InvalidOperationException("No step is open; call BeginStep first.");

    private TorchTensor CreateLasting(TensorData initial, TensorRole role)
    {
        ArgumentNullException.ThrowIfNull(initial);
        ObjectDisposedException.ThrowIf(_disposed, this);
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var value = Layout.Arrange(HostCopy.ToTensor([.. initial.Shape], initial.Values).to(_device)).detach();
        var tensor = new TorchTensor(this, scope.Detach(value), role);
        if (role == TensorRole.Parameter)
        {
            value.requires_grad_(true);
            _parameters.Add(tensor);
        }
        _lasting.Add(tensor);
        return tensor;
    }

    /// <summary>Copies a batch to the device. Called on the thread that prepares batches.</summary>
    /// <remarks>
    /// On the CPU, managed code copies the values: libtorch's copy would start a second set of OpenMP threads for this thread. With
    /// more OpenMP threads than cores, OpenMP suspends them after every operation, which made steps a quarter slower in measurements.
    /// </remarks>
    private torch.Tensor CopyAhead(int[] shape, ReadOnlyMemory<float> values) => IsCuda ? ToDevice(HostCopy.View(shape, values)) : HostCopy.ToTensor(shape, values.Span);

    /// <summary>Copies a tensor to the device asynchronously, without waiting for queued work.</summary>
    private torch.Tensor ToDevice(torch.Tensor host)
    {
        if (!IsCuda)
            return host;
        using var source = host;
        using var locked = source.pin_memory();
        return locked.to(_device, non_blocking: true);
    }

    private TorchTensor Wrap(torch.Tensor value) => new(this, value, TensorRole.Step);

    /// <summary>One step: a dispose scope and a gradient mode.</summary>
    private sealed class Step : IDisposable
    {
        private readonly TorchBackend _backend;
        private readonly DisposeScope _scope = torch.NewDisposeScope();
        private readonly IDisposable _mode;

        public Step(TorchBackend backend, bool training, bool recording)
        {
            (_backend, Training, Recording) = (backend, training, recording);
            _mode = torch.set_grad_enabled(recording);
        }

        public bool Training { get; }

        public bool Recording { get; }

        /// <summary>Whether backward has run.</summary>
        public bool Done { get; set; }

        /// <summary>The labels that were last copied to the device, which several losses can share.</summary>
        public (int[] Host, torch.Tensor Device)? Labels { get; set; }

        /// <summary>Attaches a tensor to the dispose scope of the step.</summary>
        public torch.Tensor Own(torch.Tensor tensor)
        {
            _scope.Attach(tensor);
            return tensor;
        }

        public void Dispose()
        {
            if (_backend._step != this)
                return;
            _backend._step = null;
            _mode.Dispose();
            _scope.Dispose();
        }
    }
}
