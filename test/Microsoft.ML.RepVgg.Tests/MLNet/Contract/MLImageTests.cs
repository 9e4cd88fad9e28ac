using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.Support;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>MLImage: decoding, pixels, errors.</summary>
public sealed class MLImageTests
{
    // Not every build of the library that ML.NET decodes with reads 16-bit samples, inks and rare subsamplings alike; the
    // stand-in's own tests have those too.
    public static TheoryData<string> Samples() => new(
        SampleImages.Names("jpeg").Concat(SampleImages.Names("png"))
            .Where(name => !name.Contains("16") && !name.Contains("cmyk") && !name.Contains("ycck") && !name.Contains("410")));

    [Theory]
    [MemberData(nameof(Samples))]
    public void DecodesAsOtherProgramsDo(string name)
    {
        using MLImage image = MLImage.CreateFromFile(SampleImages.PathOf(name));

        Assert.Equal(SampleImages.Size(name), (image.Width, image.Height));
        Assert.Equal(32, image.BitsPerPixel);
        Assert.Equal(MLPixelFormat.Bgra32, image.PixelFormat);
        (int largest, double mean) = SampleImages.Difference(image.Pixels, SampleImages.ExpectedBgra(name));
        if (name.StartsWith("jpeg"))
        {
            Assert.InRange(largest, 0, 3);
            Assert.InRange(mean, 0, 0.5);
        }
        else
        {
            // Products with alpha may be rounded either way.
            Assert.InRange(largest, 0, name.Contains("alpha") || name.Contains("rgba") || name.Contains("transparent") ? 1 : 0);
        }
    }

    [Fact]
    public void ReadsAStreamFromItsPositionOn()
    {
        byte[] file = SampleImages.Read("png-rgb.png");
        using var stream = new MemoryStream([1, 2, 3, .. file]);
        stream.Position = 3;

        using MLImage image = MLImage.CreateFromStream(stream);

        Assert.Equal(SampleImages.ExpectedBgra("png-rgb.png"), image.Pixels.ToArray());
    }

    [Fact]
    public void GetBGRPixelsLeavesAlphaOut()
    {
        using MLImage image = MLImage.CreateFromFile(SampleImages.PathOf("png-rgb.png"));
        byte[] expected = SampleImages.Expected("png-rgb.png");

        byte[] pixels = image.GetBGRPixels;

        Assert.Equal(3 * image.Width * image.Height, pixels.Length);
        for (int i = 0; i < expected.Length / 4; i++)
            Assert.Equal([expected[4 * i + 2], expected[4 * i + 1], expected[4 * i]], pixels[(3 * i)..(3 * i + 3)]);
    }

    [Theory]
    [InlineData(MLPixelFormat.Bgra32)]
    [InlineData(MLPixelFormat.Rgba32)]
    public void CopiesPixels(MLPixelFormat format)
    {
        byte[] pixels = [10, 20, 30, 255, 40, 50, 60, 255];
        using MLImage image = MLImage.CreateFromPixels(2, 1, format, pixels);
        pixels[0] = 99;

        Assert.Equal((2, 1, format), (image.Width, image.Height, image.PixelFormat));
        Assert.Equal([10, 20, 30, 255, 40, 50, 60, 255], image.Pixels.ToArray());
        byte[] expected = format == MLPixelFormat.Bgra32 ? [10, 20, 30, 40, 50, 60] : [30, 20, 10, 60, 50, 40];
        Assert.Equal(expected, image.GetBGRPixels);
    }

    [Fact]
    public void RefusesWrongPixels()
    {
        Assert.Throws<ArgumentException>("width", () => MLImage.CreateFromPixels(0, 1, MLPixelFormat.Bgra32, new byte[4]));
        Assert.Throws<ArgumentException>("height", () => MLImage.CreateFromPixels(1, -1, MLPixelFormat.Bgra32, new byte[4]));
        Assert.Throws<ArgumentException>("pixelFormat", () => MLImage.CreateFromPixels(1, 1, MLPixelFormat.Unknown, new byte[4]));
        Assert.Throws<ArgumentException>(() => MLImage.CreateFromPixels(1, 1, MLPixelFormat.Bgra32, new byte[3]));
    }

    [Fact]
    public void RefusesWhatIsNoImage()
    {
        Assert.Throws<ArgumentNullException>("imageStream", () => MLImage.CreateFromStream(null!));
        Assert.Throws<ArgumentNullException>("imagePath", () => MLImage.CreateFromFile(null!));
        Assert.Throws<ArgumentException>("imageStream", () => MLImage.CreateFromStream(new MemoryStream()));
        Assert.Throws<ArgumentException>("imageStream", () => MLImage.CreateFromStream(new MemoryStream(new byte[5000])));
        Assert.Throws<ArgumentException>("imageStream", () => MLImage.CreateFromStream(new MemoryStream("This is no image at all."u8.ToArray())));
        Assert.Throws<ArgumentException>("imagePath", () => MLImage.CreateFromFile(Path.Combine(SampleImages.Folder, "missing.png")));
    }

    [Fact]
    public void RefusesFilesThatEndInTheirHeader()
    {
        foreach (string name in (string[])["jpeg-420.jpg", "jpeg-progressive.jpg", "png-rgb.png"])
        {
            byte[] start = SampleImages.Read(name)[..20];
            Assert.Throws<ArgumentException>("imageStream", () => MLImage.CreateFromStream(new MemoryStream(start)));
        }
    }

    [Fact]
    public void SavesPng()
    {
        using var folder = new TemporaryFolder();
        foreach (string name in (string[])["jpeg-420.jpg", "png-rgba.png", "png-palette-transparent.png"])
        {
            using MLImage image = MLImage.CreateFromFile(SampleImages.PathOf(name));
            string path = folder.File(name + ".copy.PNG");
            image.Save(path);

            using MLImage again = MLImage.CreateFromFile(path);
            Assert.Equal(image.Width, again.Width);
            // Colours are divided by alpha on the way out and multiplied on the way in.
            Assert.InRange(SampleImages.Difference(again.Pixels, image.Pixels).Largest, 0, 1);
        }
        Assert.Equal(3, Directory.GetFiles(folder.Path).Length);
    }

    [Fact]
    public void RefusesToSaveUnderAnUnknownExtension()
    {
        using var folder = new TemporaryFolder();
        using MLImage image = MLImage.CreateFromFile(SampleImages.PathOf("png-rgb.png"));

        Assert.Throws<ArgumentException>("imagePath", () => image.Save(folder.File("image.txt")));
        Assert.Throws<ArgumentException>("imagePath", () => image.Save(folder.File("image.bmp")));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void CannotBeUsedAfterDispose()
    {
        MLImage image = MLImage.CreateFromPixels(1, 1, MLPixelFormat.Bgra32, new byte[4]);
        image.Tag = "a tag";
        Assert.Equal("a tag", image.Tag);
        image.Dispose();
        image.Dispose();

        Assert.Throws<InvalidOperationException>(() => image.Width);
        Assert.Throws<InvalidOperationException>(() => image.Height);
        Assert.Throws<InvalidOperationException>(() => image.Tag);
        Assert.Throws<InvalidOperationException>(() => image.Pixels.Length);
        Assert.Throws<InvalidOperationException>(() => image.GetBGRPixels);
    }
}
