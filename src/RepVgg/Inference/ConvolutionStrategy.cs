using RepVgg.Architectures;

namespace RepVgg.Inference;

/// <summary>How a 3x3 convolution is computed.</summary>
internal enum ConvolutionStrategy
{
    /// <summary>By its definition.</summary>
    Direct,

    /// <summary>In Winograd's domain, tiles of 4x4 and, at the edges, 2x2 output pixels; stride 1 only.</summary>
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
    // Below this the transforms cost more than the multiplications that they save.
    private const int WinogradChannels = 16;

    /// <summary>The strategy for a block.</summary>
    /// <param name="shape">The block.</param>
    /// <param name="height">Rows of its output.</param>
    /// <param name="width">Columns of its output.</param>
    public static ConvolutionStrategy Choose(BlockSpec shape, int height, int width) => shape switch
    {
        { Stride: 1 } when shape.InputChannels / shape.Groups >= WinogradChannels => ConvolutionStrategy.Winograd,
        _ => ConvolutionStrategy.Direct,
    };
}
