using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Kernels;

/// <summary>What a <see cref="PanelKernel{TVector, TLanes, TVectors, TRows}"/> multiplies. Pitches count floats.</summary>
/// <remarks>
/// Fill it once and then change single fields: a structure that was just copied as a whole makes the kernel's first
/// reads wait, which costs more than ten steps of its loop.
/// </remarks>
internal unsafe struct PanelArguments
{
    /// <summary>The first row; segments are offsets from here.</summary>
    public float* Rows;

    /// <summary>From one row to the next.</summary>
    public nint RowPitch;

    /// <summary>Where each of a row's runs begins.</summary>
    public nint* Segments;

    /// <summary>Number of runs.</summary>
    public int SegmentCount;

    /// <summary>Floats in a run.</summary>
    public int Depth;

    /// <summary>Weights: [segment][depth][vector of output channels].</summary>
    public float* Panel;

    /// <summary>Floats of other weights between one segment's and the next's.</summary>
    public nint PanelSkip;

    /// <summary>
    /// Memory that will be needed later; every step of a kernel's loop brings some of it to the second-level cache. See
    /// <see cref="RowGroups.LookAhead"/>.
    /// </summary>
    public float* Ahead;

    /// <summary>Floats from what one step brings to what the next one brings.</summary>
    public nint AheadStep;

    /// <summary>What the sums start from: a bias (pitch 0), or earlier sums.</summary>
    public float* Initial;

    /// <summary>From one row's start to the next's.</summary>
    public nint InitialPitch;

    /// <summary>From one vector's start to the next's.</summary>
    public nint InitialVectorPitch;

    /// <summary>Where the first row's sums go.</summary>
    public float* Target;

    /// <summary>From one row's sums to the next's.</summary>
    public nint TargetPitch;

    /// <summary>From one vector of sums to the next.</summary>
    public nint TargetVectorPitch;

    /// <summary>Whether the target is likely to lie beyond the first-level cache.</summary>
    public bool TargetIsFar;

    /// <summary>Whether negative sums become zero.</summary>
    public bool Relu;

    /// <summary>
    /// For a <see cref="PointKernel{TVector, TLanes, TPoints, TVectors, TRows}"/>, which makes weights near + 2 far + middle
    /// and near + 2 far - middle: where these taps are, from <see cref="Panel"/>.
    /// </summary>
    public nint Near, Middle, Far;

    /// <summary>For the same: from the first point's rows to the second's.</summary>
    public nint PairRows;

    /// <summary>For the same: from the first point's sums to the second's.</summary>
    public nint PairTarget;
}
