using System.Runtime.Intrinsics;
using RepVgg.Inference.Float32.Kernels;
using RepVgg.Inference.Kernels;
using RepVgg.Runtime.Memory;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.KernelBenchmarks;

/// <summary>The kernels of one vector width with their operands.</summary>
internal abstract class KernelCases : IDisposable
{
    public static KernelCases OfWidestVectors(int blocks) => VectorWidths.Widest switch
    {
        VectorWidth.Bits512 => new KernelCases<Vector512<float>, Lanes512>(blocks),
        VectorWidth.Bits256 => new KernelCases<Vector256<float>, Lanes256>(blocks),
        _ => new KernelCases<Vector128<float>, Lanes128>(blocks),
    };

    public abstract void Panel();

    public abstract void Pair();

    public abstract void TransformInput();

    public abstract void TransformOutput();

    public abstract void Dispose();
}

/// <inheritdoc/>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class KernelCases<TVector, TLanes> : KernelCases
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int Points = 6;
    private const int MaximumRows = 8;

    private readonly int _blocks;
    private readonly NativeBuffer _rows;
    private readonly NativeBuffer _weights;
    private readonly NativeBuffer _sums;

    public KernelCases(int blocks)
    {
        _blocks = blocks;
        int width = TLanes.Width;
        // Holds the values of a tile at all pairs of points, which are more than the rows at two points.
        _rows = new NativeBuffer((long)blocks * Points * Points * width * MaximumRows);
        _weights = new NativeBuffer((long)blocks * 3 * width * MicroKernels.MaximumVectors * width);
        _sums = new NativeBuffer((long)(blocks + 1) * Points * Points * width * MaximumRows);
    }

    private static int BlockPitch => 2 * MaximumRows * TLanes.Width;

    public override void Panel()
    {
        var arguments = Arguments(3);
        nint* segments = stackalloc nint[_blocks];
        Fill(segments, ref arguments);
        MicroKernels<TVector, TLanes>.Divide(3, MaximumRows).Run(&arguments);
    }

    public override void Pair()
    {
        var arguments = Arguments(2);
        nint* segments = stackalloc nint[_blocks];
        Fill(segments, ref arguments);
        arguments.PanelSkip = 2 * arguments.MiddleTap;
        WinogradMicroKernels<TVector, TLanes>.Divide(2, 2, 6).Run(&arguments);
    }

    public override void TransformInput()
    {
        nint* offsets = stackalloc nint[Points * Points];
        nint pitch = SetOffsets(offsets);
        for (int block = 0; block < _blocks; block++)
        {
            nint offset = block * Points * pitch;
            WinogradInputTransform<TVector, TLanes>.Transform(_rows.Pointer + offset, pitch, _sums.Pointer + offset, offsets, 4, 4, prefetches: false);
        }
    }

    public override void TransformOutput()
    {
        nint* offsets = stackalloc nint[Points * Points];
        nint pitch = SetOffsets(offsets);
        for (int block = 0; block < _blocks; block++)
        {
            nint offset = block * Points * pitch;
            WinogradOutputTransform<TVector, TLanes>.Transform(_sums.Pointer + offset, offsets, _weights.Pointer, relu: true, _rows.Pointer + offset, pitch, 4, 4, prefetches: false);
        }
    }

    public override void Dispose()
    {
        _rows.Dispose();
        _weights.Dispose();
        _sums.Dispose();
    }

    // Offsets of a tile's values, which are contiguous. Returns the floats of a row of them.
    private static nint SetOffsets(nint* offsets)
    {
        for (int i = 0; i < Points * Points; i++)
            offsets[i] = i * TLanes.Width;
        return Points * TLanes.Width;
    }

    private GemmArguments Arguments(int vectors)
    {
        int width = TLanes.Width, pitch = vectors * width;
        return new GemmArguments
        {
            Rows = _rows.Pointer,
            RowPitch = width,
            SegmentCount = _blocks,
            Depth = width,
            Panel = _weights.Pointer,
            PrefetchAddress = _weights.Pointer,
            NearTap = 2 * width * pitch,
            MiddleTap = width * pitch,
            Initial = _sums.Pointer,
            InitialPitch = pitch,
            InitialVectorPitch = width,
            Target = _sums.Pointer,
            TargetPitch = pitch,
            TargetVectorPitch = width,
            SecondPointRows = MaximumRows * width,
            SecondPointTarget = MaximumRows * pitch,
        };
    }

    private void Fill(nint* segments, ref GemmArguments arguments)
    {
        for (int block = 0; block < _blocks; block++)
            segments[block] = block * BlockPitch;
        arguments.Segments = segments;
    }
}
