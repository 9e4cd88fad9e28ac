using System.Runtime.InteropServices;
using CsCheck;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Tool.Weights;
using RepVgg.Testing;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Reliability.Tests.Properties;

/// <summary>What is written is read again, and nothing shorter is.</summary>
public class FileProperties
{
    private static readonly Dictionary<string, (Action<StateDict, string> Write, Func<string, StateDict> Read)> _formats = new()
    {
        ["safetensors"] = ((state, path) => SafetensorsWriter.Write(state, path), path => SafetensorsReader.Read(path)),
        ["pth"] = ((state, path) => PthWriter.Write(state, path), path => PthReader.Read(path)),
        ["checkpoint"] = ((state, path) => CheckpointFile.Write(path, "{}", state), path => CheckpointFile.Read(path).Tensors),
    };

    public static TheoryData<string> Formats => [.. _formats.Keys];

    [Theory]
    [MemberData(nameof(Formats))]
    public void Weights_of_any_names_and_shapes_are_read_as_they_were_written(string format) => RandomCases.States.Sample(
        state =>
        {
            using var folder = new TemporaryFolder();
            string path = folder.File("weights");
            _formats[format].Write(state, path);
            Equal(state, _formats[format].Read(path));
        }, print: Print);

    [Theory]
    [InlineData("safetensors")]
    [InlineData("pth")]
    public void A_network_is_read_as_it_was_written(string format) => RandomCases.Networks.Sample(
        network =>
        {
            using var folder = new TemporaryFolder();
            string path = folder.File("weights");
            var state = network.TrainingState;
            if (format == "pth")
                PthWriter.Write(state, path, network.Description);
            else
                SafetensorsWriter.Write(state, path, network.Description);
            var read = WeightsFile.Read(path);
            Equal(state, read.State);
            Assert.Equal(network.Architecture, read.Architecture);
            Assert.Equal((network.Classes, network.Height, network.Width), (read.Classes, read.Description!.ImageHeight, read.Description.ImageWidth));
            Equal(network.Normalization, read.Description.Normalization);
            Assert.Equal(network.Description.ClassLabels.ToArray(), read.Description.ClassLabels.ToArray());
        });

    [Fact]
    public void An_ONNX_network_is_read_as_it_was_written() => RandomCases.Networks.Sample(
        network =>
        {
            using var stream = new MemoryStream();
            var deployed = network.Deploy;
            OnnxWriter.Write(deployed, stream);
            stream.Position = 0;
            var read = OnnxReader.Read(stream);
            Assert.Equal((deployed.ImageHeight, deployed.ImageWidth), (read.ImageHeight, read.ImageWidth));
            Equal(deployed.Normalization, read.Normalization);
            Equal(deployed.ExportState(), read.ExportState());
        });

    [Theory]
    [MemberData(nameof(Formats))]
    public void A_file_that_is_cut_off_anywhere_is_refused(string format)
    {
        using var folder = new TemporaryFolder();
        string whole = folder.File("whole");
        _formats[format].Write(new StateDict { ["a"] = TensorData.Zeros(2, 3), ["b"] = TensorData.Zeros(4) }, whole);
        CheckCuts(File.ReadAllBytes(whole), (cut, path) => _formats[format].Read(path));
    }

    [Theory]
    [InlineData("strided-legacy")]
    [InlineData("dtypes-legacy")]
    public void A_file_of_PyTorch_that_is_cut_off_anywhere_is_refused(string name) =>
        CheckCuts(File.ReadAllBytes(GoldenFiles.PathOf(Path.Combine("pytorch", $"{name}.pth"))), (cut, _) => PthReader.Read(new MemoryStream(cut)));

    [Fact]
    public void An_IDX_file_that_is_cut_off_anywhere_is_refused()
    {
        byte[] labels = IdxBytes.Idx([0, 1], 2);
        CheckCuts(IdxBytes.Idx(new byte[8], 2, 2, 2), (cut, _) => IdxFiles.Read(new MemoryStream(cut), "images", new MemoryStream(labels), "labels"));
    }

    /// <summary>A gzip file can lack its end and have all values: .NET does not miss the checksum.</summary>
    [Fact]
    public void A_compressed_IDX_file_that_is_cut_off_anywhere_is_refused_or_has_all_values()
    {
        const int Count = 64, End = 12;
        byte[] values = [.. Enumerable.Range(0, Count).Select(i => (byte)(i * i))], file = IdxBytes.Gzip(IdxBytes.Idx(values, Count, 1, 1)), labels = IdxBytes.Idx(new byte[Count], Count);
        for (int length = 0; length < file.Length; length++)
        {
            try
            {
                var read = IdxFiles.Read(new MemoryStream(file, 0, length), "images", new MemoryStream(labels), "labels");
                Assert.InRange(length, file.Length - End, file.Length);
                Assert.Equal(values, Enumerable.Range(0, Count).Select(i => Pixel(read, i)));
            }
            catch (InvalidDataException)
            {
                // Most are refused.
            }
        }

        static byte Pixel(InMemorySamples samples, int index)
        {
            var pixel = new float[1];
            samples.Read(index, pixel);
            return (byte)pixel[0];
        }
    }

    [Fact]
    public void A_NumPy_file_that_is_cut_off_anywhere_is_refused()
    {
        using var folder = new TemporaryFolder();
        string whole = folder.File("whole");
        NumpyFile.Write(whole, new TensorData([2, 3], new float[6]));
        CheckCuts(File.ReadAllBytes(whole), (_, path) => NumpyFile.Read(path));
    }

    /// <summary>A prefix can be a sound ONNX file, without the fields at the end, but never with other weights.</summary>
    [Fact]
    public void An_ONNX_file_that_is_cut_off_anywhere_is_refused_or_has_the_same_weights()
    {
        using var stream = new MemoryStream();
        var network = RandomNetworks.Create(RandomNetworks.Architecture(1, 1, SqueezeExcitation.None, (2, 1, 1), (2, 1, 2)), 4, 4, 2);
        OnnxWriter.Write(network, stream);
        byte[] file = stream.ToArray();
        int read = 0;
        for (int length = 0; length < file.Length; length++)
        {
            try
            {
                Equal(network.ExportState(), OnnxReader.Read(new MemoryStream(file, 0, length)).ExportState());
                read++;
            }
            catch (InvalidDataException)
            {
                // Most are refused.
            }
        }
        Assert.InRange(read, 0, 20);
    }

    private static void CheckCuts(byte[] file, Action<byte[], string> read)
    {
        using var folder = new TemporaryFolder();
        for (int length = 0; length < file.Length; length++)
        {
            string path = folder.Write("cut", file[..length]);
            Assert.Throws<InvalidDataException>(() => read(file[..length], path));
        }
        read(file, folder.Write("cut", file));
    }

    private static void Equal(Normalization expected, Normalization actual)
    {
        Assert.Equal(expected.Mean.ToArray(), actual.Mean.ToArray());
        Assert.Equal(expected.Scale.ToArray(), actual.Scale.ToArray());
    }

    private static void Equal(StateDict expected, StateDict actual)
    {
        Assert.Equal(expected.Names, actual.Names);
        foreach (var (name, tensor) in expected)
        {
            Assert.Equal(tensor.Shape, actual[name].Shape);
            Assert.True(MemoryMarshal.AsBytes(tensor.Values.AsSpan()).SequenceEqual(MemoryMarshal.AsBytes(actual[name].Values.AsSpan())), name);
        }
    }

    private static string Print(StateDict state) => string.Join("; ", state.Select(entry => $"'{entry.Key}' {entry.Value}"));
}
