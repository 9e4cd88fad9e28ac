using RepVgg.Architectures;

namespace RepVgg.Inference.Float32;

/// <summary>The algorithm that computes a 3x3 convolution.</summary>
internal enum ConvolutionStrategy
{
    /// <summary>Direct convolution: the sum over all taps and input channels.</summary>
    Direct,

    /// <summary>
    /// Winograd's minimal filtering. Stride 1: two-dimensional, in tiles of 4x4 output pixels, with smaller tiles at the
    /// bottom and right edges. Stride 2: one-dimensional, in columns of 4 output pixels.
    /// </summary>
    Winograd,
}

/// <summary>Chooses the algorithm for a convolution.</summary>
/// <param name="shape">Shape of the block.</param>
/// <param name="height">Rows of the block's output.</param>
/// <param name="width">Columns of the block's output.</param>
internal delegate ConvolutionStrategy StrategyChoice(BlockSpec shape, int height, int width);

/// <summary>Default choice of the convolution algorithm by the shape of a block.</summary>
internal static class ConvolutionStrategies
{
    // Minimum number of input channels per group for Winograd. With fewer channels the transforms cost more than the
    // multiplications that they save. Stride 2 saves fewer multiplications, and even fewer on small maps.
    private const int WinogradChannels = 16;
    private const int WinogradChannelsOfStrideTwo = 32;
    private const int WinogradChannelsOfSmallMaps = 96;
    private const int SmallMap = 8;

    /// <summary>Chooses the algorithm for a block.</summary>
    /// <param name="shape">Shape of the block.</param>
    /// <param name="height">Rows of the block's output.</param>
    /// <param name="width">Columns of the block's output.</param>
    public static ConvolutionStrategy Choose(BlockSpec shape, int height, int width)
    {
        int least = shape.Stride == 1 ? WinogradChannels
            : Math.Min(height, width) <= SmallMap ? WinogradChannelsOfSmallMaps
            : WinogradChannelsOfStrideTwo;
        return shape.InputChannels / shape.Groups >= least ? ConvolutionStrategy.Winograd : ConvolutionStrategy.Direct;
    }
}
