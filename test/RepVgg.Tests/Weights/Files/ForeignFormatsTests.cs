using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using RepVgg.Inference;
using RepVgg.Testing;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights.Files;

/// <summary>Files that are no weights: the error says what they are, and never that they are a bad ONNX file.</summary>
public sealed class ForeignFormatsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("cases/w-lfs-pointer.pth", "is a Git LFS pointer")]
    [InlineData("cases/w-web-page.safetensors", "is a web page (HTML)")]
    [InlineData("pytorch/script.pth", "is a TorchScript archive")]
    [InlineData("tiny-input.npy", "is a NumPy array")]
    public void Stored_files_are_named(string name, string expected) => Refused(GoldenFiles.PathOf(name), expected);

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "'git lfs pull'")]
    [InlineData("\n  <!DOCTYPE html>\n<html lang=\"en\">", "is a web page (HTML)")]
    [InlineData("<HTML><head>", "is a web page (HTML)")]
    [InlineData("<html><title>Fichier supprim\u00e9</title>", "is a web page (HTML)")] // in Latin-1, not UTF-8
    [InlineData("\u00ef\u00bb\u00bf<!doctype html>", "is a web page (HTML)")]
    [InlineData("%PDF-1.7\n%\u00e2\u00e3", "is a PDF file. Only PyTorch")]
    [InlineData("<?xml version=\"1.0\"?><!-- page --><html xmlns=\"http://www.w3.org/1999/xhtml\">", "is a web page (HTML)")]
    [InlineData("<?xml version=\"1.0\"?><net name=\"RepVGG\">", "is an XML file")]
    [InlineData("{\"stage0.weight\": [1, 2]}", "is a JSON file")]
    [InlineData("Access denied", "is a text file")]
    [InlineData("BatchNorm", "is a text file")] // 'B' is the tag of a field of an ONNX model
    [InlineData(":", "is a text file")]
    [InlineData("\u001f\u008b\b\0\0\0\0\0", "is a gzip file")]
    [InlineData("BZh91AY&SY", "is a bzip2 file")]
    [InlineData("\u00fd7zXZ\0\0", "is an xz file")]
    [InlineData("7z\u00bc\u00af'\u001c\0\u0004", "is a 7-Zip archive")]
    [InlineData("\u0089HDF\r\n\u001a\n\0\0", "is not a readable Keras file")]
    [InlineData("\u0093NUMPY\u0001\0v\0", "is a NumPy array")]
    [InlineData("\u0089PNG\r\n\u001a\n", "is a PNG image")]
    [InlineData("\u00ff\u00d8\u00ff\u00e0\0\u0010JFIF", "is a JPEG image")]
    [InlineData("GGUF\u0003\0\0\0", "is a GGUF file")]
    [InlineData("\u001c\0\0\0TFL3\u0014\0", "is a TensorFlow Lite model")]
    [InlineData("\b\u0001\u0012\u00c4\u0003\n", "is a TensorFlow SavedModel")]
    [InlineData("\u0000\u0001\u0002\u0003", "has an unknown format (first bytes 00010203, 4 bytes in all)")]
    [InlineData("\u0080", "has an unknown format")]
    [InlineData("\u0080\u0009", "is not a pickle of a known protocol")]
    [InlineData("\u0080\u0002}q\0.", "it is a pickle, but not PyTorch's")]
    [InlineData("\u0080\u0004\u0095\u0015\0\0\0\0\0\0\0\u008c\u0008builtins\u008c\u0006object\u0093)R.", "it is a pickle, but not PyTorch's")]
    [InlineData("\u0080\u0003csklearn.svm\nSVC\nq\0)\u0081q\u0001.", "it is a pickle, but not PyTorch's (it refers to sklearn.svm.SVC (1))")]
    [InlineData("PK", "is not a readable PyTorch checkpoint")]
    public void Contents_are_named(string content, string expected) => Refused(_folder.Write("weights.onnx", Encoding.Latin1.GetBytes(content)), expected);

    [Theory]
    [InlineData("is an ML.NET model", "TransformerChain/Model.key", "TrainingInfo/Version.txt")]
    [InlineData("is an Office document", "[Content_Types].xml", "word/document.xml")]
    [InlineData("is a Keras model that another program has packed", "readme.txt", "metadata.json", "config.json", "model.weights.h5")]
    [InlineData("is a NumPy .npz archive", "a.npy", "b.npy")]
    [InlineData("is a TorchScript archive", "m/data.pkl", "m/code/__torch__.py", "m/data/0")]
    [InlineData("is a TorchScript archive", "m/constants.pkl", "m/data.pkl")]
    [InlineData("is a TensorFlow SavedModel", "export/saved_model.pb", "export/variables/variables.index")]
    [InlineData("contains 'run/best.pth'. Unpack that file", "run/log.txt", "run/best.pth")]
    [InlineData("an archive of something else, with 'readme'", "readme")]
    [InlineData("an empty archive")]
    public void Zip_files_are_named_by_their_entries(string expected, params string[] names)
    {
        using (var zip = ZipFile.Open(_folder.File("a.pth"), ZipArchiveMode.Create))
        {
            foreach (string name in names)
            {
                using var entry = zip.CreateEntry(name, CompressionLevel.NoCompression).Open();
                entry.Write("\u0080\u0002N."u8);
            }
        }
        Refused(_folder.File("a.pth"), expected);
    }

    [Theory]
    [InlineData("sys_info", "is a tar file of a PyTorch before 0.2")]
    [InlineData("checkpoint.pth", "is a tar archive. Unpack it")]
    public void Tar_files_are_named(string entry, string expected)
    {
        using (var tar = new TarWriter(File.Create(_folder.File("a.pth.tar")), TarEntryFormat.Ustar, leaveOpen: false))
            tar.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, entry) { DataStream = new MemoryStream(new byte[700]) });
        Refused(_folder.File("a.pth.tar"), expected);
    }

    [Fact]
    public void A_folder_and_a_missing_file_are_IOExceptions()
    {
        string folder = Directory.CreateDirectory(_folder.File("weights.pth")).FullName;
        foreach (var read in (Action<string>[])[path => WeightsFile.Read(path), path => InferenceEngine.Open(path), path => PthReader.Read(path), path => SafetensorsReader.Read(path), path => OnnxReader.Read(path)])
        {
            Assert.Contains($"'{folder}' is a folder", Assert.Throws<IOException>(() => read(folder)).Message);
            Assert.Throws<FileNotFoundException>(() => read(_folder.File("none")));
        }
    }

    /// <summary>Whatever is left of a file, the error is one of the reader's or names no format at all.</summary>
    [Theory]
    [InlineData("cases/w-plain.pth")]
    [InlineData("checkpoints/beside-protocol2-legacy.pth")]
    [InlineData("checkpoints/beside-protocol1-legacy.pth")]
    [InlineData("cases/w-prefix-module.safetensors")]
    [InlineData("onnx/deploy.onnx")]
    [InlineData("keras/plain.h5")]
    [InlineData("keras/plain-tree.h5")]
    public void A_file_that_is_cut_off_is_refused(string name)
    {
        byte[] file = File.ReadAllBytes(GoldenFiles.PathOf(name));
        foreach (int length in Enumerable.Range(1, 40).Concat([100, 256, 300, 511, 512, 513, 1000, file.Length / 2, file.Length - 1]))
        {
            string path = _folder.Write("cut", file[..length]);
            string message = Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path)).Message;
            Assert.Contains($"'{path}'", message);
            if (!name.EndsWith(".onnx", StringComparison.Ordinal))
                Assert.DoesNotContain("ONNX file of", message);
        }
    }

    private static void Refused(string path, string expected)
    {
        foreach (var read in (Action[])[() => WeightsFile.Read(path), () => WeightsFile.ReadDeployNetwork(path), () => InferenceEngine.Open(path)])
        {
            string message = Assert.Throws<InvalidDataException>(read).Message;
            Assert.StartsWith($"'{path}'", message);
            Assert.Contains(expected, message);
            Assert.DoesNotContain("is not an ONNX file", message);
        }
    }

    /// <summary>Opening a pipe would wait for its writer, and a device has no end.</summary>
    [Fact]
    public void Pipes_and_devices_are_refused()
    {
        if (!OperatingSystem.IsLinux())
            return;
        string pipe = _folder.File("pipe"), link = _folder.File("link");
        using (var made = System.Diagnostics.Process.Start("mkfifo", [pipe]))
            made.WaitForExit();
        File.CreateSymbolicLink(link, pipe);
        foreach (string path in (string[])[pipe, link, "/dev/zero", "/dev/null"])
            Assert.Contains($"'{path}' is not a regular file", Assert.Throws<IOException>(() => WeightsFile.Read(path)).Message);
    }

    /// <summary>The bytes after the first ones vary, and could be read as the fields of an ONNX file.</summary>
    [Theory]
    [InlineData("BZh91AY&SY", "is a bzip2 file. Unpack it")]
    [InlineData("\u0028\u00b5\u002f\u00fd", "is a Zstandard file. Unpack it")]
    public void Compressed_files_are_named_whatever_follows(string start, string expected)
    {
        string path = _folder.File("packed");
        foreach (byte next in (byte[])[0, 8, 0x12, 0x3a, 0x80, 0xff])
        {
            File.WriteAllBytes(path, [.. System.Text.Encoding.Latin1.GetBytes(start), .. Enumerable.Repeat(next, 100)]);
            Assert.Contains($"'{path}' {expected}", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path)).Message);
        }
    }

    [Fact]
    public void A_missing_file_and_a_link_to_one_are_named()
    {
        string path = _folder.File("missing"), link = _folder.File("link");
        File.CreateSymbolicLink(link, path);
        Assert.Equal($"'{path}' does not exist.", Assert.Throws<FileNotFoundException>(() => WeightsFile.Read(path)).Message);
        Assert.Equal($"'{path}/a' does not exist.", Assert.Throws<FileNotFoundException>(() => WeightsFile.Read(path + "/a")).Message);
        Assert.Equal($"'{link}' is a link to a file that does not exist.", Assert.Throws<FileNotFoundException>(() => WeightsFile.Read(link)).Message);
    }
}
