using System.Drawing;
using System.Runtime.InteropServices;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.Transforms.Image;
using SkiaSharp;
using Xunit;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.RepVgg.Tests.Images;

/// <summary>The planes are those of ML.NET's own transformers, put on the background.</summary>
public sealed class ImageResizerTests
{
    private static readonly Color _background = Color.FromArgb(250, 130, 7);

    /// <summary>Width and height of an image, and of the network's input.</summary>
    private static readonly (int Width, int Height, int ToWidth, int ToHeight)[] _sizes =
    [
        (20, 20, 20, 20), (31, 17, 31, 17), (40, 30, 20, 15), (40, 30, 13, 13), (30, 40, 13, 13), (13, 9, 32, 32), (9, 13, 32, 24),
        (1, 1, 7, 5), (1, 60, 16, 16), (60, 1, 16, 16), (50, 37, 1, 1), (97, 89, 32, 32), (33, 64, 64, 33), (200, 3, 12, 40), (321, 243, 56, 56),
        (33, 32, 32, 32), (49, 49, 16, 16), (7, 300, 30, 20),
    ];

    private readonly MLContext _context = new(seed: 1);

    private sealed class Row
    {
        [ImageType(20, 20)]
        public MLImage? Image { get; set; }
    }

    public enum Transparency
    {
        Opaque,
        Premultiplied,
        AnyBytes,
        UnusedAlpha,
    }

