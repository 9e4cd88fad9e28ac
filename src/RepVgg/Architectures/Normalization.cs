using System.Collections.Immutable;

namespace RepVgg.Architectures;

/// <summary>Per-channel input normalisation: (pixel - Mean[c]) * Scale[c].</summary>
/// <param name="Mean">One value per input channel, in pixel units.</param>
/// <param name="Scale">One factor per input channel, in 1 / pixel units.</param>
public sealed record Normalization(ImmutableArray<float> Mean, ImmutableArray<float> Scale)
{
    /// <summary>
    /// The normalisation of the ImageNet networks: for pixels 0..255 of R, G, B, mean 123.675, 116.28, 103.53 and standard
    /// deviation 58.395, 57.12, 57.375.
    /// </summary>
    public static Normalization ImageNet { get; } = new([123.675f, 116.28f, 103.53f], [1 / 58.395f, 1 / 57.12f, 1 / 57.375f]);

    /// <summary>Whether all means are 0 and all scales are 1.</summary>
    public bool IsIdentity => Mean.All(mean => mean == 0) && Scale.All(scale => scale == 1);

    /// <summary>Creates the identity normalisation: mean 0 and scale 1.</summary>
    /// <param name="channels">Number of input channels.</param>
    /// <returns>The identity normalisation.</returns>
    public static Normalization Identity(int channels)
    {
        var scale = new float[channels];
        Array.Fill(scale, 1f);
        return new([.. new float[channels]], [.. scale]);
    }
}
