using RepVgg.Architectures;

namespace RepVgg.Inference;

/// <summary>How a 3x3 convolution is computed.</summary>
internal enum ConvolutionStrategy
{
    /// <summary>By its definition.</summary>
    Direct,

    /// <summary>
    /// In Winograd's domain: with stride 1 in tiles of 4x4 output pixels, and what is left at the edges; with stride 2
    /// in columns of 4 output pixels.
    /// </summary>
    Winograd,
}

/// <summary>Picks a convolution's strategy.</summary>
/// <param name="shape">The block.</param>
/// <param name="height">Rows of its output.</param>
/// <param name="width">Columns of its output.</param>
internal delegate ConvolutionStrategy StrategyChoice(BlockSpec shape, int height, int width);

/// <summary>The one place that picks a kernel from a shape.</summary>
internal static class ConvolutionStrategies
{
    // With fewer input channels the transforms cost more than the multiplications that they save; a stride of 2 saves
    // fewer of them, the fewer the smaller the map.
    private const int WinogradChannels = 16;
    private const int WinogradChannelsOfStrideTwo = 32;
    private const int WinogradChannelsOfSmallMaps = 96;
    private const int SmallMap = 8;

    /// <summary>The strategy for a block.</summary>
    /// <param name="shape">The block.</param>
    /// <param name="height">Rows of its output.</param>
    /// <param name="width">Columns of its output.</param>
    public static ConvolutionStrategy Choose(BlockSpec shape, int height, int width)
    {
        int least = shape.Stride == 1 ? WinogradChannels
            : Math.Min(height, width) <= SmallMap ? WinogradChannelsOfSmallMaps
            : WinogradChannelsOfStrideTwo;
        return shape.InputChannels / shape.Groups >= least ? ConvolutionStrategy.Winograd : ConvolutionStrategy.Direct;
    }
}
