using System.Text;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Testing;
using SkiaSharp;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Images;

/// <summary>Decoding gives the pixels of MLImage, upright, or says what is wrong.</summary>
public sealed class ImageDecoderTests : IDisposable
{
    private static readonly ImageDecoding _default = new();

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Files => [.. ImageFiles.Names];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Files))]
    public void The_pixels_are_those_of_MLImage(string name)
    {
        byte[] bytes = ImageFiles.Bytes(name);
        using var expected = MLImage.CreateFromStream(new MemoryStream(bytes));
        using var actual = ImageDecoder.Decode(bytes, _default);
        Assert.Equal((expected.Width, expected.Height), (actual.Width, actual.Height));
        Assert.Equal(expected.PixelFormat == MLPixelFormat.Bgra32 ? SKColorType.Bgra8888 : SKColorType.Rgba8888, actual.ColorType);
        Assert.NotEqual(SKAlphaType.Unpremul, actual.AlphaType);
        Assert.Equal(expected.Pixels, actual.GetPixelSpan());
        Assert.Null(EncodedImageCheck.FindDefect(ImageFiles.Path(name), _default));
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void A_cut_at_any_length_is_an_error_or_loses_no_pixel(string name)
    {
        byte[] bytes = ImageFiles.Bytes(name);
        // Every length near both ends, where headers and end markers are, and about 100 between them.
        int step = Math.Max(1, bytes.Length / 100);
        var lengths = Enumerable.Range(2, bytes.Length - 2).Where(length => length < 100 || length >= bytes.Length - 40 || length % step == 0);
        int harmless = CountHarmlessCuts(bytes, lengths);
        if (name.EndsWith(".jpg") || name.EndsWith(".png"))
            Assert.Equal(0, harmless);
    }

    [Theory]
    [InlineData(".jpg")]
    [InlineData(".png")]
    [InlineData(".webp")]
    public void A_cut_of_a_random_image_is_an_error_or_loses_no_pixel(string extension)
    {
        var random = new Random(8);
        for (int i = 0; i < 4; i++)
        {
            int width = 1 + random.Next(90), height = 1 + random.Next(90);
            byte[] pixels = new byte[4 * width * height];
            random.NextBytes(pixels);
            for (int k = 3; k < pixels.Length; k += 4)
                pixels[k] = 255;
            string path = _folder.File($"{i}{extension}");
            using (var image = MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels))
                image.Save(path);
            byte[] bytes = File.ReadAllBytes(path);
            CountHarmlessCuts(bytes, Enumerable.Range(0, 30).Select(_ => 2 + random.Next(bytes.Length - 2)));
        }
    }

    /// <summary>Checks that every cut is said to be one, or that the pixels are the same.</summary>
    /// <returns>The number of cuts with the same pixels.</returns>
    private int CountHarmlessCuts(byte[] bytes, IEnumerable<int> lengths)
    {
        using var whole = ImageDecoder.Decode(bytes, _default);
        int harmless = 0;
        foreach (int length in lengths)
        {
            string? reason = null;
            try
            {
                using var cut = ImageDecoder.Decode(bytes.AsSpan(0, length), _default);
                Assert.True(whole.GetPixelSpan().SequenceEqual(cut.GetPixelSpan()), $"cut to {length} of {bytes.Length} bytes, other pixels");
                harmless++;
            }
            catch (ImageException error)
            {
                reason = error.Message;
                Assert.Equal("it is cut off: the end of the file is missing", reason);
            }
            // A file that is too short to have a format is not taken for an image; no decoder opens it.
            string? defect = ImageSignature.IsReadable(bytes.AsSpan(0, length)) ? reason : null;
            Assert.Equal(defect, EncodedImageCheck.FindDefect(_folder.Write("cut", bytes[..length]), _default));
            Assert.Equal(reason, EncodedImageCheck.Explain(_folder.File("cut"), _default));
        }
        return harmless;
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void Bytes_after_the_end_are_ignored(string name)
    {
        byte[] bytes = ImageFiles.Bytes(name);
        using var whole = ImageDecoder.Decode(bytes, _default);
        byte[] longer = [.. bytes, .. Enumerable.Range(0, 1000).Select(i => (byte)(7 * i))];
        using var decoded = ImageDecoder.Decode(longer, _default);
        Assert.Equal(whole.GetPixelSpan(), decoded.GetPixelSpan());
        Assert.Null(EncodedImageCheck.FindDefect(_folder.Write("longer", longer), _default));
    }

    [Theory]
    [InlineData("baseline.jpg")]
    [InlineData("progressive.jpg")]
    [InlineData("grey.jpg")]
    [InlineData("cmyk.jpg")]
    [InlineData("colour.png")]
    public void An_end_that_was_filled_up_with_zeros_is_found(string name)
    {
        // A thumbnail in the EXIF segment has an end marker of its own.
        byte[] bytes = name.EndsWith("jpg") ? Oriented(ImageFiles.Bytes(name), 1) : ImageFiles.Bytes(name);
        for (int length = bytes.Length / 2; length < bytes.Length - 1; length++)
        {
            byte[] filled = [.. bytes[..length], .. new byte[1000]];
            Assert.StartsWith("it is cut off", ImageDecoder.Explain(filled, _default));
            Assert.StartsWith("it is cut off", EncodedImageCheck.FindDefect(_folder.Write("filled", filled), _default));
        }
    }

    // The definition: EXIF 2.3, tag 274, says at which side the first row and the first column are.
    [Theory]
    [InlineData(1, false, false, false)]
    [InlineData(2, false, false, true)]
    [InlineData(3, false, true, true)]
    [InlineData(4, false, true, false)]
    [InlineData(5, true, false, false)]
    [InlineData(6, true, true, false)]
    [InlineData(7, true, true, true)]
    [InlineData(8, true, false, true)]
    public void All_orientations_are_applied_by_moving_pixels(int orientation, bool turned, bool rowsBackwards, bool columnsBackwards)
    {
        byte[] bytes = Oriented(ImageFiles.Bytes("baseline.jpg"), (byte)orientation);
        using var stored = ImageDecoder.Decode(bytes, new ImageDecoding(ApplyOrientation: false));
        using var upright = ImageDecoder.Decode(bytes, _default);
        Assert.Equal(turned ? (stored.Height, stored.Width) : (stored.Width, stored.Height), (upright.Width, upright.Height));
        for (int row = 0; row < stored.Height; row++)
        {
            for (int column = 0; column < stored.Width; column++)
            {
                int down = rowsBackwards ? stored.Height - 1 - row : row, right = columnsBackwards ? stored.Width - 1 - column : column;
                Assert.Equal(stored.GetPixel(column, row), turned ? upright.GetPixel(down, right) : upright.GetPixel(right, down));
            }
        }
    }

    [Fact]
    public void A_picture_stored_sideways_or_upside_down_is_shown_upright()
    {
        // Stored with the left half red and the right half blue.
        using var turnedByHalf = ImageDecoder.Decode(ImageFiles.Bytes("i-orientation-3.jpg"), _default);
        Assert.True(turnedByHalf.GetPixel(4, 16) is { Blue: > 150, Red: < 100 } && turnedByHalf.GetPixel(28, 16) is { Red: > 150, Blue: < 100 });
        using var turnedByQuarter = ImageDecoder.Decode(ImageFiles.Bytes("i-orientation-6.jpg"), _default);
        Assert.True(turnedByQuarter.GetPixel(16, 4) is { Red: > 150, Blue: < 100 } && turnedByQuarter.GetPixel(16, 28) is { Blue: > 150, Red: < 100 });
    }

    // SkiaSharp 2.88 does not report the orientation of PNG files, which therefore stay as stored.
    [Fact]
    public void The_orientation_of_WebP_is_applied_and_that_of_PNG_is_not()
    {
        using var png = ImageDecoder.Decode(ImageFiles.Bytes("orientation-6.png"), _default);
        Assert.Equal((45, 37), (png.Width, png.Height));
        using var stored = ImageDecoder.Decode(ImageFiles.Bytes("lossless.webp"), _default);
        using var upright = ImageDecoder.Decode(ImageFiles.Bytes("orientation-6.webp"), _default);
        Assert.Equal((stored.Height, stored.Width), (upright.Width, upright.Height));
        Assert.Equal(stored.GetPixel(3, 5), upright.GetPixel(stored.Height - 1 - 5, 3));
    }

    [Theory]
    [InlineData(20_000, 20_000, "it has 20000 x 20000 pixels, more than the limit of 100,000,000")]
    [InlineData(10_001, 10_000, "it has 10001 x 10000 pixels, more than the limit of 100,000,000")]
    [InlineData(60_000, 60_000, "it has 60000 x 60000 pixels, more than the limit of 100,000,000")]
    public void Images_of_more_pixels_than_the_limit_are_refused_by_their_header(int width, int height, string reason)
    {
        Assert.Equal(reason, ImageDecoder.Explain(ImageFiles.PngOfClaimedSize(width, height), _default));
    }

    [Fact]
    public void The_limit_itself_is_accepted()
    {
        byte[] bytes = ImageFiles.Bytes("colour.png");
        Assert.Null(ImageDecoder.Explain(bytes, new ImageDecoding(MaximumPixels: 45 * 37)));
        Assert.Equal("it has 45 x 37 pixels, more than the limit of 1,664", ImageDecoder.Explain(bytes, new ImageDecoding(MaximumPixels: 45 * 37 - 1)));
    }

    public static TheoryData<string, string> NoImages => new()
    {
        { "", "the file is empty" },
        { "II*\0........", "it is a TIFF file (" },
        { "MM\0*........", "it is a TIFF file (" },
        { "\0\0\0\u0018ftypheic....", "it is a HEIC file (" },
        { "\0\0\0\u001cftypavif....", "it is an AVIF file (" },
        { "\0\0\0\u001cftypisom....", "it is a video file (" },
        { "<svg xmlns='http://www.w3.org/2000/svg'/>", "it is an SVG file (" },
        { "<?xml version='1.0'?>\n<!-- drawn --> <svg>", "it is an SVG file (" },
        { "%PDF-1.7\n", "it is a PDF file (" },
        { "8BPS\0\u0001", "it is a Photoshop file (PSD) (" },
        { "\n<!doctype HTML>\n<title>Not found", "it is a web page (HTML) in place of the file (" },
        { "version https://git-lfs.github.com/spec/v1\noid sha256:0", "it is a Git LFS pointer in place of the file; fetch the files with 'git lfs pull' (" },
        { "no image at all", "its format is unknown (its first bytes are 6E 6F 20 69 6D 61 67 65, 'no image'; JPEG, PNG, GIF, BMP and WebP are read)" },
        { "\u0001\u0002", "its format is unknown (its first bytes are 01 02; JPEG, PNG, GIF, BMP and WebP are read)" },
        { "\u0089PNG\r\n\u001a\nnothing that is a chunk of a PNG", "it is cut off: the end of the file is missing" },
    };

    [Theory]
    [MemberData(nameof(NoImages))]
    public void Files_that_are_no_image_are_named(string content, string reason)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(content);
        Assert.StartsWith(reason, ImageDecoder.Explain(bytes, _default));
        Assert.StartsWith(reason, EncodedImageCheck.Explain(_folder.Write("file", bytes), _default));
        Assert.Equal(ImageSignature.IsReadable(bytes), EncodedImageCheck.FindDefect(_folder.File("file"), _default) is not null);
    }

    [Fact]
    public void A_TIFF_file_and_a_damaged_PNG_are_refused()
    {
        Assert.StartsWith("it is a TIFF file (", ImageDecoder.Explain(ImageFiles.Bytes("picture.tif"), _default));
        byte[] bytes = ImageFiles.Bytes("colour.png");
        bytes[bytes.Length / 2] ^= 0x55;
        Assert.Equal("it is damaged", ImageDecoder.Explain(bytes, _default));
    }

    // Any change of any byte is an error or gives an image; nothing else is thrown and nothing crashes.
    [Theory]
    [MemberData(nameof(Files))]
    public void Damaged_files_give_an_error_or_an_image(string name)
    {
        var random = new Random(1);
        byte[] original = ImageFiles.Bytes(name);
        int refused = 0;
        for (int i = 0; i < 300; i++)
        {
            byte[] bytes = [.. original];
            for (int k = 0; k < 1 + i % 4; k++)
                bytes[i < 100 ? random.Next(Math.Min(60, bytes.Length)) : random.Next(bytes.Length)] = (byte)random.Next(256);
            refused += ImageDecoder.Explain(bytes, new ImageDecoding(MaximumPixels: 1_000_000)) is null ? 0 : 1;
        }
        Assert.InRange(refused, 1, 300);
    }

    /// <summary>Inserts an EXIF segment with an orientation behind the start of a JPEG file.</summary>
    private static byte[] Oriented(byte[] jpeg, byte orientation) =>
    [
        .. jpeg[..2],
        0xFF, 0xE1, 0, 36,
        .. "Exif\0\0"u8, .. "II*\0"u8, 8, 0, 0, 0,
        1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0,
        0, 0, 0, 0,
        // The end marker of a thumbnail.
        0xFF, 0xD9,
        .. jpeg[2..],
    ];
}
