namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Arguments of the micro-kernel that computes a register tile of a weight gradient: a few input channels by one or two vectors of output channels.</summary>
/// <remarks>output[i][j] += sum over pixels p of input[PixelOffsets[p] + i] * gradient[p * GradientStride + j].</remarks>
internal unsafe struct WeightTile
{
    /// <summary>The input at the first channel of the tile, with the offset of the tap added.</summary>
    public float* Input;

    public int* PixelOffsets;

    public int Pixels;

    public float* Gradient;

    public int GradientStride;

    public float* Output;

    public int OutputStride;
}
