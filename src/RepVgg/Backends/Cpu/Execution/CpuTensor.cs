using RepVgg.Runtime.Memory;

namespace RepVgg.Backends.Cpu.Execution;

/// <summary>
/// A tensor of floats of the CPU backend. Maps, the four-dimensional tensors of a step that are not kernels, are stored as NHWC (channels
/// last); all other tensors are stored in the order of their shape (row-major).
/// </summary>
internal sealed unsafe class CpuTensor : Tensor
{
    private readonly int[] _shape;
    private NativeBuffer? _data;
    private NativeBuffer? _gradient;

    public CpuTensor(CpuContext context, int[] shape, NativeBuffer data, TensorRole role, bool requiresGradient)
    {
        Context = context;
        _shape = shape;
        _data = data;
        Role = role;
        RequiresGradient = requiresGradient;
        Count = CountOf(shape);
    }

    public CpuContext Context { get; }

    public bool RequiresGradient { get; }

    /// <summary>Whether the tensor is a parameter, a buffer or an input, and not the result of an operation.</summary>
    public bool IsLeaf { get; init; }

    internal override TensorRole Role { get; }

    internal override bool IsReleased => _data is null;

    internal override bool RetainsGradient => RequiresGradient && IsLeaf;

    public override IReadOnlyList<int> Shape => _shape;

    public ReadOnlySpan<int> Dimensions => _shape;

    public long Count { get; }

    /// <summary>Whether the memory order is N, H, W, C instead of the order of the shape.</summary>
    public bool IsChannelsLast => Role == TensorRole.Step && _shape.Length == 4 && !IsKernel;

    public int N => _shape.Length > 0 ? _shape[0] : 1;

    public int C => _shape.Length > 1 ? _shape[1] : 1;

    public int H => _shape.Length > 2 ? _shape[2] : 1;

    public int W => _shape.Length > 3 ? _shape[3] : 1;

    public int Area => H * W;

    /// <summary>Number of pixels of the batch: N * H * W.</summary>
    public long Pixels => (long)N * Area;

    public float* Data => (_data ?? throw new ObjectDisposedException(nameof(Tensor), "The tensor's step is over, or it was disposed.")).Pointer;

    /// <summary>Whether <see cref="Backend.Backward"/> has written the gradient; for parameters, whether the latest call has, or an earlier one to which it added.</summary>
    public bool HasGradient { get; private set; }

    /// <summary>Returns the memory of the gradient for writing by an operation.</summary>
    /// <param name="accumulate">True if the operation must add to the existing gradient; false if it must overwrite all elements.</param>
    public float* GradientForWriting(out bool accumulate)
    {
        _gradient ??= Context.Pool.Rent(Count);
        accumulate = HasGradient;
        HasGradient = true;
        return _gradient.Pointer;
    }

    /// <summary>The gradient, for reading.</summary>
    public float* Gradient => HasGradient ? _gradient!.Pointer : throw new InvalidOperationException("The tensor has no gradient.");

    /// <summary>Marks the gradient as absent. Its memory stays allocated.</summary>
    public void ClearGradient() => HasGradient = false;

    /// <summary>Returns the memory of the gradient to the pool.</summary>
    public void ReleaseGradient()
    {
        HasGradient = false;
        if (_gradient is not null)
            Context.Pool.Return(_gradient);
        _gradient = null;
    }

    /// <summary>Returns the memory of the values and the gradient to the pool.</summary>
    public void Release()
    {
        ReleaseGradient();
        if (_data is not null)
            Context.Pool.Return(_data);
        _data = null;
    }

    public override void Dispose()
    {
        if (Role != TensorRole.Step)
        {
            Context.Unregister(this);
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
