namespace RepVgg.Training;

/// <summary>Operations of <see cref="RandAugment"/>. The level L is the magnitude divided by 10; a sign is random with probability 1/2.</summary>
/// <remarks>The levels are those of timm's increasing policy. Every operation but the last gives the pixels of Pillow, with bilinear interpolation.</remarks>
[Flags]
public enum RandAugmentOperations
{
    /// <summary>No operation.</summary>
    None = 0,

    /// <summary>Stretches each channel to 0 .. 255. The level has no effect.</summary>
    AutoContrast = 1 << 0,

    /// <summary>Equalizes the histogram of each channel. The level has no effect.</summary>
    Equalize = 1 << 1,

    /// <summary>Inverts the pixels. The level has no effect.</summary>
    Invert = 1 << 2,

    /// <summary>Rotates by 30 L degrees, with a random sign.</summary>
    Rotate = 1 << 3,

    /// <summary>Keeps the 4 - floor(4 L) highest bits of each value.</summary>
    Posterize = 1 << 4,

    /// <summary>Inverts the values from 256 - floor(256 L) on.</summary>
    Solarize = 1 << 5,

    /// <summary>Adds floor(110 L) to the values below 128.</summary>
    SolarizeAdd = 1 << 6,

    /// <summary>Changes the saturation by the factor 1 + 0.9 L, with a random sign of the second part, but at least 0.1.</summary>
    Color = 1 << 7,

    /// <summary>Changes the contrast by the same factor.</summary>
    Contrast = 1 << 8,

    /// <summary>Changes the brightness by the same factor.</summary>
    Brightness = 1 << 9,

    /// <summary>Changes the sharpness by the same factor.</summary>
    Sharpness = 1 << 10,

    /// <summary>Shears along the rows by 0.3 L, with a random sign.</summary>
    ShearX = 1 << 11,

    /// <summary>Shears along the columns by 0.3 L, with a random sign.</summary>
    ShearY = 1 << 12,

    /// <summary>Moves along the rows by 0.45 L of the width, with a random sign.</summary>
    TranslateX = 1 << 13,

    /// <summary>Moves along the columns by 0.45 L of the height, with a random sign.</summary>
    TranslateY = 1 << 14,

    /// <summary>Replaces a square around a random pixel by the mean colour. Its side is 80/224 L of the shorter side of the image.</summary>
    Cutout = 1 << 15,

    /// <summary>The operations of timm: all but <see cref="Cutout"/>.</summary>
    Timm = Cutout - 1,

    /// <summary>The operations of the RepOptimizer authors: all.</summary>
    All = Timm | Cutout,
}

/// <summary>Options of RandAugment: operations that are drawn for every image and applied with one magnitude.</summary>
/// <remarks>
/// The defaults are timm's "rand-m9-mstd0.5-inc1", which RepVGGplus is trained with. The RepOptimizer authors use two operations of <see cref="RandAugmentOperations.All"/>, Probability 1,
/// Magnitude 14, MaximumMagnitude 14 and an infinite MagnitudeDeviation. Pixels from outside the image have the mean colour of the training images. <see cref="RandAugmentOperations.Color"/> is left
/// out for grey images. Source: Cubuk et al., "RandAugment", CVPR Workshops 2020.
/// </remarks>
public sealed record RandAugment
{
    /// <summary>Number of operations that are drawn for an image, with replacement, at least 1.</summary>
    public int OperationsPerImage { get; init; } = 2;

    /// <summary>The operations to draw from.</summary>
    public RandAugmentOperations Operations { get; init; } = RandAugmentOperations.Timm;

    /// <summary>Probability that a drawn operation is applied, 0 .. 1.</summary>
    public double Probability { get; init; } = 0.5;

    /// <summary>Mean magnitude, from 0 to <see cref="MaximumMagnitude"/>; 10 is level 1.</summary>
    public double Magnitude { get; init; } = 9;

    /// <summary>Standard deviation of the magnitude, which is normally distributed, 0 or more; infinity for a magnitude that is uniform from 0 to <see cref="Magnitude"/>.</summary>
    public double MagnitudeDeviation { get; init; } = 0.5;

    /// <summary>Largest magnitude, more than 0: a normally distributed magnitude is limited to 0 .. this value.</summary>
    public double MaximumMagnitude { get; init; } = 10;

    internal void Validate()
    {
        TrainingOptions.Require(OperationsPerImage >= 1, nameof(OperationsPerImage), OperationsPerImage, "1 or more");
        TrainingOptions.Require(Operations != 0 && (Operations & ~RandAugmentOperations.All) == 0, nameof(Operations), Operations, "one or more of the operations");
        TrainingOptions.Require(Probability is >= 0 and <= 1, nameof(Probability), Probability, "between 0 and 1");
        TrainingOptions.Require(MaximumMagnitude > 0 && double.IsFinite(MaximumMagnitude), nameof(MaximumMagnitude), MaximumMagnitude, "more than 0");
        TrainingOptions.Require(Magnitude >= 0 && Magnitude <= MaximumMagnitude, nameof(Magnitude), Magnitude, FormattableString.Invariant($"between 0 and MaximumMagnitude ({MaximumMagnitude})"));
        TrainingOptions.Require(MagnitudeDeviation >= 0, nameof(MagnitudeDeviation), MagnitudeDeviation, "0 or more");
    }
}
