using RepVgg.Backends;
using RepVgg.Data;

namespace RepVgg.Networks;

/// <summary>What dropout and stochastic depth leave out in one training step. Every draw has its own stream: seed, step and position in the batch decide it.</summary>
/// <remarks>Sources: Srivastava et al., "Dropout", JMLR 2014; Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, linear decay.</remarks>
/// <param name="backend">Where the factors are needed.</param>
/// <param name="seed">The run's seed.</param>
/// <param name="step">Steps done since the start of the run.</param>
/// <param name="dropout">Share of the pooled features that is dropped.</param>
/// <param name="stochasticDepth">Share of the images for which the last block's convolutions are dropped.</param>
internal sealed class RandomDrops(Backend backend, ulong seed, long step, float dropout, float stochasticDepth)
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
            var random = new RandomStream(seed, RandomStream.Purpose.Dropout, (ulong)step, (ulong)n);
            foreach (ref float factor in factors.AsSpan(n * channels, channels))
                factor = Draw(ref random, dropout);
        }
        return backend.ScaleChannels(features, backend.CreateInput([images, channels, 1, 1], factors));
    }

    /// <summary>Share of the images for which a block's convolutions are dropped: from 0 at the first to the given share at the last.</summary>
    public double PathRate(int block, int blocks) => blocks < 2 ? 0 : stochasticDepth * (double)block / (blocks - 1);

    /// <summary>Applies stochastic depth to the convolutions' part [N, C, H, W] of a block.</summary>
    public Tensor DropPath(Tensor map, int block, int blocks)
    {
        int images = map.Shape[0], channels = map.Shape[1];
        var factors = new float[images * channels];
        for (int n = 0; n < images; n++)
        {
            // One stream per image and block, so that a frozen stage leaves the others' draws alone.
            var random = new RandomStream(seed, RandomStream.Purpose.StochasticDepth, (ulong)step, ((ulong)block << 32) | (uint)n);
            factors.AsSpan(n * channels, channels).Fill(Draw(ref random, PathRate(block, blocks)));
        }
        return backend.ScaleChannels(map, backend.CreateInput([images, channels, 1, 1], factors));
    }

    /// <summary>0 with that probability, else what keeps the expectation.</summary>
    private static float Draw(ref RandomStream random, double probability) => random.NextDouble() < probability ? 0 : (float)(1 / (1 - probability));
}
