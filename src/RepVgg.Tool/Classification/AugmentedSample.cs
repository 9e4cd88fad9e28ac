using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Tool.Images;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace RepVgg.Tool.Classification;

/// <summary>Augments image files as training does, and converts the network's input back to pixels.</summary>
internal sealed class AugmentedSample : IDisposable
{
    private readonly ImageDecoding _decoding;
    private readonly ImageResizer _resizer;
    private readonly WorkingImages _working;
    private readonly Normalization _normalization;
    private readonly int _channels;

    /// <param name="options">The options of the training.</param>
    /// <param name="normalization">The normalization of the network, whose mean is the colour of erased pixels and of those from outside an image.</param>
    /// <param name="height">Height of the network's input in pixels.</param>
    /// <param name="width">Width of the network's input in pixels.</param>
    public AugmentedSample(RepVggTrainer.Options options, Normalization normalization, int height, int width)
    {
        (_normalization, _channels, Height, Width) = (normalization, normalization.Mean.Length, height, width);
        _decoding = new ImageDecoding(options.ApplyExifOrientation);
        var background = ImageResizer.Background(options.BackgroundColor, _channels);
        _resizer = new ImageResizer(height, width, options.Resizing, options.CropAnchor, background, options.CropFraction);
        _working = new WorkingImages(options.WorkingSizeFor(height, width), background, _decoding);
    }

    /// <summary>Height of the network's input in pixels.</summary>
    public int Height { get; }

    /// <summary>Width of the network's input in pixels.</summary>
    public int Width { get; }

    /// <summary>Number of values of an image: channels * height * width.</summary>
    public int Length => _channels * Height * Width;

    /// <summary>Draws images for the report of a training.</summary>
    /// <param name="options">The options of the training.</param>
    /// <param name="network">The trained network.</param>
    /// <param name="files">The training images, of which some at equal distances are drawn.</param>
    /// <param name="count">Maximum number of images.</param>
    /// <returns>PNG files. Images that cannot be read are left out.</returns>
    public static IEnumerable<byte[]> Draw(RepVggTrainer.Options options, Networks.DeployNetwork network, IReadOnlyList<ImageFileRow> files, int count)
    {
        var (height, width) = (network.ImageHeight, network.ImageWidth);
        var augmentation = options.ToTrainingOptions(0, height, width).Augmentation;
        using var sample = new AugmentedSample(options, network.Normalization, height, width);
        float[] augmented = new float[sample.Length];
        int drawn = Math.Min(count, files.Count);
        for (int i = 0; i < drawn; i++)
        {
            try
            {
                sample.Augment(sample.Read(files[(int)((long)i * files.Count / drawn)], augmentation), augmentation, new RandomStream((ulong)i), augmented);
            }
            catch (Exception error) when (error is ImageException or IOException or UnauthorizedAccessException)
            {
                continue;
            }
            yield return PngImage.Encode(sample.ToPixels(augmented), width, height);
        }
    }

    /// <summary>Reads an image as training keeps it: whole if parts are cut out of it, and otherwise in the network's size.</summary>
    /// <exception cref="ImageException">The image cannot be decoded.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public WholeImage Read(ImageFileRow file, Augmentation augmentation)
    {
        using var picture = ImageDecoder.Decode(file.Read(), _decoding);
        if (augmentation.RandomResizedCrop is not null)
            return _working.Convert(picture);
        byte[] pixels = new byte[Length];
        _resizer.Resize(picture, pixels);
        return new WholeImage(pixels, Height, Width);
    }

    /// <summary>Augments an image, except for mixing.</summary>
    /// <param name="image">The image.</param>
    /// <param name="augmentation">The augmentation for which it was read.</param>
    /// <param name="random">Random generator of this image and epoch.</param>
    /// <param name="destination">Receives the normalised values, CHW.</param>
    public void Augment(WholeImage image, Augmentation augmentation, RandomStream random, Span<float> destination) =>
        new ImageAugmenter(augmentation, _normalization, _channels, Height, Width).Augment(image.Pixels, image.Height, image.Width, destination, random);

    /// <summary>Computes the pixels of a normalised image, CHW.</summary>
    public byte[] ToPixels(ReadOnlySpan<float> normalised)
    {
        byte[] pixels = new byte[Length];
        for (int i = 0; i < pixels.Length; i++)
        {
            int channel = i / (Height * Width);
            pixels[i] = (byte)Math.Clamp(MathF.Round(normalised[i] / _normalization.Scale[channel] + _normalization.Mean[channel]), 0, byte.MaxValue);
        }
        return pixels;
    }

    public void Dispose() => _resizer.Dispose();
}
