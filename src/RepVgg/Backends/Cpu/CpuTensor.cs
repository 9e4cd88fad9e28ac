using RepVgg.Backends.Cpu.Memory;
using RepVgg.Memory;

namespace RepVgg.Backends.Cpu;

/// <summary>Floats of the CPU backend. Maps [N, C, H, W] lie channels last; parameters and buffers lie as their shape says.</summary>
internal sealed unsafe class CpuTensor : Tensor
{
    private readonly int[] _shape;
    private NativeBuffer? _data;
    private NativeBuffer? _gradient;

    public CpuTensor(CpuBackend owner, int[] shape, NativeBuffer data, TensorRole role, bool requiresGradient)
    {
        Owner = owner;
        _shape = shape;
        _data = data;
        Role = role;
        RequiresGradient = requiresGradient;
        Count = CountOf(shape);
    }

    public CpuBackend Owner { get; }

    public TensorRole Role { get; }

    public bool RequiresGradient { get; }

    public override IReadOnlyList<int> Shape => _shape;

    public ReadOnlySpan<int> Dimensions => _shape;

    public long Count { get; }

    /// <summary>True where memory holds N, H, W, C and not the shape's own order.</summary>
    public bool IsChannelsLast => Role == TensorRole.Step && _shape.Length == 4;

    public int N => _shape.Length > 0 ? _shape[0] : 1;

    public int C => _shape.Length > 1 ? _shape[1] : 1;

    public int H => _shape.Length > 2 ? _shape[2] : 1;

    public int W => _shape.Length > 3 ? _shape[3] : 1;

    public int Area => H * W;

    /// <summary>Pixels of the whole batch.</summary>
    public long Pixels => (long)N * Area;

    public float* Data => (_data ?? throw new ObjectDisposedException(nameof(Tensor), "The tensor's step is over, or it was disposed.")).Pointer;

    /// <summary>True once the running <see cref="Backend.Backward"/> has written to the gradient (for parameters: the last one).</summary>
    public bool HasGradient { get; private set; }

    /// <summary>The gradient's memory for an operation to write to.</summary>
    /// <param name="accumulate">True: add to what is there. False: overwrite all of it.</param>
    public float* GradientForWriting(out bool accumulate)
    {
        _gradient ??= Owner.Pool.Rent(Count);
        accumulate = HasGradient;
        HasGradient = true;
        return _gradient.Pointer;
    }

    /// <summary>The gradient, to read.</summary>
    public float* Gradient => HasGradient ? _gradient!.Pointer : throw new InvalidOperationException("The tensor has no gradient.");

    /// <summary>Starts over: what the gradient holds no longer counts.</summary>
    public void ForgetGradient() => HasGradient = false;

    /// <summary>Gives the gradient's memory back early.</summary>
    public void ReleaseGradient()
    {
        HasGradient = false;
        if (_gradient is not null)
            Owner.Pool.Return(_gradient);
        _gradient = null;
    }

    /// <summary>Gives all memory back.</summary>
    public void Release()
    {
        ReleaseGradient();
        if (_data is not null)
            Owner.Pool.Return(_data);
        _data = null;
    }

    public override void Dispose()
    {
        if (Role != TensorRole.Step)
        {
            Owner.Forget(this);
            Release();
        }
    }

    public static long CountOf(ReadOnlySpan<int> shape)
    {
        long count = 1;
        foreach (int dimension in shape)
            count *= dimension;
        return count;
    }
}
