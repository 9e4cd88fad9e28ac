using System.Collections.Immutable;
using System.Drawing;
using System.Runtime.InteropServices;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Scoring;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using SkiaSharp;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.RepVgg.Tests.Explanation;

/// <summary>Classifiers of images with given networks, and images for them.</summary>
internal static class ImageModels
{
    public static string[] Names(int count) => [.. Enumerable.Range(0, count).Select(i => $"class {i}")];

    public static RepVggTransformer Create(DeployNetwork network, ResizingKind kind = ResizingKind.IsoCrop, Anchor anchor = Anchor.Center, Color? background = null, bool isEncoded = true, double cropFraction = 1)
    {
        int classes = network.Classes;
        var names = new DataViewSchema.Annotations.Builder();
        names.Add("KeyValues", new VectorDataViewType(TextDataViewType.Instance, classes), (ref VBuffer<ReadOnlyMemory<char>> values) =>
            values = new VBuffer<ReadOnlyMemory<char>>(classes, [.. Names(classes).Select(name => name.AsMemory())]));
        var columns = new DataViewSchema.Builder();
        columns.AddColumn("Image", isEncoded ? new VectorDataViewType(NumberDataViewType.Byte) : new ImageDataViewType());
        columns.AddColumn("Label", new KeyDataViewType(typeof(uint), classes), names.ToAnnotations());
        var schema = columns.ToSchema();
        var settings = new ImageSettings("feature", "Image", network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth, kind, anchor) { BackgroundColor = background ?? Color.White, CropFraction = cropFraction };
        var input = FeatureInput.Create(schema, settings, network.ImageHeight, network.ImageWidth);
        return new RepVggTransformer(global::RepVgg.Networks.QuantizedNetwork.WithoutIntegers(network), input, "Score", "PredictedLabel", schema["Label"], new ScoringOptions(2, 0, false, null));
    }

    /// <summary>A network that gives the brightness of the picture: every kernel is a mean, class 0 has positive weights, class 1 negative ones.</summary>
    public static DeployNetwork Brightness(int height, int width, int stages)
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, [.. Enumerable.Repeat((8, 1, 2), stages)]);
        var network = RandomNetworks.Create(architecture, height, width, 2);
        return network with
        {
            Normalization = new([0, 0, 0], [1 / 255f, 1 / 255f, 1 / 255f]),
            Blocks = [.. network.Blocks.Select(block => block with { Kernel = Filled(block.Kernel.Length, 1f / (9 * block.Shape.InputChannels)), Bias = Filled(block.Bias.Length, 0) })],
            Classifier = network.Classifier with { Weight = [.. Filled(8, 1 / 8f), .. Filled(8, -1 / 8f)], Bias = [0.25f, -0.5f] },
        };

        static ImmutableArray<float> Filled(int count, float value) => [.. Enumerable.Repeat(value, count)];
    }

    /// <summary>An opaque image, from the colour of each pixel.</summary>
    public static MLImage Picture(int width, int height, Func<int, int, Color> colour)
    {
        var pixels = new byte[4 * width * height];
        for (int i = 0; i < width * height; i++)
        {
            var value = colour(i % width, i / width);
            (pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2], pixels[4 * i + 3]) = (value.R, value.G, value.B, 255);
        }
        return MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels);
    }

    public static MLImage Noise(int width, int height, int seed = 3)
    {
        var random = new Random(seed);
        return Picture(width, height, (_, _) => Color.FromArgb(random.Next(256), random.Next(256), random.Next(256)));
    }

    public static byte[] Png(MLImage image)
    {
        using var bitmap = new SKBitmap(new SKImageInfo(image.Width, image.Height, SKColorType.Rgba8888, SKAlphaType.Opaque));
        Marshal.Copy(image.Pixels.ToArray(), 0, bitmap.GetPixels(), bitmap.ByteCount);
        using var data = bitmap.Encode(SKEncodedImageFormat.Png, 100);
        return data.ToArray();
    }

    /// <summary>The pixels of an image of three channels as planes.</summary>
    public static float[] Planes(MLImage image) =>
        [.. Enumerable.Range(0, 3).SelectMany(channel => Enumerable.Range(0, image.Width * image.Height).Select(i => (channel, i))).Select(at => (float)image.Pixels[4 * at.i + at.channel])];
}
