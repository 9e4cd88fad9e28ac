using System.Runtime.Intrinsics;
using RepVgg.Inference.Float32.Kernels;
using RepVgg.Runtime.Memory;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.KernelBenchmarks;

/// <summary>Kernels with data to run on.</summary>
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
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal sealed unsafe class KernelCases<TVector, TLanes> : KernelCases
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int Points = 6;
    private const int MostRows = 8;

    private readonly int _blocks;
    private readonly NativeBuffer _rows;
    private readonly NativeBuffer _weights;
    private readonly NativeBuffer _sums;

    public KernelCases(int blocks)
    {
        _blocks = blocks;
        int width = TLanes.Width;
        // Room for a tile's values at all pairs of points, which is more than rows at two points take.
        _rows = new NativeBuffer((long)blocks * Points * Points * width * MostRows);
        _weights = new NativeBuffer((long)blocks * 3 * width * MicroKernels.MaximumVectors * width);
        _sums = new NativeBuffer((long)(blocks + 1) * Points * Points * width * MostRows);
    }

    private static int BlockPitch => 2 * MostRows * TLanes.Width;

    public override void Panel()
    {
        var arguments = Arguments(3);
        nint* segments = stackalloc nint[_blocks];
        Fill(segments, ref arguments);
        MicroKernels<TVector, TLanes>.Divide(3, MostRows).Run(&arguments);
    }

    public override void Pair()
    {
        var arguments = Arguments(2);
        nint* segments = stackalloc nint[_blocks];
        Fill(segments, ref arguments);
        arguments.PanelSkip = 2 * arguments.MiddleTap;
        MicroKernels<TVector, TLanes>.DivideForPoints(2, 2, 6).Run(&arguments);
    }

    public override void TransformInput()
    {
        nint* at = stackalloc nint[Points * Points];
        nint pitch = Lay(at);
        for (int block = 0; block < _blocks; block++)
        {
            nint offset = block * Points * pitch;
            WinogradInputTransform<TVector, TLanes>.Transform(_rows.Pointer + offset, pitch, _sums.Pointer + offset, at, 4, 4, prefetches: false);
        }
    }

    public override void TransformOutput()
    {
        nint* at = stackalloc nint[Points * Points];
        nint pitch = Lay(at);
        for (int block = 0; block < _blocks; block++)
        {
            nint offset = block * Points * pitch;
            WinogradOutputTransform<TVector, TLanes>.Transform(_sums.Pointer + offset, at, _weights.Pointer, relu: true, _rows.Pointer + offset, pitch, 4, 4, prefetches: false);
        }
    }

    public override void Dispose()
    {
        _rows.Dispose();
        _weights.Dispose();
        _sums.Dispose();
    }

    // Where a tile's values are, side by side; and how long a row of them is.
    private static nint Lay(nint* at)
    {
        for (int i = 0; i < Points * Points; i++)
            at[i] = i * TLanes.Width;
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
            SecondPointRows = MostRows * width,
            SecondPointTarget = MostRows * pitch,
        };
    }

    private void Fill(nint* segments, ref GemmArguments arguments)
    {
        for (int block = 0; block < _blocks; block++)
            segments[block] = block * BlockPitch;
        arguments.Segments = segments;
    }
}
