using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Tool.Images;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace RepVgg.Tool.Classification;

/// <summary>Draws training images as the network saw them: at its size, cropped, flipped and erased at random.</summary>
internal static class AugmentedSample
{
    /// <summary>Draws images.</summary>
    /// <param name="options">The options of the training.</param>
    /// <param name="network">The trained network, for its size and channels.</param>
    /// <param name="files">The training images, of which some at equal distances are drawn.</param>
    /// <param name="count">Maximum number of images.</param>
    /// <returns>PNG files. Images that cannot be read are left out.</returns>
    public static IEnumerable<byte[]> Draw(RepVggTrainer.Options options, Networks.DeployNetwork network, IReadOnlyList<ImageFileRow> files, int count)
    {
        int channels = network.Architecture.InputChannels, height = network.ImageHeight, width = network.ImageWidth;
        var augmentation = options.ToTrainingOptions(0, height, width).Augmentation;
        var augmenter = new ImageAugmenter(augmentation, Normalization.Identity(channels), channels, height, width);
        var decoding = new ImageDecoding(options.ApplyExifOrientation);
        var background = ImageResizer.Background(options.BackgroundColor, channels);
        using var resizer = new ImageResizer(height, width, options.Resizing, options.CropAnchor, background, options.CropFraction);
        var working = augmentation.RandomResizedCrop is null ? null : new WorkingImages(options.WorkingSizeFor(height, width), background, decoding);
        float[] augmented = new float[channels * height * width];
        int drawn = Math.Min(count, files.Count);
        for (int i = 0; i < drawn; i++)
        {
            var image = new WholeImage(new byte[augmented.Length], height, width);
            try
            {
                using var picture = ImageDecoder.Decode(files[(int)((long)i * files.Count / drawn)].Read(), decoding);
                if (working is null)
                    resizer.Resize(picture, image.Pixels);
                else
                    image = working.Convert(picture);
            }
            catch (Exception error) when (error is ImageException or IOException or UnauthorizedAccessException)
            {
                continue;
            }
            augmenter.Augment(image.Pixels, image.Height, image.Width, augmented, new RandomStream((ulong)i));
            yield return PngImage.Encode(Array.ConvertAll(augmented, value => (byte)Math.Clamp(MathF.Round(value), 0, 255)), width, height);
        }
    }
}
