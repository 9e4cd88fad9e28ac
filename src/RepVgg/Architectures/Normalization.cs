using System.Collections.Immutable;
using System.Globalization;

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
    public static Normalization ImageNet { get; } = FromMeanStd([123.675f, 116.28f, 103.53f], [58.395f, 57.12f, 57.375f], maxPixelValue: 1);

    /// <summary>Whether all means are 0 and all scales are 1.</summary>
    public bool IsIdentity => Mean.All(mean => mean == 0) && Scale.All(scale => scale == 1);

    /// <summary>Creates the normalisation (pixel / maxPixelValue - mean[c]) / std[c], as torchvision's <c>Normalize</c> computes it.</summary>
    /// <param name="mean">Mean of each channel, for pixel values divided by <paramref name="maxPixelValue"/>.</param>
    /// <param name="std">Standard deviation of each channel, in the same unit, more than 0.</param>
    /// <param name="maxPixelValue">Value by which pixels are divided: 255 if mean and standard deviation are those of pixels 0..1, as in PyTorch; 1 if they are those of the raw pixels.</param>
    /// <returns>The normalisation, for raw pixels.</returns>
    /// <exception cref="ArgumentException">The numbers of means and standard deviations differ, or a value is out of range; the message states which.</exception>
    public static Normalization FromMeanStd(ReadOnlySpan<float> mean, ReadOnlySpan<float> std, float maxPixelValue = 255)
    {
        if (mean.Length != std.Length || mean.IsEmpty)
            throw new ArgumentException($"There are {mean.Length} means and {std.Length} standard deviations; one of each is needed per channel.", nameof(std));
        if (!(maxPixelValue > 0) || !float.IsFinite(maxPixelValue))
            throw new ArgumentOutOfRangeException(nameof(maxPixelValue), maxPixelValue, "The maximum pixel value must be a finite number above 0.");
        float[] means = new float[mean.Length], scales = new float[mean.Length];
        for (int channel = 0; channel < mean.Length; channel++)
        {
            if (!float.IsFinite(mean[channel]))
                throw new ArgumentException(FormattableString.Invariant($"The mean of channel {channel} is {mean[channel]}; it must be a finite number."), nameof(mean));
            if (!(std[channel] > 0) || !float.IsFinite(std[channel]))
                throw new ArgumentException(FormattableString.Invariant($"The standard deviation of channel {channel} is {std[channel]}; it must be a finite number above 0."), nameof(std));
            if (maxPixelValue > 1 && mean[channel] > 1)
                throw new ArgumentException(FormattableString.Invariant($"The mean of channel {channel} is {mean[channel]}, but pixels divided by {maxPixelValue} are at most 1. For values in the unit of the raw pixels, set maxPixelValue to 1."), nameof(mean));
            means[channel] = mean[channel] * maxPixelValue;
            scales[channel] = 1 / (std[channel] * maxPixelValue);
        }
        return new([.. means], [.. scales]);
    }

    /// <summary>Creates the identity normalisation: mean 0 and scale 1.</summary>
    /// <param name="channels">Number of input channels.</param>
    /// <returns>The identity normalisation.</returns>
    public static Normalization Identity(int channels)
    {
        var scale = new float[channels];
        Array.Fill(scale, 1f);
        return new([.. new float[channels]], [.. scale]);
    }

    /// <summary>Finds what makes the normalisation unusable: missing values, and values for which a pixel becomes infinite, NaN, or the same number whatever it is.</summary>
    /// <param name="channels">Number of input channels.</param>
    /// <returns>The problem; null if there is none.</returns>
    internal string? Problem(int channels)
    {
        const float LargestPixel = 255;
        if (Mean.IsDefault || Scale.IsDefault || Mean.Length != channels || Scale.Length != channels)
            return $"{channels} means and scales are needed, one per input channel, not {(Mean.IsDefault ? 0 : Mean.Length)} and {(Scale.IsDefault ? 0 : Scale.Length)}";
        for (int channel = 0; channel < channels; channel++)
        {
            float mean = Mean[channel], scale = Scale[channel];
            if (!float.IsFinite(mean) || !float.IsFinite(scale) || scale == 0)
                return FormattableString.Invariant($"the mean of channel {channel} is {mean} and its scale {scale}; both must be finite, and the scale not 0");
            if (!float.IsFinite(-mean * scale) || !float.IsFinite((LargestPixel - mean) * scale))
                return FormattableString.Invariant($"channel {channel} has the mean {mean} and the scale {scale}, with which pixels from 0 to {LargestPixel} become infinite");
        }
        return null;
    }

    /// <summary>Returns the means and standard deviations as text.</summary>
    /// <returns>A text such as <c>mean 127.5, standard deviation 255</c>.</returns>
    public override string ToString() => $"mean {Join(Mean)}, standard deviation {Join(Scale.Select(scale => 1 / scale))}";

    private static string Join(IEnumerable<float> values) => string.Join(", ", values.Select(value => value.ToString("g6", CultureInfo.InvariantCulture)));
}
