namespace RepVgg.Training;

/// <summary>Random augmentation of the training images, drawn independently for every image in every epoch.</summary>
/// <remarks>
/// The order is that of timm: <see cref="RandomResizedCrop"/>, <see cref="ColorJitter"/>, <see cref="RandAugment"/>, <see cref="Rotation"/>, the crop of
/// <see cref="CropPadding"/>, flips, normalisation, erasing, and then <see cref="Mixing"/> of the images of a batch.
/// </remarks>
public sealed record Augmentation
{
    /// <summary>No augmentation.</summary>
    public static Augmentation None { get; } = new();

    /// <summary>Whether to mirror each image left to right with probability 1/2.</summary>
    public bool HorizontalFlip { get; init; }

    /// <summary>Whether to mirror each image top to bottom with probability 1/2.</summary>
    public bool VerticalFlip { get; init; }

    /// <summary>Pads the image with zeros (black) by this number of pixels on every side and crops a random window of the original size; 0 for none.</summary>
    public int CropPadding { get; init; }

    /// <summary>Largest angle of a random rotation, in degrees, 0 .. 180; 0 for none. The angle is uniform from the negative to the positive value.</summary>
    public double Rotation { get; init; }

    /// <summary>Probability that a random rectangle is replaced by the normalised value 0 (the mean); 0 for never.</summary>
    /// <remarks>Area 2 % to 33 % of the image, aspect ratio 0.3 to 3.3. Source: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020.</remarks>
    public double ErasingProbability { get; init; }

    /// <summary>Random rectangles of the images, resized to the network's size, as for ImageNet; null for the whole image.</summary>
    public RandomResizedCrop? RandomResizedCrop { get; init; }

    /// <summary>Random changes of brightness, contrast, saturation and hue; null for none.</summary>
    public ColorJitter? ColorJitter { get; init; }

    /// <summary>Random operations on the image; null for none.</summary>
    public RandAugment? RandAugment { get; init; }

    /// <summary>Mixup and CutMix of the images of a batch and of their labels; null for none.</summary>
    public Mixing? Mixing { get; init; }

    /// <summary>Whether an operation computes on bytes, so that the pixels must be whole numbers of 0 .. 255.</summary>
    internal bool NeedsBytes => RandomResizedCrop is not null || ColorJitter is not null || RandAugment is not null || Rotation > 0;

    internal void Validate(int height, int width)
    {
        int limit = Math.Min(height, width);
        TrainingOptions.Require(CropPadding >= 0 && CropPadding < limit, nameof(CropPadding), CropPadding, $"0 or more and less than the image's shorter side ({limit})");
        TrainingOptions.Require(Rotation is >= 0 and <= 180, nameof(Rotation), Rotation, "between 0 and 180");
        TrainingOptions.Require(ErasingProbability is >= 0 and <= 1, nameof(ErasingProbability), ErasingProbability, "between 0 and 1");
        RandomResizedCrop?.Validate();
        ColorJitter?.Validate();
        RandAugment?.Validate();
        Mixing?.Validate();
    }

    /// <summary>Checks that the changes of the colours have an effect on the images.</summary>
    /// <param name="channels">Channels of the images, 1 or 3.</param>
    /// <exception cref="ArgumentException">The images are grey, and an option changes nothing but the saturation or the hue.</exception>
    internal void CheckChannels(int channels)
    {
        if (channels == 3)
            return;
        if (RandAugment is { Operations: RandAugmentOperations.Color })
            throw new ArgumentException("RandAugment has no operation but Color, which does not change grey images. Add other operations, or leave RandAugment out.", nameof(RandAugment));
        if (ColorJitter is { Brightness: 0, Contrast: 0 } and ({ Saturation: > 0 } or { Hue: > 0 }))
            throw new ArgumentException("ColorJitter changes nothing but the saturation or the hue, which grey images do not have. Set Brightness or Contrast, or leave ColorJitter out.", nameof(ColorJitter));
    }
}

/// <summary>Options of random rectangles of the images: a share of the area and an aspect ratio are drawn, then the place; the rectangle is resized to the network's size.</summary>
/// <remarks>The distribution is that of torchvision's RandomResizedCrop. Source: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6.</remarks>
public sealed record RandomResizedCrop
{
    /// <summary>Smallest share of the image's area, more than 0 and at most 1.</summary>
    public double MinimumScale { get; init; } = 0.08;

    /// <summary>Largest share of the image's area, from <see cref="MinimumScale"/> to 1.</summary>
    public double MaximumScale { get; init; } = 1;

    /// <summary>Smallest ratio of width to height, more than 0. The logarithm of the ratio is uniform.</summary>
    public double MinimumRatio { get; init; } = 3.0 / 4;

    /// <summary>Largest ratio of width to height, at least <see cref="MinimumRatio"/>.</summary>
    public double MaximumRatio { get; init; } = 4.0 / 3;

