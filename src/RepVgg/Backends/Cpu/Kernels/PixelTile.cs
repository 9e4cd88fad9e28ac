namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Arguments of the micro-kernel that computes a register tile: a few output pixels by one or two vectors of output channels.</summary>
/// <remarks>
/// output[p][j] = sum over taps t and channels k of input[InputOffsets[p] + TapOffsets[t] + k] * weights[t][k][j].
/// It is used for the forward pass of convolutions, for their input gradient (with other taps and weights), and for matrix
/// products (one tap).
/// </remarks>
internal unsafe struct PixelTile
{
    public float* Input;

    /// <summary>Input offset of each pixel; one entry per row of the micro-kernel.</summary>
    public int* InputOffsets;

    public int* TapOffsets;

    public int Taps;

    /// <summary>Number of input channels, which are consecutive floats.</summary>
    public int Channels;

    /// <summary>One packed panel: [tap][channel][one or two vectors].</summary>
    public float* Weights;

    public float* Output;

    /// <summary>Offset of the first output channel of each pixel in the output.</summary>
    public int* OutputOffsets;

    /// <summary>True to add the product to the output; false to overwrite the output.</summary>
    public bool Accumulate;
}
