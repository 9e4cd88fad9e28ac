using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Tool.Images;
using RepVgg.Training;
using SkiaSharp;

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
        using var resizer = new ImageResizer(height, width, options.Resizing, options.CropAnchor, ImageResizer.Background(options.BackgroundColor, channels));
        byte[] planes = new byte[channels * height * width];
        float[] augmented = new float[planes.Length];
        int drawn = Math.Min(count, files.Count);
        for (int i = 0; i < drawn; i++)
        {
            try
            {
                using var picture = ImageDecoder.Decode(files[(int)((long)i * files.Count / drawn)].Read(), decoding);
                resizer.Resize(picture, planes);
            }
            catch (Exception error) when (error is ImageException or IOException or UnauthorizedAccessException)
            {
                continue;
            }
            augmenter.Augment<byte>(planes, augmented, new RandomStream((ulong)i));
            yield return Encode(augmented, channels, height, width);
        }
    }

    private static byte[] Encode(float[] planes, int channels, int height, int width)
    {
        const int BytesPerPixel = 4, Quality = 100;
        int area = height * width;
        byte[] pixels = new byte[BytesPerPixel * area];
        for (int i = 0; i < area; i++)
        {
            for (int c = 0; c < 3; c++)
                pixels[BytesPerPixel * i + c] = (byte)Math.Clamp(MathF.Round(planes[(channels == 1 ? 0 : c) * area + i]), 0, 255);
            pixels[BytesPerPixel * i + 3] = byte.MaxValue;
        }
        using var picture = SKImage.FromPixelCopy(new SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Opaque), pixels);
        using var encoded = picture.Encode(SKEncodedImageFormat.Png, Quality);
        return encoded.ToArray();
    }
}
