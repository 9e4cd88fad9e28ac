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
        { "no images of an absurd size", Idx([], 0, 65_535, 65_535), Idx([], 0), 0, "images' declares images of 65535 x 65535 pixels" },
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

    /// <summary>Files that declare more values than they have, by name: images, labels, and the expected reason.</summary>
    public static TheoryData<string, byte[], byte[], string> Claims => new()
    {
        { "two billion images", Hostile("two-billion-images-idx3-ubyte"), Idx(_labels, 3), "images' is truncated: its header declares 2000000000 values, but at most 16 are present" },
        { "two billion labels", Idx(_pixels, 3, 2, 4), Hostile("two-billion-labels-idx1-ubyte"), "labels' is truncated: its header declares 2000000000 values, but at most 16 are present" },
        { "one value too many", Idx(_pixels, 5, 5, 1), Idx(_labels, 3), "declares 25 values, but at most 24 are present" },
        { "two billion images in gzip", Gzip(Hostile("two-billion-images-idx3-ubyte")), Idx(_labels, 3), "declares 2000000000 values, but at most " },
        { "two billion labels in gzip", Idx(_pixels, 3, 2, 4), Gzip(Hostile("two-billion-labels-idx1-ubyte")), "declares 2000000000 values, but at most " },
        { "half of the values in gzip", Gzip(Idx(new byte[4 << 20], 2, 2 << 10, 2 << 10)), Idx(_labels[..2], 2), "declares 8388608 values, but only 4194304 are present" },
        { "more images than labels in gzip", Gzip(Idx(new byte[64 << 20], 64 << 20, 1, 1)), Idx(_labels, 3), "67108864 images, but" },
        { "wide images", Idx(new byte[70_000], 1, 1, 70_000), Idx([0], 1), "declares images of 1 x 70000 pixels; a side can have 65535 pixels at most" },
    };

    [Theory]
    [MemberData(nameof(Claims))]
    public void Memory_follows_what_is_present_and_not_what_is_declared(string what, byte[] images, byte[] labels, string expected)
    {
        using var folder = new TemporaryFolder();
        string imagesPath = folder.Write("images", images), labelsPath = folder.Write("labels", labels);
        long before = GC.GetAllocatedBytesForCurrentThread();
        string message = Assert.Throws<InvalidDataException>(() => IdxFiles.Read(imagesPath, labelsPath)).Message;
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 32 << 20);
        Assert.True(message.Contains(expected, StringComparison.Ordinal), $"{what}: {message}");
    }

    [Fact]
    public Task Files_that_declare_too_much_are_refused_in_a_heap_of_256_MiB() => ChildTests.Pass(
        typeof(IdxFilesTests).Assembly, $"FullyQualifiedName~{nameof(IdxFilesTests)}.{nameof(Memory_follows_what_is_present_and_not_what_is_declared)}", [], "DOTNET_GCHeapHardLimit", "0x10000000");

    [Fact]
    public void The_highest_ratio_of_gzip_is_read()
    {
        byte[] pixels = new byte[3 << 22];
        using var compressed = new MemoryStream();
        using (var gzip = new GZipStream(compressed, CompressionLevel.SmallestSize, leaveOpen: true))
            gzip.Write(Idx(pixels, 3, 1 << 11, 1 << 11));
        Assert.InRange(pixels.Length / compressed.Length, 900, 1032);
        using var folder = new TemporaryFolder();
        var samples = IdxFiles.Read(folder.Write("images", compressed.ToArray()), folder.Write("labels", Idx(_labels, 3)));
        Assert.Equal((3, 2048, 2048), (samples.Count, samples.Height, samples.Width));
    }

    [Fact]
    public void Any_header_gives_samples_or_one_error()
    {
        var random = new Random(5);
        using var folder = new TemporaryFolder();
        string labels = folder.Write("labels", Idx(_labels, 3));
        for (int i = 0; i < 2000; i++)
        {
            int[] shape = [.. Enumerable.Range(0, 3).Select(_ => (int)((uint)random.NextInt64(1L << 32) >> random.Next(32)))];
            byte[] file = Idx(_pixels, shape);
            string images = folder.Write("images", i % 2 == 0 ? file : Gzip(file));
            Assert.Contains($"'{images}'", Assert.Throws<InvalidDataException>(() => IdxFiles.Read(images, labels)).Message);
        }
    }

    [Fact]
    public void A_folder_in_place_of_a_file_is_an_IOException()
    {
        using var folder = new TemporaryFolder();
        string labels = folder.Write("labels", Idx(_labels, 3));
        Assert.Contains("is a folder", Assert.Throws<IOException>(() => IdxFiles.Read(folder.Path, labels)).Message);
    }

    private static byte[] Hostile(string name) => File.ReadAllBytes(GoldenFiles.PathOf(Path.Combine("hostile", name)));

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
