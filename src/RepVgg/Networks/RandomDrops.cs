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
/// <param name="dropout">Share of the pooled features that is dropped.</param>
/// <param name="stochasticDepth">Share of the images for which the last block's convolutions are dropped.</param>
internal sealed class RandomDrops(Backend backend, ulong seed, long batch, float dropout, float stochasticDepth)
{
    /// <summary>Applies dropout to pooled features [N, C, 1, 1].</summary>
    public Tensor DropFeatures(Tensor features)
    {
        if (dropout == 0)
            return features;
        int images = features.Shape[0], channels = features.Shape[1];
        var factors = new float[images * channels];
        for (int n = 0; n < images; n++)
        {
            var random = new RandomStream(seed, RandomStream.Purpose.Dropout, (ulong)batch, (ulong)n);
            foreach (ref float factor in factors.AsSpan(n * channels, channels))
                factor = Draw(ref random, dropout);
        }
        return backend.ScaleChannels(features, backend.CreateInput([images, channels, 1, 1], factors));
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
