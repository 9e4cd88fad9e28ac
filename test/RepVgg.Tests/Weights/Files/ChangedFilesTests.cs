using System.Runtime.InteropServices;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Runtime.Files;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights.Files;

/// <summary>Weights files that another program changes in place, truncates or replaces while they are read.</summary>
/// <remarks>Windows does not let a file be changed that is open for reading.</remarks>
public sealed class ChangedFilesTests : IDisposable
{
    private static readonly string[] _formats = ["onnx", "external", "safetensors", "pth", "checkpoint"], _changes = ["empty", "half", "other", "longer", "last byte"];
    private static readonly WeightsFileOptions _options = new() { ImageHeight = 32, Warn = _ => { } };

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Formats => [.. _formats];

    public static TheoryData<string, string> Changes
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (string format in _formats)
            {
                foreach (string change in _changes)
                    data.Add(format, change);
            }
            return data;
        }
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Changes))]
    public void A_file_that_changes_before_its_weights_are_read_is_refused(string format, string change)
    {
        if (OperatingSystem.IsWindows())
            return;
        // The file has just been written, so that time stamps of the system's usual resolution could be equal.
        var (path, changing, content, other) = Write(format);
        if (format is "onnx" or "external")
        {
            Refused(changing, () => WeightsFile.Use(path, _options, (network, _) =>
            {
                Change(changing, content, other, change);
                return Values(network);
            }));
            File.WriteAllBytes(changing, content);
        }
        Refused(changing, () => ByteSource.Use(path, file =>
        {
            var opened = WeightsFormat.Of(file).Open(file, _options);
            Change(changing, content, other, change);
            return opened.State.LoadAll();
        }));
        // The next reading finds a complete file, or a damaged one.
        File.WriteAllBytes(changing, content);
        InferenceEngine.Open(path, _options).Dispose();
    }

    [Theory]
    [MemberData(nameof(Changes))]
    public void A_file_that_changes_before_its_names_are_read_is_refused(string format, string change)
    {
        if (OperatingSystem.IsWindows())
            return;
        var (path, changing, content, other) = Write(format);
        if (format == "external" && change != "other")
            return; // the second file is not open yet; it is then a short or a long file
        Refused(format == "external" ? path : changing, () => ByteSource.Use(path, file =>
        {
            Change(format == "external" ? path : changing, format == "external" ? File.ReadAllBytes(path) : content, other, change);
            return WeightsFormat.Of(file).Open(file, _options).State.LoadAll();
        }));
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void A_file_that_is_replaced_while_it_is_read_is_the_old_one(string format)
    {
        if (OperatingSystem.IsWindows())
            return;
        var (path, changing, _, other) = Write(format);
        float[] expected = WeightsFile.Use(path, _options, (network, _) => Values(network));
        float[] Read() => WeightsFile.Use(path, _options, (network, _) =>
        {
            File.Move(_folder.Write("new", other), changing, overwrite: true);
            return Values(network);
        });
        // Two files that belong together may be those of two models if one of them was replaced.
        if (format == "external")
            Refused(changing, Read);
        else
            Assert.Equal(expected, Read());
        Assert.NotEqual(expected, WeightsFile.Use(path, _options, (network, _) => Values(network)));
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void An_engine_from_a_file_that_is_written_again_and_again_is_that_of_one_content(string format)
    {
        var (path, changing, content, other) = Write(format);
        float[] first = Logits(InferenceEngine.Open(path, _options));
        File.WriteAllBytes(changing, other);
        float[] second = Logits(InferenceEngine.Open(path, _options));
        Assert.NotEqual(first, second);

        bool done = false;
        var writer = new Thread(() =>
        {
            var random = new Random(1);
            while (!Volatile.Read(ref done))
            {
                try
                {
                    Change(changing, content, other, _changes[random.Next(_changes.Length)]);
                    Change(changing, content, content, "other");
                }
                catch (IOException)
                {
                    // Windows: the file is open.
                }
                Thread.Sleep(random.Next(60));
            }
        });
        writer.Start();
        try
        {
            for (int i = 0; i < 50; i++)
            {
                try
                {
                    float[] logits = Logits(InferenceEngine.Open(path, _options));
                    Assert.True(logits.AsSpan().SequenceEqual(first) || logits.AsSpan().SequenceEqual(second), "The engine has weights of both contents.");
                }
                catch (Exception error) when (error is IOException or InvalidDataException)
                {
                    Assert.Contains(_folder.Path, error.Message);
                }
            }
        }
        finally
        {
            Volatile.Write(ref done, true);
            writer.Join();
        }
    }

    /// <summary>Writes a network.</summary>
    /// <returns>Path of the network; the file that holds its weights, the content of that file, and a content of the same length with other weights.</returns>
    private (string Path, string Changing, byte[] Content, byte[] Other) Write(string format)
    {
        string path = _folder.File(format);
        if (format == "external")
        {
            File.Copy(GoldenFiles.CaseOf("o-external.onnx"), path);
            string data = _folder.File("o-external.onnx.data");
            File.Copy(GoldenFiles.CaseOf("o-external.onnx.data"), data);
            byte[] values = File.ReadAllBytes(data), half = (byte[])values.Clone();
            foreach (ref float value in MemoryMarshal.Cast<byte, float>(half.AsSpan()))
                value /= 2;
            return (path, data, values, half);
        }
        byte[] other = Content(2), content = Content(1);
        Assert.Equal(content.Length, other.Length);
        return (path, path, content, other);

        byte[] Content(int seed)
        {
            var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (16, 1, 1), (16, 2, 2), (32, 2, 2));
            if (format == "onnx")
            {
                OnnxWriter.Write(RandomNetworks.Create(architecture, 32, 32, 5, seed), path);
                return File.ReadAllBytes(path);
            }
            var state = RandomStates.Training(architecture, 5, seed);
            switch (format)
            {
                case "safetensors": SafetensorsWriter.Write(state, path); break;
                case "pth": PthWriter.Write(state, path); break;
                default:
                    var run = new StateDict();
                    foreach (var (name, tensor) in state)
                        run[CheckpointFile.WeightsPrefix + name] = tensor;
                    CheckpointFile.Write(path, "{}", run);
                    break;
            }
            return File.ReadAllBytes(path);
        }
    }

    /// <summary>Changes a file in place.</summary>
    private static void Change(string path, byte[] content, byte[] other, string change)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, 0);
        switch (change)
        {
            case "empty": file.SetLength(0); break;
            case "half": file.SetLength(content.Length / 2); break;
            case "other":
                // One call of the system: a writer that pauses between two for longer than the reading takes is not noticed.
                file.Write(other);
                file.SetLength(other.Length);
                break;
            case "longer":
                file.Position = content.Length;
                file.WriteByte(0);
                break;
            default:
                file.Position = content.Length - 1;
                file.WriteByte(content[^1]);
                break;
        }
    }

    private static void Refused<T>(string path, Func<T> open)
    {
        var error = Assert.ThrowsAny<IOException>(() => open());
        Assert.Equal($"'{path}' was changed while it was read. Read it again when the program that writes it has finished.", error.Message);
    }

    private static float[] Values(NetworkSource network) => [.. network.Blocks.SelectMany(block => block.Kernel.Read().Concat(block.Bias.Read())), .. network.Classifier.Weight.Read(), .. network.Classifier.Bias.Read()];

    private static float[] Logits(InferenceEngine engine)
    {
        using (engine)
        {
            float[] pixels = [.. Enumerable.Range(0, engine.InputLength).Select(i => (float)(i * 7 % 256))], logits = new float[engine.OutputLength];
            engine.Run(pixels, 1, logits);
            return logits;
        }
    }
}
