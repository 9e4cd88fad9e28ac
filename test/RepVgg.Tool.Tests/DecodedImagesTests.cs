using System.Buffers.Binary;
using System.Formats.Tar;
using System.Text;
using System.Text.RegularExpressions;
using RepVgg.Tool.Images;
using RepVgg.Testing;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The images of the commands ablation and search-scales. The pictures are bitmaps of one colour, which are written by hand.</summary>
public sealed class DecodedImagesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_fifth_of_every_class_is_the_test_set()
    {
        for (int i = 0; i < 10; i++)
        {
            Write(Path.Combine("red", $"{i}.bmp"), (byte)(100 + i), 0, 0);
            Write(Path.Combine("blue", $"{i}.BMP"), 0, 0, (byte)(100 + i));
        }
        File.WriteAllText(Path.Combine(_folder.Path, "red", "notes.txt"), "not a picture");
        var (training, test) = Read();
        Assert.Equal((16, 4), (training.Count, test.Count));
        Assert.Equal((3, 8, 8, 2), (training.Channels, training.Height, training.Width, training.Classes));
        // The classes are in the order of their names: blue is 0, red is 1.
        foreach (var samples in new[] { training, test })
        {
            Assert.Equal(samples.Count / 2, Enumerable.Range(0, samples.Count).Count(i => samples.LabelOf(i) == 1));
            Assert.All(Enumerable.Range(0, samples.Count), i =>
            {
                float[] pixels = Pixels(samples, i);
                int coloured = samples.LabelOf(i) == 1 ? 0 : 2;
                Assert.InRange(pixels[coloured * 64], 100, 109);
                Assert.All(Enumerable.Range(0, 3), plane => Assert.All(pixels[(plane * 64)..(plane * 64 + 64)], value => Assert.Equal(plane == coloured ? pixels[coloured * 64] : 0, value)));
            });
        }
        var again = Read();
        Assert.Equal(Enumerable.Range(0, 4).Select(i => Pixels(test, i)), Enumerable.Range(0, 4).Select(i => Pixels(again.Test, i)));
    }

    [Fact]
    public void Folders_named_train_and_test_are_both_sets()
    {
        foreach (string set in new[] { "train", "test" })
        {
            Write(Path.Combine(set, "a", "1.bmp"), 1, 2, (byte)(set == "test" ? 200 : 100));
            Write(Path.Combine(set, "b", "1.bmp"), 4, 5, 6);
        }
        Write(Path.Combine("train", "b", "2.bmp"), 7, 8, 9);
        var (training, test) = Read();
        Assert.Equal((3, 2), (training.Count, test.Count));
        Assert.Equal([0, 1, 1], Enumerable.Range(0, 3).Select(training.LabelOf));
        Assert.Equal((100f, 200f), (Pixels(training, 0)[128], Pixels(test, 0)[128]));

        Directory.CreateDirectory(_folder.File(Path.Combine("test", "c")));
        Assert.Contains($"'{_folder.File(Path.Combine("test", "c"))}' has no images", Assert.Throws<InvalidDataException>(Read).Message, StringComparison.Ordinal);
        Write(Path.Combine("test", "c", "1.bmp"), 1, 1, 1);
        Assert.Contains("has images of the class 'c'", Assert.Throws<InvalidDataException>(Read).Message, StringComparison.Ordinal);
        Directory.Delete(_folder.File("test"), recursive: true);
        Assert.Contains($"'{_folder.File("train")}' has subfolders", Assert.Throws<InvalidDataException>(Read).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Csv_and_tar_files_give_the_images_of_the_folder()
    {
        foreach (string label in new[] { "red", "blue" })
        {
            for (int i = 0; i < 5; i++)
                Write(Path.Combine("images", label, $"{i}.bmp"), (byte)(label == "red" ? 200 : 0), (byte)i, (byte)(label == "red" ? 0 : 200));
        }
        string images = _folder.File("images");
        string[] files = [.. Directory.GetFiles(images, "*.bmp", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
        File.WriteAllLines(_folder.File("list.csv"), ["file,class", .. files.Select(file => $"{Path.GetRelativePath(_folder.Path, file)},{Path.GetFileName(Path.GetDirectoryName(file))}")]);
        using (var tar = new TarWriter(File.Create(_folder.File("all.tar"))))
        {
            foreach (var (i, file) in files.Index())
            {
                tar.WriteEntry(file, $"{i:d4}.bmp");
                tar.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, $"{i:d4}.cls") { DataStream = new MemoryStream(Encoding.UTF8.GetBytes(Path.GetFileName(Path.GetDirectoryName(file)!))) });
            }
        }
        var expected = DecodedImages.Read(images, CancellationToken.None);
        Assert.Equal((8, 2), (expected.Training.Count, expected.Test.Count));
        foreach (string source in new[] { "list.csv", "all.tar" })
        {
            var actual = DecodedImages.Read(_folder.File(source), CancellationToken.None);
            foreach (var (one, other) in new[] { (expected.Training, actual.Training), (expected.Test, actual.Test) })
            {
                Assert.Equal(Enumerable.Range(0, one.Count).Select(one.LabelOf), Enumerable.Range(0, other.Count).Select(other.LabelOf));
                Assert.Equal(Enumerable.Range(0, one.Count).Select(i => Pixels(one, i)), Enumerable.Range(0, other.Count).Select(i => Pixels(other, i)));
            }
        }
    }

    [Fact]
    public void A_class_can_have_the_name_of_a_set()
    {
        foreach (string name in new[] { "bus", "train" })
        {
            for (int i = 0; i < 5; i++)
                Write(Path.Combine(name, $"{i}.bmp"), 1, 2, (byte)i);
        }
        var (training, test) = Read();
        Assert.Equal((8, 2, 2), (training.Count, test.Count, training.Classes));
    }

    [Fact]
    public void What_cannot_be_read_is_named()
    {
        Assert.Contains("has no subfolders with images", Assert.Throws<InvalidDataException>(Read).Message, StringComparison.Ordinal);
        Assert.Contains("There is no folder", Assert.Throws<DirectoryNotFoundException>(() => DecodedImages.Read(_folder.File("missing"), CancellationToken.None)).Message, StringComparison.Ordinal);
        Directory.CreateDirectory(_folder.File("a"));
        Assert.Contains($"'{_folder.File("a")}' has no images (.jpg, ", Assert.Throws<InvalidDataException>(Read).Message, StringComparison.Ordinal);
        Write(Path.Combine("a", "1.bmp"), 1, 2, 3);
        Assert.Contains("images of one class only, 'a'", Assert.Throws<InvalidDataException>(Read).Message, StringComparison.Ordinal);
        Write(Path.Combine("b", "1.bmp"), 1, 2, 3);
        Assert.Contains("one image of each class only", Assert.Throws<InvalidDataException>(Read).Message, StringComparison.Ordinal);
        File.WriteAllText(_folder.File(Path.Combine("a", "2.png")), "text");
        File.WriteAllText(_folder.File(Path.Combine("a", "1.bmp")), "text");
        Assert.Matches($"'{Regex.Escape(_folder.File("a"))}.[12]\\.(png|bmp)' cannot be read: ", Assert.Throws<InvalidDataException>(Read).Message);
        File.WriteAllText(_folder.File(Path.Combine("a", "2.png")), "");
        File.WriteAllText(_folder.File(Path.Combine("a", "1.bmp")), "");
        Assert.Contains("the file is empty", Assert.Throws<InvalidDataException>(Read).Message, StringComparison.Ordinal);
    }

    private DecodedImages Read() => DecodedImages.Read(_folder.Path, CancellationToken.None);

    private static float[] Pixels(ISampleSource samples, int index)
    {
        var pixels = new float[3 * 64];
        samples.Read(index, pixels);
        return pixels;
    }

    /// <summary>Writes a bitmap of 8x8 pixels and 24 bits per pixel.</summary>
    private void Write(string name, byte red, byte green, byte blue)
    {
        const int Header = 54, Side = 8;
        var file = new byte[Header + 3 * Side * Side];
        (file[0], file[1]) = ((byte)'B', (byte)'M');
        foreach (var (at, value) in new[] { (2, file.Length), (10, Header), (14, 40), (18, Side), (22, Side), (26, 1 | (24 << 16)), (34, 3 * Side * Side) })
            BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(at), value);
        for (int i = Header; i < file.Length; i += 3)
            (file[i], file[i + 1], file[i + 2]) = (blue, green, red);
        string path = _folder.File(name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, file);
    }
}