    internal void Validate()
    {
        TrainingOptions.Require(MaximumScale is > 0 and <= 1, nameof(MaximumScale), MaximumScale, "more than 0 and at most 1");
        TrainingOptions.Require(MinimumScale > 0 && MinimumScale <= MaximumScale, nameof(MinimumScale), MinimumScale, FormattableString.Invariant($"more than 0 and at most MaximumScale ({MaximumScale})"));
        TrainingOptions.Require(MinimumRatio > 0 && MinimumRatio <= MaximumRatio, nameof(MinimumRatio), MinimumRatio, FormattableString.Invariant($"more than 0 and at most MaximumRatio ({MaximumRatio})"));
        TrainingOptions.Require(double.IsFinite(MaximumRatio), nameof(MaximumRatio), MaximumRatio, "a finite number");
    }
}

/// <summary>
/// Options of random changes of the colours of some or all images, in random order. For brightness, contrast and saturation, a factor of 1 changes nothing; with the option x, it is drawn uniformly from
/// max(0, 1 - x) to 1 + x.
/// </summary>
/// <remarks>The operations are those of Pillow's ImageEnhance, and the hue of torchvision's adjust_hue, as in torchvision's ColorJitter, and the probability of its RandomApply.</remarks>
public sealed record ColorJitter
{
    /// <summary>Probability that the colours of an image are changed, 0 .. 1. With less than 1, the network also sees images with their own colours.</summary>
    public double Probability { get; init; } = 1;

    /// <summary>Largest change of the brightness, 0 or more.</summary>
    public double Brightness { get; init; }

    /// <summary>Largest change of the contrast, 0 or more.</summary>
    public double Contrast { get; init; }

    /// <summary>Largest change of the saturation, 0 or more. It has no effect on grey images.</summary>
    public double Saturation { get; init; }

    /// <summary>Largest shift of the hue, 0 .. 0.5, in both directions; with 0.5 every hue is equally probable. It has no effect on grey images.</summary>
    public double Hue { get; init; }

    internal void Validate()
    {
        TrainingOptions.Require(Probability is >= 0 and <= 1, nameof(Probability), Probability, "between 0 and 1");
        TrainingOptions.Require(Brightness >= 0 && double.IsFinite(Brightness), nameof(Brightness), Brightness, "0 or more");
        TrainingOptions.Require(Contrast >= 0 && double.IsFinite(Contrast), nameof(Contrast), Contrast, "0 or more");
        TrainingOptions.Require(Saturation >= 0 && double.IsFinite(Saturation), nameof(Saturation), Saturation, "0 or more");
        TrainingOptions.Require(Hue is >= 0 and <= 0.5, nameof(Hue), Hue, "between 0 and 0.5");
    }
}

/// <summary>Options of mixing the images of a batch: mixup adds two images with weights, CutMix replaces a rectangle by that of another image. The targets are mixed in the same proportion.</summary>
/// <remarks>
/// One proportion is drawn for a batch from the beta distribution, and image i of n is mixed with image n - 1 - i, as in timm. The accuracy in training
/// counts the label with the larger share. Sources: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; Yun et al., "CutMix", ICCV 2019.
/// </remarks>
public sealed record Mixing
{
    /// <summary>Both parameters of mixup's beta distribution, such as 0.2; 0 for no mixup.</summary>
    public double MixupAlpha { get; init; }

    /// <summary>Both parameters of CutMix's beta distribution, such as 1; 0 for no CutMix. If both are given, each batch has one of them with probability 1/2.</summary>
    public double CutMixAlpha { get; init; }

    /// <summary>Probability that a batch is mixed, 0 .. 1.</summary>
    public double Probability { get; init; } = 1;

    /// <summary>Number of epochs at the end of the run whose batches are not mixed, 0 or more.</summary>
    public int UnmixedEpochs { get; init; }

    internal void Validate()
    {
        TrainingOptions.Require(MixupAlpha >= 0 && double.IsFinite(MixupAlpha), nameof(MixupAlpha), MixupAlpha, "0 or more");
        TrainingOptions.Require(CutMixAlpha >= 0 && double.IsFinite(CutMixAlpha), nameof(CutMixAlpha), CutMixAlpha, "0 or more");
        TrainingOptions.Require(MixupAlpha > 0 || CutMixAlpha > 0, nameof(MixupAlpha), MixupAlpha, "more than 0 if CutMixAlpha is 0; leave Mixing out to mix nothing");
        TrainingOptions.Require(Probability is >= 0 and <= 1, nameof(Probability), Probability, "between 0 and 1");
        TrainingOptions.Require(UnmixedEpochs >= 0, nameof(UnmixedEpochs), UnmixedEpochs, "0 or more");
    }
}
