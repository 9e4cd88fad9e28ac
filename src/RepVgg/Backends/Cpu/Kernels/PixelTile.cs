namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>A small product: some output pixels times one or two vectors of output channels.</summary>
/// <remarks>
/// output[p][j] = sum over taps t and channels k of input[InputOffsets[p] + TapOffsets[t] + k] * weights[t][k][j].
/// It serves convolutions forward, their gradient by input (with other taps and weights), and matrix products (one tap).
/// </remarks>
internal unsafe struct PixelTile
{
    public float* Input;

    /// <summary>Where each pixel's first tap lies; as many as the kernel has rows.</summary>
    public int* InputOffsets;

    public int* TapOffsets;

    public int Taps;

    /// <summary>Input channels, consecutive floats.</summary>
    public int Channels;

    /// <summary>One packed panel: [tap][channel][one or two vectors].</summary>
    public float* Weights;

    public float* Output;

    /// <summary>Where each pixel's first output channel goes.</summary>
    public int* OutputOffsets;

    /// <summary>True: add to the output.</summary>
    public bool Accumulate;
}
