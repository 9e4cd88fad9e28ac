using System.Buffers.Binary;
using System.Drawing;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Segmentation;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Segmentation;

public class MaskImageTests
{
    private const long Maximum = 1_000_000;

    private static readonly Dictionary<Color, byte> _colours = new() { [Color.FromArgb(0, 0, 0)] = 0, [Color.FromArgb(255, 0, 0)] = 1, [Color.FromArgb(0, 128, 0)] = 2 };

    [Theory]
    [InlineData(MaskFiles.Grey8, MaskFiles.Grey8Values, 13, 5)]
    [InlineData(MaskFiles.Grey1, MaskFiles.Grey1Values, 13, 5)]
    [InlineData(MaskFiles.GreyAlpha8, MaskFiles.GreyAlpha8Values, 13, 5)]
    [InlineData(MaskFiles.Palette8, MaskFiles.Palette8Values, 13, 5)]
    [InlineData(MaskFiles.Palette4, MaskFiles.Palette4Values, 13, 5)]
    [InlineData(MaskFiles.Palette2, MaskFiles.Palette2Values, 13, 5)]
    [InlineData(MaskFiles.Palette1, MaskFiles.Palette1Values, 13, 5)]
    [InlineData(MaskFiles.Filters, MaskFiles.FiltersValues, 6, 5)]
    public void Reads_values_and_indices(string file, string values, int width, int height)
    {
        var (labels, rows, columns) = MaskImage.Read(Convert.FromBase64String(file), Maximum, colours: null);
        Assert.Equal((height, width), (rows, columns));
        Assert.Equal(Convert.FromBase64String(values), labels);
    }

    [Fact]
    public void Reads_a_smooth_image_whose_rows_have_filters()
    {
        var (labels, height, width) = MaskImage.Read(Convert.FromBase64String(MaskFiles.Smooth), Maximum, colours: null);
        Assert.Equal((30, 40), (height, width));
        Assert.Equal(Enumerable.Range(0, 1200).Select(i => (byte)(i % 40 * 3 + i / 40 * 5)), labels);
    }

    [Theory]
    [InlineData(MaskFiles.Colours)]
    [InlineData(MaskFiles.ColoursAlpha)]
    public void Reads_the_classes_of_colours(string file)
    {
        Assert.Equal([0, 1, 2, 1, 0, 2], MaskImage.Read(Convert.FromBase64String(file), Maximum, _colours).Labels);
        var fewer = _colours.Where(pair => pair.Value < 2).ToDictionary(pair => pair.Key, pair => pair.Value);
        Assert.Contains("column 2 and row 0 has the colour (0, 128, 0)", Assert.Throws<ImageException>(() => MaskImage.Read(Convert.FromBase64String(file), Maximum, fewer)).Message, StringComparison.Ordinal);
        Assert.Contains("Give MaskColors", Assert.Throws<ImageException>(() => MaskImage.Read(Convert.FromBase64String(file), Maximum, null)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Palettes_and_grey_values_are_colours_if_the_classes_have_colours()
    {
        byte[] file = MaskImage.Write([0, 1, 2, 2], 2, 2, [Color.FromArgb(0, 128, 0), Color.FromArgb(0, 0, 0), Color.FromArgb(255, 0, 0)]);
        Assert.Equal([2, 0, 1, 1], MaskImage.Read(file, Maximum, _colours).Labels);
        var blackAndWhite = new Dictionary<Color, byte> { [Color.Black] = 3, [Color.White] = 7 };
        Assert.Equal(Convert.FromBase64String(MaskFiles.Grey1Values).Select(value => (byte)(value == 0 ? 3 : 7)), MaskImage.Read(Convert.FromBase64String(MaskFiles.Grey1), Maximum, blackAndWhite).Labels);
    }

    [Fact]
    public void What_is_written_is_read_again_and_is_shown_in_colours()
    {
        byte[] labels = [.. Enumerable.Range(0, 35).Select(i => (byte)(i * 7))];
        var colors = MaskColors.Create(256);
        byte[] file = MaskImage.Write(labels, 5, 7, colors);
        Assert.Equal(labels, MaskImage.Read(file, Maximum, null).Labels);
        using var image = MLImage.CreateFromStream(new MemoryStream(file));
        Assert.Equal((7, 5), (image.Width, image.Height));
        bool isBgra = image.PixelFormat == MLPixelFormat.Bgra32;
        for (int i = 0; i < labels.Length; i++)
        {
            var pixel = image.Pixels.Slice(4 * i, 3);
            Assert.Equal((colors[labels[i]].R, colors[labels[i]].G, colors[labels[i]].B), isBgra ? (pixel[2], pixel[1], pixel[0]) : (pixel[0], pixel[1], pixel[2]));
        }
        // The colours of PASCAL VOC: aeroplane, bicycle, and the border of objects.
        Assert.Equal((0x800000, 0x008000, 0xE0E0C0), (colors[1].ToArgb() & 0xFFFFFF, colors[2].ToArgb() & 0xFFFFFF, colors[255].ToArgb() & 0xFFFFFF));
    }

    [Theory]
    [InlineData(MaskFiles.Grey16, "16 bits")]
    [InlineData(MaskFiles.Interlaced, "interlaced")]
    [InlineData("", "empty")]
    [InlineData("/9j/4AAQSkZJRg==", "JPEG")]
    [InlineData("R0lGODlhAQABAAAAACw=", "not a PNG file")]
    public void Other_files_are_refused(string file, string reason) =>
        Assert.Contains(reason, Assert.Throws<ImageException>(() => MaskImage.Read(Convert.FromBase64String(file), Maximum, null)).Message, StringComparison.Ordinal);

    [Fact]
    public void Damaged_files_are_refused()
    {
        byte[] file = Convert.FromBase64String(MaskFiles.Grey8);
        for (int length = 0; length < file.Length; length++)
            Assert.Throws<ImageException>(() => MaskImage.Read(file.AsSpan(0, length), Maximum, null));
        var random = new Random(1);
        for (int i = 0; i < 500; i++)
        {
            byte[] damaged = [.. file];
            damaged[random.Next(damaged.Length)] ^= (byte)(1 << random.Next(8));
            Assert.Throws<ImageException>(() => MaskImage.Read(damaged, Maximum, null));
        }
        Assert.Contains("limit of 64", Assert.Throws<ImageException>(() => MaskImage.Read(file, 64, null)).Message, StringComparison.Ordinal);

        // A header of valid checksum that claims more pixels than there are.
        BinaryPrimitives.WriteInt32BigEndian(file.AsSpan(16), 900);
        var checksum = new global::RepVgg.Weights.PyTorch.Crc32();
        checksum.Append(file.AsSpan(12, 17));
        BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(29), checksum.Value);
        Assert.Contains("cannot be decompressed", Assert.Throws<ImageException>(() => MaskImage.Read(file, Maximum, null)).Message, StringComparison.Ordinal);
    }
}
