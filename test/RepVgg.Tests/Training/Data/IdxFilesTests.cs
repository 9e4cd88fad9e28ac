using System.IO.Compression;
using RepVgg.Testing;
using RepVgg.Training.Data;
using Xunit;
using static RepVgg.Testing.IdxBytes;

namespace RepVgg.Tests.Training.Data;

public class IdxFilesTests
{
    private static readonly byte[] _pixels = [.. Enumerable.Range(0, 3 * 2 * 4).Select(i => (byte)(i * 11))];
    private static readonly byte[] _labels = [4, 0, 2];

    [Theory]
    [InlineData("train-images-idx3-ubyte", "train-labels-idx1-ubyte", false)]
    [InlineData("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", true)]
    [InlineData("train-images.idx3-ubyte", "train-labels.idx1-ubyte", false)]
    [InlineData("train-images-idx3-ubyte", "train-labels-idx1-ubyte", true)]
    [InlineData("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", false)]
    public void Reads_plain_and_gzip_whatever_the_name(string images, string labels, bool gzip)
    {
        using var folder = new TemporaryFolder();
        byte[] imageFile = Idx(_pixels, 3, 2, 4), labelFile = Idx(_labels, 3);
        folder.Write(images, gzip ? Gzip(imageFile) : imageFile);
        folder.Write(labels, gzip ? Gzip(labelFile) : labelFile);

        var samples = IdxFiles.ReadFolder(folder.Path, "train");

        Assert.Equal((3, 1, 2, 4, 5), (samples.Count, samples.Channels, samples.Height, samples.Width, samples.Classes));
        var pixels = new float[8];
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(_labels[i], samples.Read(i, pixels));
            Assert.Equal(_labels[i], samples.LabelOf(i));
            Assert.Equal(_pixels.Skip(8 * i).Take(8).Select(b => (float)b), pixels);
        }
    }

    [Fact]
    public void Reads_from_streams_that_cannot_seek()
    {
        using var images = new GZipStream(new MemoryStream(Gzip(Idx(_pixels, 3, 2, 4))), CompressionMode.Decompress);
        using var labels = new GZipStream(new MemoryStream(Gzip(Idx(_labels, 3))), CompressionMode.Decompress);
        Assert.Equal(10, IdxFiles.Read(images, "images", labels, "labels", 10).Classes);
    }

    public static TheoryData<string, byte[], byte[], int, string> BadFiles => new()
    {
        { "truncated images", Idx(_pixels, 3, 2, 4)[..30], Idx(_labels, 3), 0, "images' is truncated" },
        { "truncated header", Idx(_pixels, 3, 2, 4)[..9], Idx(_labels, 3), 0, "images' is truncated" },
        { "truncated labels", Idx(_pixels, 3, 2, 4), Idx(_labels, 3)[..10], 0, "labels' is truncated" },
        { "truncated gzip", Gzip(Idx(_pixels, 3, 2, 4))[..^12], Idx(_labels, 3), 0, "images' is " },
        { "damaged gzip", [.. Gzip(Idx(_pixels, 3, 2, 4))[..10], 255, 255, 255, 255, 255, 255], Idx(_labels, 3), 0, "images' is damaged" },
        { "empty file", [], Idx(_labels, 3), 0, "images' is empty" },
        { "text", "hello, world"u8.ToArray(), Idx(_labels, 3), 0, "images' is not an IDX file" },
        { "labels for images", Idx(_labels, 3), Idx(_labels, 3), 0, "with 1 dimensions; expected unsigned bytes (type 8) with 3 (images)" },
        { "images for labels", Idx(_pixels, 3, 2, 4), Idx(_pixels, 3, 2, 4), 0, "expected unsigned bytes (type 8) with 1 (labels)" },
        { "other counts", Idx(_pixels, 3, 2, 4), Idx([1, 2], 2), 0, "3 images, but" },
        { "label out of range", Idx(_pixels, 3, 2, 4), Idx(_labels, 3), 4, "row 0: label 4 is outside 0 .. 3" },
        { "more data", [.. Idx(_pixels, 3, 2, 4), 7], Idx(_labels, 3), 0, "has data after the 24 values" },
        { "absurd size", Idx(_pixels, int.MaxValue, 1 << 20, 1 << 20), Idx(_labels, 3), 0, "declares the dimensions" },
        { "negative size", Idx(_pixels, -3, 2, 4), Idx(_labels, 3), 0, "declares the dimensions" },
    };

    [Theory]
    [MemberData(nameof(BadFiles))]
    public void Names_the_file_and_the_reason(string what, byte[] images, byte[] labels, int classes, string expected)
    {
        using var folder = new TemporaryFolder();
        string imagesPath = folder.Write("images", images), labelsPath = folder.Write("labels", labels);
        var error = Assert.Throws<InvalidDataException>(() => IdxFiles.Read(imagesPath, labelsPath, classes));
        Assert.True(error.Message.Contains(expected, StringComparison.Ordinal), $"{what}: {error.Message}");
        Assert.Contains(folder.Path, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Names_what_a_folder_lacks()
    {
        using var folder = new TemporaryFolder();
        Assert.Throws<DirectoryNotFoundException>(() => IdxFiles.ReadFolder(folder.File("none"), "train"));
        folder.Write("train-images-idx3-ubyte", Idx(_pixels, 3, 2, 4));
        var error = Assert.Throws<FileNotFoundException>(() => IdxFiles.ReadFolder(folder.Path, "train"));
        Assert.Contains("train-labels-idx1-ubyte.gz", error.Message, StringComparison.Ordinal);
        Assert.Contains(folder.Path, error.Message, StringComparison.Ordinal);
    }
}
