using RepVgg.Backends;
using RepVgg.Runtime;

namespace RepVgg.Networks;

/// <summary>
/// Dropout and stochastic depth (DropPath) for one training batch. The random numbers depend only on the seed, the batch, the
/// position of the image in the batch and, for stochastic depth, the block.
/// </summary>
/// <remarks>Sources: Srivastava et al., "Dropout", JMLR 2014; Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, linear decay.</remarks>
/// <param name="backend">The backend of the network.</param>
/// <param name="seed">The run's seed.</param>
/// <param name="batch">Batches done since the start of the run.</param>
/// <param name="dropout">Share of the pooled features, or of the channels of the last map of a head, that is dropped.</param>
/// <param name="stochasticDepth">Share of the images for which the last block's convolutions are dropped.</param>
internal sealed class RandomDrops(Backend backend, ulong seed, long batch, float dropout, float stochasticDepth)
{
    /// <summary>Applies dropout to the channels of pooled features [N, C, 1, 1], or of a map [N, C, H, W], of which whole channels are dropped (spatial dropout).</summary>
    /// <remarks>Spatial dropout: Tompson et al., "Efficient Object Localization Using Convolutional Networks", CVPR 2015; torch.nn.Dropout2d.</remarks>
    /// <param name="map">The features or the map.</param>
    /// <param name="head">Number of the head that drops them, 0 for the main head: every head has its own random numbers.</param>
    public Tensor DropChannels(Tensor map, int head)
    {
        if (dropout == 0)
            return map;
        int images = map.Shape[0], channels = map.Shape[1];
        var factors = new float[images * channels];
        for (int n = 0; n < images; n++)
        {
            var random = new RandomStream(seed, RandomStream.Purpose.Dropout, (ulong)batch, ((ulong)head << 32) | (uint)n);
            foreach (ref float factor in factors.AsSpan(n * channels, channels))
                factor = Draw(ref random, dropout);
        }
        return backend.ScaleChannels(map, backend.CreateInput([images, channels, 1, 1], factors));
    }

    /// <summary>Share of the images for which the convolutions of a block are dropped: linear from 0 for the first block to the configured share for the last.</summary>
    public double PathRate(int block, int blocks) => blocks < 2 ? 0 : stochasticDepth * (double)block / (blocks - 1);

    /// <summary>
    /// Applies stochastic depth to the sum of the convolution branches of a block, [N, C, H, W]: all values of an image are
    /// multiplied by 0 or by 1 / (1 - rate).
    /// </summary>
    public Tensor DropPath(Tensor map, int block, int blocks)
    {
        int images = map.Shape[0], channels = map.Shape[1];
        var factors = new float[images * channels];
        for (int n = 0; n < images; n++)
        {
            // There is one random stream per image and block, so that freezing a stage does not change the random numbers
            // of other blocks.
            var random = new RandomStream(seed, RandomStream.Purpose.StochasticDepth, (ulong)batch, ((ulong)block << 32) | (uint)n);
            factors.AsSpan(n * channels, channels).Fill(Draw(ref random, PathRate(block, blocks)));
        }
        return backend.ScaleChannels(map, backend.CreateInput([images, channels, 1, 1], factors));
    }

    /// <summary>Returns 0 with the given probability, otherwise 1 / (1 - probability), so that the expected value is 1.</summary>
    private static float Draw(ref RandomStream random, double probability) => random.NextDouble() < probability ? 0 : (float)(1 / (1 - probability));
}
