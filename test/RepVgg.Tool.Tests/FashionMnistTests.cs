using System.IO.Compression;
using RepVgg.Tool.Images;
using RepVgg.Testing;
using RepVgg.Training.Data;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Tool.Tests;

public class FashionMnistTests
{
    [Fact]
    public void The_bundled_images_are_stratified()
    {
        var (training, test) = FashionMnist.Bundled();
        foreach (var (samples, perClass) in new[] { (training, 400), (test, 100) })
        {
            Assert.Equal((10 * perClass, 1, 28, 28, 10), (samples.Count, samples.Channels, samples.Height, samples.Width, samples.Classes));
            Assert.All(Enumerable.Range(0, samples.Count).CountBy(samples.LabelOf), pair => Assert.Equal(perClass, pair.Value));
        }
    }

    [Fact]
    public void The_bundled_files_are_those_that_the_readme_names()
    {
        using var archive = new ZipArchive(typeof(FashionMnist).Assembly.GetManifestResourceStream("fashion-mnist-small.zip")!);
        // Sums taken by Info-ZIP's unzip -v on the file that was first made; they stand in data/README.md too.
        Assert.Equal([0x0614f64cu, 0x1efab681u, 0x311412f5u, 0x5b6c38efu], archive.Entries.Select(entry => entry.Crc32));
    }

    [Fact]
    public void Packing_takes_the_first_of_every_class_and_is_reproducible()
    {
        int[] labels = [.. Enumerable.Range(0, 60).Select(i => i * 7 % 10)];
        var samples = new InMemorySamples([.. Enumerable.Range(0, 60 * 4).Select(i => (byte)i)], labels, 1, 2, 2, 10);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => labels[i]), Labels(DataPacker.FirstOfEveryClass(samples, 20)));
        Assert.Contains("divided evenly", Assert.Throws<ArgumentException>(() => DataPacker.FirstOfEveryClass(samples, 15)).Message, StringComparison.Ordinal);
        Assert.Contains("fewer than 7", Assert.Throws<ArgumentException>(() => DataPacker.FirstOfEveryClass(samples, 70)).Message, StringComparison.Ordinal);

        using var folder = new TemporaryFolder();
        foreach (string name in new[] { "a.zip", "b.zip" })
            DataPacker.Write(folder.File(name), samples, 20, samples, 10);
        Assert.Equal(File.ReadAllBytes(folder.File("a.zip")), File.ReadAllBytes(folder.File("b.zip")));
        Assert.Equal(["a.zip", "b.zip"], Directory.GetFiles(folder.Path).Select(Path.GetFileName).Order());

        using var archive = ZipFile.OpenRead(folder.File("a.zip"));
        using var images = archive.GetEntry("t10k-images-idx3-ubyte")!.Open();
        using var labelFile = archive.GetEntry("t10k-labels-idx1-ubyte")!.Open();
        var read = IdxFiles.Read(images, "images", labelFile, "labels", 10);
        Assert.Equal(labels.Take(10), Labels(read));
        var pixels = new float[4];
        read.Read(9, pixels);
        Assert.Equal([36f, 37f, 38f, 39f], pixels);
    }

    [Fact]
    public void Images_of_another_size_are_refused()
    {
        using var folder = new TemporaryFolder();
        foreach (string prefix in new[] { "train", "t10k" })
        {
            folder.Write($"{prefix}-images-idx3-ubyte", IdxBytes.Idx(new byte[16], 1, 4, 4));
            folder.Write($"{prefix}-labels-idx1-ubyte", IdxBytes.Idx([3], 1));
        }
        var error = Assert.Throws<InvalidDataException>(() => FashionMnist.Full(folder.Path));
        Assert.Contains("4x4 pixels; those of Fashion-MNIST are 28x28", error.Message, StringComparison.Ordinal);
    }

    private static IEnumerable<int> Labels(ISampleSource samples) => Enumerable.Range(0, samples.Count).Select(samples.LabelOf);
}