    public static TheoryData<ResizingKind, Anchor, MLPixelFormat, Transparency, int> Cases
    {
        get
        {
            var cases = new TheoryData<ResizingKind, Anchor, MLPixelFormat, Transparency, int>();
            foreach (var format in new[] { MLPixelFormat.Rgba32, MLPixelFormat.Bgra32 })
            {
                foreach (var transparency in Enum.GetValues<Transparency>())
                {
                    foreach (int channels in new[] { 1, 3 })
                    {
                        foreach (var kind in Enum.GetValues<ResizingKind>())
                        {
                            foreach (var anchor in kind == ResizingKind.IsoCrop ? Enum.GetValues<Anchor>() : [Anchor.Top, Anchor.Right])
                                cases.Add(kind, anchor, format, transparency, channels);
                        }
                    }
                }
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Images_of_all_sizes_are_resized_as_MLNet_resizes_them(ResizingKind kind, Anchor anchor, MLPixelFormat format, Transparency transparency, int channels)
    {
        var random = new Random(7);
        foreach (var (width, height, toWidth, toHeight) in _sizes)
        {
            byte[] pixels = Pixels(width, height, transparency, random);
            using var image = MLImage.CreateFromPixels(width, height, format, pixels);
            byte[] expected = Compose(Stock(pixels, width, height, format, toWidth, toHeight, kind, anchor, channels), toWidth * toHeight, channels);

            using var resizer = new ImageResizer(toHeight, toWidth, kind, anchor, ImageResizer.Background(_background, channels));
            byte[] planes = new byte[channels * toHeight * toWidth];
            for (int i = 0; i < 2; i++)
            {
                // The second image must not show anything of the one before it.
                using var other = MLImage.CreateFromPixels(3, 2, MLPixelFormat.Rgba32, [.. Enumerable.Repeat((byte)200, 24)]);
                resizer.Resize(other, planes);
                resizer.Resize(image, planes);
                Assert.True(expected.AsSpan().SequenceEqual(planes), $"{width} x {height} to {toWidth} x {toHeight}");
            }
            Assert.Equal(pixels, image.Pixels);

            using var bitmap = new SKBitmap(new SKImageInfo(width, height, format == MLPixelFormat.Rgba32 ? SKColorType.Rgba8888 : SKColorType.Bgra8888));
            Marshal.Copy(pixels, 0, bitmap.GetPixels(), pixels.Length);
            planes.AsSpan().Clear();
            resizer.Resize(bitmap, planes);
            Assert.True(expected.AsSpan().SequenceEqual(planes), $"bitmap of {width} x {height} to {toWidth} x {toHeight}");
        }
    }

    public static TheoryData<string> Files => [.. ImageFiles.Names];

    // ML.NET's image of a JPEG file is of another alpha type than those that are made from pixels.
    [Theory]
    [MemberData(nameof(Files))]
    public void Image_files_are_resized_as_MLNet_resizes_them(string name)
    {
        byte[] bytes = ImageFiles.Bytes(name);
        foreach (var kind in Enum.GetValues<ResizingKind>())
        {
            foreach (int channels in new[] { 1, 3 })
            {
                foreach (var (toWidth, toHeight) in new[] { (20, 20), (64, 50), (45, 37) })
                {
                    byte[] expected = Compose(Stock(MLImage.CreateFromStream(new MemoryStream(bytes)), toWidth, toHeight, kind, Anchor.Center, channels), toWidth * toHeight, channels);
                    using var resizer = new ImageResizer(toHeight, toWidth, kind, Anchor.Center, ImageResizer.Background(_background, channels));
                    byte[] planes = new byte[channels * toHeight * toWidth];
                    using (var decoded = ImageDecoder.Decode(bytes, new ImageDecoding()))
                        resizer.Resize(decoded, planes);
                    Assert.Equal(expected, planes);
                    planes.AsSpan().Clear();
                    using (var image = MLImage.CreateFromStream(new MemoryStream(bytes)))
                        resizer.Resize(image, planes);
                    Assert.Equal(expected, planes);
                }
            }
        }
    }

    [Fact]
    public void A_black_square_on_a_transparent_ground_is_seen_on_white()
    {
        using var decoded = ImageDecoder.Decode(ImageFiles.Bytes("i-black-on-transparent.png"), new ImageDecoding());
        using var resizer = new ImageResizer(decoded.Height, decoded.Width, ResizingKind.IsoCrop, Anchor.Center, ImageResizer.Background(Color.White, 3));
        byte[] planes = new byte[3 * decoded.Height * decoded.Width];
        resizer.Resize(decoded, planes);
        Assert.Equal(new byte[] { 0, 255 }, planes.Distinct().Order());
        Assert.Equal(decoded.Pixels.Select(pixel => (byte)(255 - pixel.Alpha)), planes[..(decoded.Height * decoded.Width)]);
    }

    [Fact]
    public void Every_colour_and_alpha_on_every_background_is_rounded_to_the_nearest_byte()
    {
        byte[] alpha = [.. Enumerable.Range(0, 256 * 3 + 5).Select(i => (byte)i)];
        for (int background = 0; background < 256; background++)
        {
            byte[] plane = [.. alpha.Select(a => (byte)(a / 3))];
            PixelPlanes.Compose(plane, alpha, (byte)background);
            Assert.Equal(alpha.Select(a => (byte)Math.Min(255, a / 3 + Math.Round(background * (255 - a) / 255.0))), plane);
        }
    }

    [Fact]
    public void Opacity_is_found_at_every_position()
    {
        for (int count = 1; count < 40; count++)
        {
            byte[] pixels = [.. Enumerable.Repeat((byte)255, 4 * count)];
            Assert.True(PixelPlanes.IsOpaque(pixels));
            for (int i = 0; i < count; i++)
            {
                pixels[4 * i + 3] = 254;
                Assert.False(PixelPlanes.IsOpaque(pixels));
                pixels[4 * i + 3] = 255;
            }
            for (int i = 3; i < pixels.Length; i += 4)
                pixels[i] = 0;
            Assert.True(PixelPlanes.IsOpaque(pixels));
            pixels[^1] = 1;
            Assert.False(PixelPlanes.IsOpaque(pixels));
        }
    }

    private static byte[] Pixels(int width, int height, Transparency transparency, Random random)
    {
        byte[] pixels = new byte[4 * width * height];
        random.NextBytes(pixels);
        for (int i = 0; i < pixels.Length; i += 4)
        {
            byte alpha = transparency switch
            {
                Transparency.Opaque => 255,
                Transparency.UnusedAlpha => 0,
                _ => (byte)(random.Next(3) switch { 0 => 0, 1 => 255, _ => random.Next(256) }),
            };
            pixels[i + 3] = alpha;
            for (int c = 0; c < 3 && transparency == Transparency.Premultiplied; c++)
                pixels[i + c] = (byte)(pixels[i + c] * alpha / 255);
        }
        return pixels;
    }

    private float[] Stock(byte[] pixels, int width, int height, MLPixelFormat format, int toWidth, int toHeight, ResizingKind kind, Anchor anchor, int channels) =>
        Stock(MLImage.CreateFromPixels(width, height, format, pixels), toWidth, toHeight, kind, anchor, channels);

    /// <summary>The planes alpha, red, green and blue. The transformers dispose the image.</summary>
    private float[] Stock(MLImage image, int toWidth, int toHeight, ResizingKind kind, Anchor anchor, int channels)
    {
        var view = _context.Data.LoadFromEnumerable([new Row { Image = image }]);
        IEstimator<ITransformer> chain = _context.Transforms.ResizeImages("Resized", toWidth, toHeight, "Image", kind, anchor);
        if (channels == 1)
            chain = chain.Append(_context.Transforms.ConvertToGrayscale("Resized"));
        return chain
            .Append(_context.Transforms.ExtractPixels("Pixels", "Resized", ImagePixelExtractingEstimator.ColorBits.All, ImagePixelExtractingEstimator.ColorsOrder.ARGB))
            .Fit(view).Transform(view).GetColumn<float[]>("Pixels").Single();
    }

    private static byte[] Compose(float[] stock, int length, int channels)
    {
        float[] alpha = stock[..length];
        if (alpha.All(value => value == 0))
            Array.Fill(alpha, 255);
        double[] background = channels == 3 ? [_background.R, _background.G, _background.B] : [Math.Round(0.3 * _background.R + 0.59 * _background.G + 0.11 * _background.B)];
        return [.. Enumerable.Range(0, channels * length).Select(i => (byte)Math.Min(255, stock[length + i] + Math.Round(background[i / length] * (255 - alpha[i % length]) / 255)))];
    }
}
