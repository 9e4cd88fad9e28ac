namespace RepVgg.Training;

/// <summary>Random augmentation of the training images, drawn independently for every image in every epoch.</summary>
public sealed record Augmentation
{
    /// <summary>No augmentation.</summary>
    public static Augmentation None { get; } = new();

    /// <summary>Whether to mirror each image left to right with probability 1/2.</summary>
    public bool HorizontalFlip { get; init; }

    /// <summary>Pads the image with zeros (black) by this number of pixels on every side and crops a random window of the original size; 0 for none.</summary>
    public int CropPadding { get; init; }

    /// <summary>Probability that a random rectangle is replaced by the normalised value 0 (the mean); 0 for never.</summary>
    /// <remarks>Area 2 % to 33 % of the image, aspect ratio 0.3 to 3.3. Source: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020.</remarks>
    public double ErasingProbability { get; init; }

    internal bool IsNone => !HorizontalFlip && CropPadding == 0 && ErasingProbability == 0;

    internal void Validate(int height, int width)
    {
        int limit = Math.Min(height, width);
        TrainingOptions.Require(CropPadding >= 0 && CropPadding < limit, nameof(CropPadding), CropPadding, $"0 or more and less than the image's shorter side ({limit})");
        TrainingOptions.Require(ErasingProbability is >= 0 and <= 1, nameof(ErasingProbability), ErasingProbability, "between 0 and 1");
    }
}
