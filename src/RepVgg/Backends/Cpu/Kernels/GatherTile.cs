namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Arguments of a <see cref="GatherKernel{TVector, TLanes, TRows, TVectors, TSteps}"/>: the product of a few rows by one or two vectors of columns.</summary>
/// <remarks>
/// output[OutputOffsets[r] + j] (+)= sum over segments s and steps k of
/// input[RowOffsets[r] + SegmentOffsets[s] + offset(k)] * columns[(s * Steps + k) * ColumnsPitch + j], where offset(k) is k, or
/// StepOffsets[k] in products that gather their steps.
/// </remarks>
internal unsafe struct GatherTile
{
    public float* Input;

    /// <summary>Input offset of each row of the register tile.</summary>
    public int* RowOffsets;

    /// <summary>Input offset of each segment.</summary>
    public int* SegmentOffsets;

    public int Segments;

    /// <summary>Number of products that are summed in each segment.</summary>
    public int Steps;

    /// <summary>Input offset of each step; not used if the steps are consecutive floats.</summary>
    public int* StepOffsets;

    /// <summary>The other operand, [segment][step][one or two vectors].</summary>
    public float* Columns;

    /// <summary>Floats from the columns of one step to those of the next.</summary>
    public nint ColumnsPitch;

    public float* Output;

    /// <summary>Output offset of each row.</summary>
    public int* OutputOffsets;

    /// <summary>True to add the product to the output; false to overwrite the output.</summary>
    public bool Accumulate;
}
