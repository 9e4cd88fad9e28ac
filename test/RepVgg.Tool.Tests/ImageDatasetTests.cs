using System.Diagnostics;
using System.Formats.Tar;
using System.Text;
using RepVgg.Testing;
using RepVgg.Tool.Images;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The forms of labelled images, and what is refused in them.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class ImageDatasetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("image,class")]
    [InlineData("Image_Path,Category")]
    [InlineData("filename,label")]
    [InlineData("file,target")]
    [InlineData("ImageSource,Label")]
    [InlineData("file name,class_name,split")]
    public void Headers_are_recognised_by_their_names(string header) =>
        Assert.Equal([("a.png", "red"), ("b.png", "blue")], Csv($"{header}\na.png,red,1\nb.png,blue,1\n"));

    [Fact]
    public void Columns_are_found_by_their_names_in_any_order()
    {
        Assert.Equal([("a.png", "red")], Csv("id,label,class,path\n7,red,3,a.png\n"));
        // Of a file without a header, the first line is an image, also of a class with the name of a column.
        Assert.Equal([("a.png", "target"), ("b.png", "tag")], Csv("a.png,target\nb.png,tag"));
        Assert.Equal([("a, \"b\".png", "red"), ("5\" screen.png", "blue")], Csv("path,label\n\"a, \"\"b\"\".png\" , red\n\n5\" screen.png,blue\n"));
    }

    [Theory]
    [InlineData("a.png;red\nb.png;blue\n", "Line 1 of 'FILE' has no comma. Separate the fields by commas, not by semicolons or tabs: 'a.png;red'.")]
    [InlineData("\npath\tlabel\na.png\tred\n", "Line 2 of 'FILE' has no comma.")]
    [InlineData("path,label\na.png,\"red\nb.png,blue\n", "Line 2 of 'FILE' has a quotation mark without its counterpart.")]
    [InlineData("path,label\n\"a\".png,red\n", "Line 2 of 'FILE' has a quotation mark without its counterpart.")]
    [InlineData("path,label\na.png,red\nb.png\n", "Line 3 of 'FILE' has no path or no label: 'b.png'.")]
    [InlineData("image,breed\na.png,red\n", "Line 1 of 'FILE' names the column of the paths, but not that of the labels. Name it 'label': 'image,breed'.")]
    [InlineData("id,label\na.png,red\n", "Line 1 of 'FILE' names the column of the labels, but not that of the paths.")]
    [InlineData("path,label\n", "'FILE' has no images.")]
    [InlineData("a.png,red\nb.png,blue\n./a.png,green\n", "Lines 1 and 3 of 'FILE' give the image './a.png' different labels, 'red' and 'green'.")]
    [InlineData("a.png,red\0\n", "'FILE' is not a text file.")]
    public void What_is_wrong_with_a_csv_file_is_said_with_the_line(string text, string expected)
    {
        string error = Assert.Throws<InvalidDataException>(() => Csv(text)).Message;
        Assert.StartsWith(expected.Replace("FILE", _folder.File("list.csv"), StringComparison.Ordinal), error, StringComparison.Ordinal);
    }

    [Fact]
    public void An_image_that_is_listed_twice_is_not_divided()
    {
        string list = _folder.Write("list.csv", "a.png,red\nb.png,blue\na.png,red\n"u8.ToArray()), other = _folder.Write("other.csv", "c.png,red\n"u8.ToArray());
        Assert.Contains($"lists the image '{_folder.File("a.png")}' more than once", Assert.Throws<InvalidDataException>(() => ImageDataset.Read(list, null, 0.2, 1)).Message, StringComparison.Ordinal);
        // Nothing can be in both sets.
        Assert.Equal(3, ImageDataset.Read(list, null, 0, 1).Training.Count);
        Assert.Equal(3, ImageDataset.Read(list, other, 0.2, 1).Training.Count);
    }

    [Fact]
    public void Tar_files_have_images_and_labels_of_the_same_key()
    {
        string tar = Tar("a.tar", ("x/1.jpg", "one"), ("x/1.cls", " red\n"), ("x/1.json", "{}"), ("2.CLS", "7"), ("._2.png", "no"), ("2.png", "second"), ("2.seg.png", "left out"));
        var rows = ImageDataset.ReadFiles(tar);
        Assert.Equal([($"{tar}/x/1.jpg", "red", "one"), ($"{tar}/2.png", "7", "second")], rows.Select(row => (row.ImagePath, row.Label, Encoding.UTF8.GetString(row.Image))));
        // The contents are read when they are needed.
        byte[] bytes = File.ReadAllBytes(tar);
        bytes[bytes.AsSpan().IndexOf("second"u8)] = (byte)'S';
        File.WriteAllBytes(tar, bytes);
        Assert.Equal("Second", Encoding.UTF8.GetString(rows[1].Image));
        using (var cut = File.OpenWrite(tar))
            cut.SetLength(bytes.AsSpan().IndexOf("econd"u8));
        Assert.Contains("the tar file is cut off", Assert.ThrowsAny<IOException>(() => rows[1].Image).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Tar_files_are_read_from_folders_ranges_and_sets()
    {
        Directory.CreateDirectory(_folder.File("data/train"));
        Directory.CreateDirectory(_folder.File("data/val"));
        Tar("data/train/s-001.tar", ("2.jpg", "c"), ("2.cls", "red"));
        Tar("data/train/s-000.tar", ("0.jpg", "a"), ("0.cls", "red"), ("1.jpg", "b"), ("1.cls", "blue"));
        Tar("data/val/s-000.tar", ("0.jpg", "d"), ("0.cls", "blue"));
        var data = ImageDataset.Read(_folder.File("data"), null, 0.5, 1);
        Assert.Equal(["a", "b", "c"], data.Training.Select(Content));
        Assert.Equal(["d"], data.Validation.Select(Content));
        Assert.Equal(["d"], ImageDataset.ReadForEvaluation(_folder.File("data")).Select(Content));
        Assert.Equal(["a", "b", "c"], ImageDataset.ReadFiles(_folder.File("data/train/s-{000..001}.tar")).Select(Content));
        Assert.Contains("s-002.tar", Assert.ThrowsAny<IOException>(() => ImageDataset.ReadFiles(_folder.File("data/train/s-{000..002}.tar"))).Message, StringComparison.Ordinal);

        Tar("data/train/s-validation-0.tar", ("3.jpg", "e"), ("3.cls", "red"));
        Refused("data/train", "has tar files of several sets");
        File.Delete(_folder.File("data/train/s-validation-0.tar"));
        Directory.CreateDirectory(_folder.File("data/train/red"));
        _folder.Write("data/train/red/1.png", [1]);
        Refused("data/train", "has tar files and the folder");

        static string Content(ImageFileRow row) => Encoding.UTF8.GetString(row.Image);
    }

    [Fact]
    public void What_is_wrong_with_a_tar_file_is_said_with_the_entry()
    {
        Tar("unlabelled.tar", ("1.jpg", "a"), ("1.cls", "red"), ("2.jpg", "b"));
        Refused("unlabelled.tar", "unlabelled.tar/2.jpg' has no label: there is no entry '2.cls'");
        Tar("imageless.tar", ("1.jpg", "a"), ("1.cls", "red"), ("2.tif", "b"), ("2.cls", "red"));
        Refused("imageless.tar", "has the entry '2.cls', but no image of the same key. It must be named '2', the name up to the first point");
        Tar("points.tar", ("1.jpg", "a"), ("1.cls", "red"), ("v1.2.jpg", "b"), ("v1.2.cls", "red"));
        Refused("points.tar", "has the entry 'v1.2.jpg', but no image of the same key. It must be named 'v1'");
        Tar("twice.tar", ("1.jpg", "a"), ("1.cls", "red"), ("1.png", "b"));
        Refused("twice.tar", "has two images of the key '1'");
        Tar("labels.tar", ("1.jpg", "a"), ("1.cls", "red"), ("1.cls", "red"));
        Refused("labels.tar", "has two labels of the key '1'");
        Tar("binary.tar", ("1.jpg", "a"), ("1.cls", "\u0001\u0002"));
        Refused("binary.tar", "binary.tar/1.cls' is no label");
        Tar("blank.tar", ("1.jpg", "a"), ("1.cls", "\n"));
        Refused("blank.tar", "blank.tar/1.cls' is no label");
        Tar("long.tar", ("1.jpg", "a"), ("1.cls", new string('x', 2000)));
        Refused("long.tar", "long.tar/1.cls' is no label");
        Tar("none.tar", ("1.json", "{}"));
        Refused("none.tar", "none.tar' has no images");
        _folder.Write("text.tar", new byte[700].Select((_, i) => (byte)(i % 90 + 32)).ToArray());
        Refused("text.tar", "text.tar' is damaged or no tar file");
        _folder.Write("packed.tar", [0x1f, 0x8b, 8, 0]);
        Refused("packed.tar", "packed.tar' is compressed");
        Directory.CreateDirectory(_folder.File("compressed"));
        _folder.Write("compressed/a.tar.gz", [1]);
        Refused("compressed/a.tar.gz", "a.tar.gz' is compressed");
        Refused("compressed", "a.tar.gz' is compressed");
    }

    [Fact]
    public void A_classifier_is_trained_evaluated_and_used_on_tar_files()
    {
        string pictures = Pictures.Folder(_folder, "pictures", 8), shards = Directory.CreateDirectory(_folder.File("shards")).FullName;
        foreach (var (number, files) in Directory.GetFiles(pictures, "*.png", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Chunk(10).Index())
        {
            using var tar = new TarWriter(File.Create(Path.Combine(shards, $"s-{number}.tar")));
            foreach (var (i, file) in files.Index())
            {
                tar.WriteEntry(file, $"{i}.png");
                Add(tar, $"{i}.cls", Path.GetFileName(Path.GetDirectoryName(file)!));
            }
        }
        string runs = _folder.File("runs");
        string[] options = ["--output", runs, "--epochs", "2", "--batch-size", "6", "--validation-fraction", "0.25", "--device", "cpu", "--name"];
        Succeeds("train", [shards, .. options, "tar"]);
        Succeeds("train", [pictures, .. options, "folder"]);
        string tarRun = Path.Combine(runs, "tar"), folderRun = Path.Combine(runs, "folder");
        // The images and their order are the same, and so is the network.
        Assert.Equal(File.ReadAllBytes(Path.Combine(folderRun, "weights", "best.safetensors")), File.ReadAllBytes(Path.Combine(tarRun, "weights", "best.safetensors")));
        Assert.Contains("data:image/png", File.ReadAllText(Path.Combine(tarRun, "report.html")), StringComparison.Ordinal);

        string model = Path.Combine(tarRun, "model.zip");
        Assert.StartsWith("24 images: top-1 ", Succeeds("evaluate", [model, shards]), StringComparison.Ordinal);
        string[] predicted = [.. Succeeds("predict", [model, Path.Combine(shards, "s-{0..2}.tar")]).TrimEnd().Split('\n')], expected = Succeeds("predict", [model, pictures]).TrimEnd().Split('\n');
        Assert.StartsWith($"{shards}{Path.DirectorySeparatorChar}s-1.tar/0.png: ", predicted[10], StringComparison.Ordinal);
        Assert.Equal(expected.Select(line => line.Split(": ")[1]), predicted.Select(line => line.Split(": ")[1]));
    }

    [Fact]
    public void A_class_without_any_usable_image_is_an_error_before_training()
    {
        string data = Pictures.Folder(_folder, "data", 6), runs = _folder.File("runs");
        foreach (string path in Directory.GetFiles(Path.Combine(data, "green")))
            File.WriteAllText(path, "no picture");
        var (exitCode, output, error) = Train(data, runs, "--skip-invalid");
        Assert.Equal(1, exitCode);
        Assert.Contains("All rows of the class 'green' would be skipped", error, StringComparison.Ordinal);
        Assert.DoesNotContain("epoch", output, StringComparison.Ordinal);
        Assert.Empty(Directory.GetDirectories(runs));
    }

    [Fact]
    public void Images_without_an_extension_are_named_too()
    {
        string data = Pictures.Folder(_folder, "data", 4);
        var files = Directory.GetFiles(data, "*.png", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Select(path => (Path: Path.ChangeExtension(path, null), Label: Path.GetFileName(Path.GetDirectoryName(path)))).ToList();
        foreach (var (path, _) in files)
            File.Move(path + ".png", path);
        File.WriteAllLines(_folder.File("list.csv"), files.Select(file => $"{file.Path},{file.Label}"));
        var (exitCode, _, error) = Train(_folder.File("list.csv"), _folder.File("runs"));
        Assert.True(exitCode == 0, error);
        File.WriteAllText(files[6].Path, "no picture");
        Assert.Contains($"file '{files[6].Path}': the image cannot be read", Train(_folder.File("list.csv"), _folder.File("runs"), "--validation-fraction", "0").Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_validation_images_that_is_said()
    {
        string data = Pictures.Folder(_folder, "data", 1), runs = _folder.File("runs");
        var (exitCode, output, error) = Train(data, runs, "--batch-size", "2");
        Assert.True(exitCode == 0, error);
        Assert.Contains("3 training and 0 validation images", output, StringComparison.Ordinal);
        Assert.Contains("there are no validation images", output, StringComparison.Ordinal);
        (_, output, _) = Train(data, runs, "--batch-size", "2", "--validation-fraction", "0");
        Assert.DoesNotContain("there are no validation images", output, StringComparison.Ordinal);
        Pictures.Write(Path.Combine(data, "red", "1.png"), "red", 1);
        (_, output, _) = Train(data, runs, "--batch-size", "2");
        Assert.Contains("There are no validation images of these classes, whose accuracy will not be known: blue, green.", output, StringComparison.Ordinal);
    }

    [UnixFact]
    public void Pipes_with_the_names_of_images_are_not_waited_for()
    {
        string data = Pictures.Folder(_folder, "data", 4), pipe = Path.Combine(data, "red", "pipe.png");
        using (var made = Process.Start("mkfifo", [pipe]))
            made.WaitForExit();
        File.CreateSymbolicLink(Path.Combine(data, "red", "to-pipe.png"), pipe);
        File.CreateSymbolicLink(Path.Combine(data, "red", "to-picture.png"), "0.png");
        var (exitCode, output, error) = Train(data, _folder.File("runs"), "--validation-fraction", "0");
        Assert.Equal(1, exitCode);
        Assert.Contains($"file '{pipe}': the image cannot be read: the file is empty, or a pipe or device", error, StringComparison.Ordinal);
        (exitCode, output, error) = Train(data, _folder.File("runs"), "--validation-fraction", "0", "--skip-invalid");
        Assert.True(exitCode == 0, error);
        Assert.Contains("15 training and 0 validation images", output, StringComparison.Ordinal);
        Assert.Contains("2 rows of the training data were skipped", output, StringComparison.Ordinal);
    }

    private (int ExitCode, string Output, string Error) Train(string data, string runs, params string[] arguments) =>
        Programs.Tool.RunHere(["train", data, "--output", runs, "--epochs", "1", "--device", "cpu", .. arguments.Contains("--batch-size") ? (string[])[] : ["--batch-size", "4"], .. arguments]);

    private static string Succeeds(string command, string[] arguments)
    {
        var (exitCode, output, error) = Programs.Tool.RunHere([command, .. arguments]);
        Assert.True(exitCode == 0, error);
        return output.ReplaceLineEndings("\n");
    }

    private List<(string, string)> Csv(string text)
    {
        string path = _folder.Write("list.csv", Encoding.UTF8.GetBytes(text));
        return [.. ImageDataset.ReadFiles(path).Select(row => (Path.GetRelativePath(_folder.Path, row.ImagePath), row.Label))];
    }

    private void Refused(string name, string message) =>
        Assert.Contains(message, Assert.Throws<InvalidDataException>(() => ImageDataset.ReadFiles(_folder.File(name))).Message, StringComparison.Ordinal);

    private string Tar(string name, params (string Name, string Content)[] entries)
    {
        using var tar = new TarWriter(File.Create(_folder.File(name)));
        foreach (var (entry, content) in entries)
            Add(tar, entry, content);
        return _folder.File(name);
    }

    private static void Add(TarWriter tar, string name, string content) =>
        tar.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(Encoding.UTF8.GetBytes(content)) });
}
