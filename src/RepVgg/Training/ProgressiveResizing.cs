namespace RepVgg.Training;

/// <summary>Options of progressive resizing: the first epochs train on smaller images, which grow to the size of the network's input. Early epochs are faster, by about the share of the pixels.</summary>
/// <remarks>
/// The scale of the sides grows linearly from epoch to epoch; each side is rounded to a multiple of the product of the network's strides. The last epoch always has the full size, and so have
/// validation and scoring. Images are reduced by the antialiasing bilinear filter that <see cref="RandomResizedCrop"/> uses, so that pixels must be whole numbers of 0 .. 255; random rectangles
/// are resized directly to the size of the epoch. <see cref="Augmentation.CropPadding"/> is reduced in proportion; the other operations are relative to the size of the image. The strength of
/// the augmentation does not grow with the images.
/// Source: Tan and Le, "EfficientNetV2: Smaller Models and Faster Training", ICML 2021, section 4; before that, the fast.ai entry to DAWNBench, 2018.
/// </remarks>
public sealed record ProgressiveResizing
{
    /// <summary>Scale of the height and the width in the first epoch, more than 0 and less than 1.</summary>
    public double InitialScale { get; init; } = 0.5;

    /// <summary>Share of the epochs in which the images grow, more than 0 and at most 1; the other epochs have the full size. With 0.75, the last quarter, as with the four stages of EfficientNetV2.</summary>
    public double GrowthFraction { get; init; } = 0.75;

    internal void Validate()
    {
        TrainingOptions.Require(InitialScale is > 0 and < 1, nameof(InitialScale), InitialScale, "more than 0 and less than 1; leave ProgressiveResizing out to train at the full size");
        TrainingOptions.Require(GrowthFraction is > 0 and <= 1, nameof(GrowthFraction), GrowthFraction, "more than 0 and at most 1");
    }

    /// <summary>Checks that the first epochs have smaller images.</summary>
    /// <param name="height">Height of the network's input in pixels.</param>
    /// <param name="width">Width of the network's input in pixels.</param>
    /// <param name="stride">Product of the network's strides.</param>
    /// <exception cref="ArgumentException">The smallest multiples of the strides are those of the full size.</exception>
    internal void CheckSize(int height, int width, int stride)
    {
        if (Scaled(InitialScale, height, width, stride) == (height, width))
            throw new ArgumentException(FormattableString.Invariant($"ProgressiveResizing has no effect: {InitialScale} times {width}x{height} pixels, rounded to multiples of {stride}, the product of the network's strides, are {width}x{height} pixels. Leave it out, make InitialScale smaller, or use larger images or a network with smaller strides."), nameof(ProgressiveResizing));
    }

    /// <summary>Gets the size of the training images of an epoch.</summary>
    /// <param name="epoch">The epoch, from 1.</param>
    /// <param name="epochs">Number of epochs of the run.</param>
    /// <param name="height">Height of the network's input in pixels, at least the stride.</param>
    /// <param name="width">Width of the network's input in pixels, at least the stride.</param>
    /// <param name="stride">Product of the network's strides.</param>
    /// <returns>Height and width in pixels: multiples of the stride, or the full sides.</returns>
    internal (int Height, int Width) SizeOf(int epoch, int epochs, int height, int width, int stride)
    {
        int growing = Math.Min((int)Math.Round(GrowthFraction * epochs, MidpointRounding.AwayFromZero), epochs - 1);
        return epoch > growing ? (height, width) : Scaled(InitialScale + (1 - InitialScale) * (epoch - 1) / growing, height, width, stride);
    }

    private static (int Height, int Width) Scaled(double scale, int height, int width, int stride)
    {
        return (Side(height), Side(width));

        int Side(int full) => Math.Min(full, Math.Max(1, (int)Math.Round(scale * full / stride, MidpointRounding.AwayFromZero)) * stride);
    }
}
