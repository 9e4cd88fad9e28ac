using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Kernels;

/// <summary>Operands of a <see cref="GemmKernel{TVector, TLanes, TVectors, TRows}"/>. All pitches and offsets are in floats.</summary>
/// <remarks>
/// Initialize the structure once and then change individual fields. If the whole structure is copied immediately before a
/// kernel call, the kernel's first loads wait for the copy, which costs more than ten iterations of its loop.
/// </remarks>
internal unsafe struct GemmArguments
{
    /// <summary>Address of the first input row; <see cref="Segments"/> are offsets from here.</summary>
    public float* Rows;

    /// <summary>Floats from one input row to the next.</summary>
    public nint RowPitch;

    /// <summary>Offset of each segment of a row. A segment is a run of <see cref="Depth"/> consecutive floats.</summary>
    public nint* Segments;

    /// <summary>Number of segments.</summary>
    public int SegmentCount;

    /// <summary>Floats in a segment.</summary>
    public int Depth;

    /// <summary>The panel of packed weights, [segment][depth][vector of output channels][lane].</summary>
    public float* Panel;

    /// <summary>Floats to skip between the weights of one segment and those of the next.</summary>
    public nint PanelSkip;

    /// <summary>
    /// Address to prefetch next. Every iteration of the kernel's loop prefetches the cache line at this address to the L2
    /// cache; see <see cref="RowGroups.SetPrefetch"/>.
    /// </summary>
    public float* PrefetchAddress;

    /// <summary>Floats by which <see cref="PrefetchAddress"/> advances per iteration.</summary>
    public nint PrefetchStep;

    /// <summary>Initial values of the sums: a bias (<see cref="InitialPitch"/> is 0) or the sums of an earlier call.</summary>
    public float* Initial;

    /// <summary>Floats from the initial values of one row to those of the next.</summary>
    public nint InitialPitch;

    /// <summary>Floats from one vector of initial values to the next.</summary>
    public nint InitialVectorPitch;

    /// <summary>Receives the sums of the first row.</summary>
    public float* Target;

    /// <summary>Floats from the sums of one row to those of the next.</summary>
    public nint TargetPitch;

    /// <summary>Floats from one vector of sums to the next.</summary>
    public nint TargetVectorPitch;

    /// <summary>Whether the target is likely not in the L1 cache; the kernel then prefetches it before the loop.</summary>
    public bool PrefetchesTarget;

    /// <summary>Whether the epilogue applies ReLU to the sums.</summary>
    public bool Relu;

    /// <summary>
    /// Only for <see cref="Float32.Kernels.WinogradGemmKernel{TVector, TLanes, TPoints, TVectors, TRows}"/>, which computes the weights
    /// near + 2 far + middle and near + 2 far - middle: offsets of the three taps from <see cref="Panel"/>.
    /// </summary>
    public nint NearTap, MiddleTap, FarTap;

    /// <summary>Only for the point kernel: floats from the input rows of the first point to those of the second.</summary>
    public nint SecondPointRows;

    /// <summary>Only for the point kernel: floats from the sums of the first point to those of the second.</summary>
    public nint SecondPointTarget;
}
