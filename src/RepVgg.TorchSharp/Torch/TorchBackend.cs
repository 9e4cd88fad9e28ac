using System.Runtime.InteropServices;
using RepVgg.Backends;
using RepVgg.Optimizers;
using RepVgg.Runtime.Threading;
using RepVgg.Weights;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>The backend on TorchSharp. This file contains memory, steps and gradients; TorchBackend.Operations.cs and TorchBackend.Branches.cs contain the operations.</summary>
/// <remarks>
/// A step is one dispose scope of TorchSharp. Only reading values waits for the device. Copies to the device use page-pinned
/// memory and are asynchronous, so a step can be queued while the device computes the previous step.
/// </remarks>
internal sealed partial class TorchBackend : Backend
{
    private readonly TorchBackendOptions _options;
    private readonly torch.Device _device;
    private readonly NativeHeap? _heap;
    private readonly HashSet<TorchTensor> _parameters = new(ReferenceEqualityComparer.Instance);
    private readonly HashSet<TorchTensor> _persistent = new(ReferenceEqualityComparer.Instance);
    private Step? _step;
    private int[] _inputShape = [];

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
            _heap = NativeHeap.RetainFreedMemory();
        }
        string precision = options.Bfloat16 ? "bfloat16" : IsCuda && options.AllowTf32 ? "TF32" : "float32";
        string where = IsCuda ? $"CUDA device {options.CudaDevice}" : threads == 1 ? "CPU, 1 thread" : $"CPU, {threads} threads";
        Description = $"TorchSharp {TorchRuntime.Version}, {where}, {precision}{(Layout.ChannelsLast ? ", channels last" : "")}";
    }

    public override string Description { get; }

    public override int StepsBetweenReads => IsCuda ? 20 : 1;

    public override int LoaderThreads => IsCuda ? Math.Clamp(Environment.ProcessorCount / 2, 1, 8) : 1;

    public override double Tolerance => DeviceSelfTest.ToleranceOf(_options);

    internal torch.Device Device => _device;

    internal MemoryLayout Layout { get; }

    private bool IsCuda => _options.CudaDevice is not null;

    private protected override bool Owns(Tensor tensor) => tensor is TorchTensor own && own.Backend == this;

    private protected override Tensor CreateCore(TensorData initial, TensorRole role)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var value = Layout.Arrange(HostCopy.ToTensor([.. initial.Shape], initial.Values).to(_device)).detach();
        var tensor = new TorchTensor(this, scope.Detach(value), role) { IsLeaf = true };
        if (role == TensorRole.Parameter)
        {
            value.requires_grad_(true);
            _parameters.Add(tensor);
        }
        _persistent.Add(tensor);
        return tensor;
    }

    private protected override Tensor CreateInputCore(ReadOnlySpan<int> shape, ReadOnlySpan<float> values, bool requiresGradient)
    {
        _inputShape = shape.ToArray();
        try
        {
            var value = Layout.Arrange(ToDevice(HostCopy.ToTensor(shape, values)));
            return new TorchTensor(this, requiresGradient ? value.requires_grad_(true) : value, TensorRole.Step) { IsLeaf = true };
        }
        catch (ExternalException exception) when (IsOutOfMemory(exception))
        {
            throw OutOfMemory(exception);
        }
    }

    private protected override StagedInput StageCore(int[] shape, ReadOnlyMemory<float> values)
    {
        _inputShape = shape;
        torch.Tensor? staged = null;
        TranslateOutOfMemory(() =>
        {
            using var scope = torch.NewDisposeScope();
            using var mode = torch.no_grad();
            staged = scope.Detach(Layout.Arrange(CopyBatchToDevice(shape, values)));
        });
        return new TorchStagedInput(this, shape, staged!);
    }

    private protected override Tensor CreateStagedInputCore(StagedInput staged) => Wrap(_step!.Attach(((TorchStagedInput)staged).Take()));

    private protected override void CopyInCore(Tensor destination, ReadOnlySpan<float> values)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        Value(destination).copy_(HostCopy.ToTensor([.. destination.Shape], values));
    }

    private protected override void CopyOutCore(Tensor source, Span<float> values)
    {
        try
        {
            HostCopy.FromTensor(Value(source), values);
        }
        catch (ExternalException exception) when (IsOutOfMemory(exception))
        {
            throw OutOfMemory(exception);
        }
    }

    private protected override void CopyGradientCore(Tensor source, Span<float> values)
    {
        using var scope = torch.NewDisposeScope();
        if (Value(source).grad is { } gradient)
            HostCopy.FromTensor(gradient, values);
        else
            values.Clear();
    }

    private protected override IDisposable BeginStepCore(bool training, bool recording) => _step = new Step(this, training, recording);

    private protected override void BackwardCore(Tensor output, ReadOnlySpan<float> outputGradient, bool accumulate)
    {
        if (!accumulate)
        {
            foreach (var parameter in _parameters)
                parameter.Value.grad = null;
        }
        var value = Value(output);
        if (!value.requires_grad)
            return;
        // For a scalar output and a gradient of 1, libtorch creates the gradient itself, which avoids a copy to the device.
        torch.Tensor[] gradients = outputGradient is [1f] && output.Shape.Count == 0 ? [] : [ToDevice(HostCopy.ToTensor([.. output.Shape], outputGradient)).to(value.dtype)];
        TranslateOutOfMemory(() => value.backward(gradients));
    }

    private protected override Optimizer CreateOptimizerCore(IReadOnlyList<ParameterGroup> groups, OptimizerOptions options, float? gradientClipNorm) => options switch
    {
        SgdOptions sgd => new TorchSgd(this, groups, sgd, gradientClipNorm),
        AdamWOptions adamW => new TorchAdamW(this, groups, adamW, gradientClipNorm),
        _ => throw new NotSupportedException($"The TorchSharp backend has no optimizer for {options.GetType().Name}."),
    };

    private protected override WeightAverage CreateWeightAverageCore(IReadOnlyList<(string Name, Tensor Tensor)> tensors) => new TorchWeightAverage(this, tensors);

    private protected override MetricAccumulator CreateMetricAccumulatorCore() => new TorchMetricAccumulator(this);

    private protected override ConfusionAccumulator CreateConfusionAccumulatorCore(int classes, byte ignored) => new TorchConfusionAccumulator(this, classes, ignored);

    private protected override void DisposeCore()
    {
        foreach (var tensor in _persistent.ToArray())
            tensor.Dispose();
        _heap?.Dispose();
    }

    internal void Unregister(TorchTensor tensor)
    {
        _parameters.Remove(tensor);
        _persistent.Remove(tensor);
    }

    /// <summary>Runs an action and converts libtorch's out-of-memory errors to <see cref="InsufficientMemoryException"/>.</summary>
    internal void TranslateOutOfMemory(Action work)
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

    /// <summary>Whether libtorch ran out of memory. libtorch has no error code for this, so the message is compared with the texts of CUDA and of the CPU allocators on Linux and Windows.</summary>
    internal static bool IsOutOfMemory(ExternalException exception) =>
        exception.Message.Contains("out of memory", StringComparison.OrdinalIgnoreCase)
        || exception.Message.Contains("can't allocate memory", StringComparison.OrdinalIgnoreCase)
        || exception.Message.Contains("not enough memory", StringComparison.OrdinalIgnoreCase)
        || exception.Message.Contains("ALLOC_FAILED", StringComparison.Ordinal);

    internal InsufficientMemoryException OutOfMemory(ExternalException cause)
    {
        string what = _inputShape is [var batch, ..]
            ? $"a batch of {batch} images of [{string.Join(", ", _inputShape[1..])}]. Try a batch size of {Math.Max(2, batch / 2)}"
            : "the network's weights. Try a smaller variant";
        string precision = IsCuda && !_options.Bfloat16 ? ", bfloat16" : "";
        return new InsufficientMemoryException($"{Description} ran out of memory on {what}{precision} or smaller images. Message of libtorch: {cause.Message.Split('\n')[0]}", cause);
    }

    /// <summary>Copies a batch to the device. Called on the thread that prepares batches.</summary>
    /// <remarks>
    /// On the CPU, managed code copies the values: libtorch's copy would start a second set of OpenMP threads for this thread. With
    /// more OpenMP threads than cores, OpenMP suspends them after every operation, which made steps a quarter slower in measurements.
    /// </remarks>
    private torch.Tensor CopyBatchToDevice(int[] shape, ReadOnlyMemory<float> values) => IsCuda ? ToDevice(HostCopy.View(shape, values)) : HostCopy.ToTensor(shape, values.Span);

    /// <summary>Copies a tensor to the device asynchronously, without waiting for queued work.</summary>
    private torch.Tensor ToDevice(torch.Tensor host)
    {
        if (!IsCuda)
            return host;
        using var source = host;
        using var pinned = source.pin_memory();
        return pinned.to(_device, non_blocking: true);
    }

    private TorchTensor Wrap(torch.Tensor value, bool isKernel = false) => new(this, value, TensorRole.Step) { IsKernel = isKernel };

    /// <summary>One step: a dispose scope and a gradient mode.</summary>
    private sealed class Step : IDisposable
    {
        private readonly TorchBackend _backend;
        private readonly DisposeScope _scope = torch.NewDisposeScope();
        private readonly IDisposable _mode;

        public Step(TorchBackend backend, bool training, bool recording)
        {
            (_backend, Training) = (backend, training);
            _mode = torch.set_grad_enabled(recording);
        }

        public bool Training { get; }

        /// <summary>The labels that were last copied to the device, which several losses can share.</summary>
        public (int[] Host, torch.Tensor Device)? Labels { get; set; }

        /// <summary>Attaches a tensor to the dispose scope of the step.</summary>
        public torch.Tensor Attach(torch.Tensor tensor)
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

/// <summary>A batch on the device; the asynchronous copy to the device may still be running.</summary>
internal sealed class TorchStagedInput(TorchBackend owner, IReadOnlyList<int> shape, torch.Tensor value) : StagedInput(owner, shape)
{
    private torch.Tensor? _value = value;

    /// <summary>Returns the tensor and transfers its ownership to the caller.</summary>
    public torch.Tensor Take()
    {
        var taken = _value ?? throw new InvalidOperationException("The batch was taken or disposed already.");
        _value = null;
        return taken;
    }

    public override void Dispose()
    {
        _value?.Dispose();
        _value = null;
    }
}
