namespace RepVgg.Architectures;

/// <summary>Computes the height or width of a convolution's output, in pixels.</summary>
internal static class ConvolutionSize
{
    /// <summary>Computes the output size of a convolution: floor((size + 2 * padding - kernel) / stride) + 1.</summary>
    public static int Output(int size, int kernel, int stride, int padding) => (size + 2 * padding - kernel) / stride + 1;

    /// <summary>Computes the output size of a block. It is the same for the 3x3 convolution with padding 1 and for the 1x1 convolution without padding.</summary>
    public static int OutputOfBlock(int size, int stride) => Output(size, kernel: 3, stride, padding: 1);
}
