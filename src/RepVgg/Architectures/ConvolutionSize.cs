namespace RepVgg.Architectures;

/// <summary>Height or width of what a convolution computes, in pixels.</summary>
internal static class ConvolutionSize
{
    /// <summary>Size of a convolution's output: floor((size + 2 * padding - kernel) / stride) + 1.</summary>
    public static int Output(int size, int kernel, int stride, int padding) => (size + 2 * padding - kernel) / stride + 1;

    /// <summary>Size of a block's output. Its 3x3 convolution with padding 1 and its 1x1 convolution without padding give the same.</summary>
    public static int OutputOfBlock(int size, int stride) => Output(size, kernel: 3, stride, padding: 1);
}
