namespace RepVgg.Training;

/// <summary>Random augmentation of the pictures and masks of a training set for segmentation, drawn independently for every picture in every epoch. The mask is transformed as its picture is.</summary>
/// <remarks>
/// The order is that of semseg, the code of PSPNet's authors: scaling, rotation, flip, crop. Pictures are interpolated bilinearly, masks take the nearest pixel. Where the crop is larger
/// than the scaled picture, the picture is centred, the border has the normalised value 0 (the mean), and its pixels are not labelled.
/// </remarks>
public sealed record SegmentationAugmentation
{
    /// <summary>Largest factor to or from the size of the picture.</summary>
    private const double LargestScale = 16;

    /// <summary>No augmentation but a random crop, if pictures are larger than the input of the network.</summary>
    public static SegmentationAugmentation None { get; } = new() { MinimumScale = 1, MaximumScale = 1, Rotation = 0, HorizontalFlip = false };

    /// <summary>Smallest factor of height and width, 1/16 to <see cref="MaximumScale"/>.</summary>
    public double MinimumScale { get; init; } = 0.5;

    /// <summary>Largest factor of height and width, <see cref="MinimumScale"/> to 16. The factor is uniform between both.</summary>
    public double MaximumScale { get; init; } = 2;

    /// <summary>Largest angle of the rotation, in degrees, 0 to 180; 0 for none. The angle is uniform from the negative to the positive value.</summary>
    public double Rotation { get; init; } = 10;

    /// <summary>Share of the pictures that are rotated, 0 to 1.</summary>
    public double RotationProbability { get; init; } = 0.5;

    /// <summary>Whether to mirror each picture left to right with probability 1/2.</summary>
    public bool HorizontalFlip { get; init; } = true;

    internal void Validate()
    {
        TrainingOptions.Require(MinimumScale >= 1 / LargestScale && MinimumScale <= MaximumScale, nameof(MinimumScale), MinimumScale, FormattableString.Invariant($"from {1 / LargestScale} to MaximumScale, {MaximumScale}"));
        TrainingOptions.Require(MaximumScale <= LargestScale, nameof(MaximumScale), MaximumScale, FormattableString.Invariant($"at most {LargestScale}"));
        TrainingOptions.Require(Rotation is >= 0 and <= 180, nameof(Rotation), Rotation, "between 0 and 180");
        TrainingOptions.Require(RotationProbability is >= 0 and <= 1, nameof(RotationProbability), RotationProbability, "between 0 and 1");
    }
}
