namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>A small product for gradients by weights: some input channels times one or two vectors of output channels.</summary>
/// <remarks>output[i][j] += sum over pixels p of input[PixelOffsets[p] + i] * gradient[p * GradientStride + j].</remarks>
internal unsafe struct WeightTile
{
    /// <summary>Channel 0 of this tile at this tap.</summary>
    public float* Input;

    public int* PixelOffsets;

    public int Pixels;

    public float* Gradient;

    public int GradientStride;

    public float* Output;

    public int OutputStride;
}
