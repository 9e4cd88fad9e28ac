namespace RepVgg.Architectures;

/// <summary>How a convolution moves over its input: stride, dilation, groups, and the rows and columns of zeros around the input.</summary>
/// <param name="Stride">Stride in both dimensions.</param>
/// <param name="Groups">Number of groups.</param>
/// <param name="Top">Rows of zeros above the input.</param>
/// <param name="Left">Columns of zeros to the left of the input.</param>
/// <param name="Bottom">Rows of zeros below the input.</param>
/// <param name="Right">Columns of zeros to the right of the input.</param>
/// <param name="Dilation">Distance of the taps of the kernel in both dimensions, in pixels.</param>
internal readonly record struct ConvolutionGeometry(int Stride, int Groups, int Top, int Left, int Bottom, int Right, int Dilation = 1)
{
    /// <summary>Creates the geometry of a convolution with the same padding on all sides.</summary>
    public static ConvolutionGeometry Padded(int stride, int padding, int groups) => new(stride, groups, padding, padding, padding, padding);

    /// <summary>Height of the padded input.</summary>
    public int PaddedHeight(int height) => Top + height + Bottom;

    /// <summary>Width of the padded input.</summary>
    public int PaddedWidth(int width) => Left + width + Right;

    /// <summary>Number of pixels that a kernel of some size spans: (size - 1) * dilation + 1.</summary>
    public int Span(int kernel) => (kernel - 1) * Dilation + 1;

    /// <summary>Height of the output.</summary>
    /// <param name="height">Height of the input.</param>
    /// <param name="kernel">Height of the kernel.</param>
    public int OutputHeight(int height, int kernel) => (PaddedHeight(height) - Span(kernel)) / Stride + 1;

    /// <summary>Width of the output.</summary>
    /// <param name="width">Width of the input.</param>
    /// <param name="kernel">Width of the kernel.</param>
    public int OutputWidth(int width, int kernel) => (PaddedWidth(width) - Span(kernel)) / Stride + 1;

    /// <inheritdoc/>
    public override string ToString() => $"stride {Stride}, dilation {Dilation}, padding {Top}, {Left}, {Bottom}, {Right} (top, left, bottom, right), groups {Groups}";
}

/// <summary>How the convolutions of a block move over their input. Kernels of different sizes are aligned, so that their sum is one 3x3 kernel.</summary>
/// <remarks>
/// A kernel that has height 1 reads, for output row i, the input row Stride * i. A kernel of height 3 reads the rows Stride * i + Dilation * (k - Top) for k = 0, 1, 2: with
/// <paramref name="Top"/> 1, as in PyTorch with padding 1, the row of the other kernels is its middle one; with 0, as TensorFlow's padding 'same' does for stride 2 and an even
/// height, its first one. The same holds for columns. The output has ceil(size / Stride) rows and columns.
/// </remarks>
/// <param name="Stride">Stride of the block.</param>
/// <param name="Groups">Number of groups.</param>
/// <param name="Dilation">Distance of the taps of a 3x3 kernel in pixels.</param>
/// <param name="Top">Tap row of a 3x3 kernel that lies on the row of a 1x1 kernel: 0 or 1.</param>
/// <param name="Left">Tap column of a 3x3 kernel that lies on the column of a 1x1 kernel: 0 or 1.</param>
internal readonly record struct BlockGeometry(int Stride, int Groups, int Dilation = 1, int Top = 1, int Left = 1)
{
    /// <summary>Whether a 3x3 kernel is centred on the pixel that a 1x1 kernel reads.</summary>
    public bool IsCentred => Top == 1 && Left == 1;

    /// <summary>The geometry of a convolution of the block.</summary>
    /// <param name="kernelHeight">Height of the kernel, 1 or 3.</param>
    /// <param name="kernelWidth">Width of the kernel, 1 or 3.</param>
    public ConvolutionGeometry Of(int kernelHeight, int kernelWidth)
    {
        int rows = kernelHeight / 2 * Dilation, columns = kernelWidth / 2 * Dilation;
        return new ConvolutionGeometry(Stride, Groups, rows * Top, columns * Left, rows, columns, Dilation);
    }

    /// <inheritdoc/>
    public override string ToString() => $"stride {Stride}, {Groups} groups{(Dilation == 1 ? "" : $", dilation {Dilation}")}{(IsCentred ? "" : $", padding {Top} at the top and {Left} at the left")}";
}

/// <summary>Computes the height or width of a block's output, in pixels.</summary>
internal static class ConvolutionSize
{
    /// <summary>Computes the output size of a block: ceil(size / stride). It is the same for kernels of all sizes, see <see cref="BlockGeometry"/>.</summary>
    public static int OutputOfBlock(int size, int stride) => (size - 1) / stride + 1;
}
