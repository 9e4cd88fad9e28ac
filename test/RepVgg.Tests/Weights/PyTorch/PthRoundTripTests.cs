using System.IO.Compression;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Tests.Weights.PyTorch;

public class PthRoundTripTests
{
    public static TheoryData<string> Golden => GoldenNetworks.Names;

    [Theory]
    [MemberData(nameof(Golden))]
    public void Both_forms_come_back_bit_for_bit(string name)
    {
        var training = GoldenNetworks.TrainingState(name);
        AssertSame(training, RoundTrip(training));
        var input = GoldenNetworks.Input(name);
        var deploy = DeployNetwork.FromTrainingForm(GoldenNetworks.All[name], training, input.Shape[2], input.Shape[3], Normalization.Identity(3)).ExportState();
        AssertSame(deploy, RoundTrip(deploy));
        PyTorchFiles.Write($"{name}-train", training, input, GoldenFiles.Floats($"{name}-logits-train.npy"));
        PyTorchFiles.Write($"{name}-deploy", deploy, input, GoldenFiles.Floats($"{name}-logits-deploy.npy"));
    }

    [Fact]
    public void Batch_counters_are_left_out()
    {
        Assert.DoesNotContain(GoldenNetworks.TrainingState("tiny").Names, name => name.Contains("num_batches_tracked"));
    }

    [Fact]
    public void Unusual_shapes_come_back()
    {
        var state = new StateDict
        {
            ["scalar"] = new TensorData([], [1.5f]),
            ["empty"] = new TensorData([0, 3], []),
            ["five"] = new TensorData([1, 2, 1, 2, 1], [1, float.MinValue, -float.Epsilon, -0f]),
            ["name with ü and \"quotes\""] = new TensorData([2], [float.MaxValue, float.Epsilon]),
        };
        AssertSame(state, RoundTrip(state));
    }

    [Fact]
    public void The_file_is_a_sound_zip_with_aligned_storages()
    {
        using var stream = new MemoryStream();
        PthWriter.Write(GoldenNetworks.TrainingState("tiny"), stream);
        using var zip = new ZipArchive(stream, ZipArchiveMode.Read);
        Assert.Equal(["archive/data.pkl", "archive/byteorder", "archive/data/0"], zip.Entries.Take(3).Select(entry => entry.FullName));
        byte[] file = stream.ToArray();
        foreach (var (i, (_, tensor)) in GoldenNetworks.TrainingState("tiny").Index())
        {
            using var content = zip.GetEntry($"archive/data/{i}")!.Open();
            var bytes = new MemoryStream();
            content.CopyTo(bytes);
            byte[] expected = System.Runtime.InteropServices.MemoryMarshal.AsBytes(tensor.Values.AsSpan()).ToArray();
            Assert.Equal(expected, bytes.ToArray());
            int at = file.AsSpan().IndexOf(expected);
            Assert.True(at % 64 == 0 || tensor.Values.Length < 16, $"storage {i} begins at {at}");
        }
    }

    /// <summary>The check value of CRC-32 ("123456789"), from the catalogue of parametrised CRC algorithms.</summary>
    [Fact]
    public void The_checksum_is_that_of_zip_files()
    {
        var crc = new Crc32();
        crc.Append("12345"u8);
        crc.Append("6789"u8);
        Assert.Equal(0xCBF43926u, crc.Value);
        var whole = new Crc32();
        whole.Append("The quick brown fox jumps over the lazy dog"u8);
        Assert.Equal(0x414FA339u, whole.Value);
    }

    [Fact]
    public void Equal_weights_give_equal_files()
    {
        byte[] Written()
        {
            using var stream = new MemoryStream();
            PthWriter.Write(GoldenNetworks.TrainingState("tiny-se"), stream);
            return stream.ToArray();
        }
        Assert.Equal(Written(), Written());
    }

    [Fact]
    public void A_file_that_cannot_be_written_is_said()
    {
        string path = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"), "weights.pth");
        Assert.Contains("does not exist", Assert.Throws<DirectoryNotFoundException>(() => PthWriter.Write(GoldenNetworks.TrainingState("tiny"), path)).Message);
        Assert.Contains("it is a folder", Assert.Throws<IOException>(() => PthWriter.Write(GoldenNetworks.TrainingState("tiny"), Path.GetTempPath().TrimEnd('/'))).Message);
    }

    private static StateDict RoundTrip(StateDict state)
    {
        using var stream = new MemoryStream();
        PthWriter.Write(state, stream);
        stream.Position = 0;
        return PthReader.Read(stream);
    }

    internal static void AssertSame(StateDict expected, StateDict actual)
    {
        Assert.Equal(expected.Names, actual.Names);
        foreach (var (name, tensor) in expected)
        {
            Assert.Equal(tensor.Shape, actual[name].Shape);
            Assert.Equal(tensor.Values.Select(BitConverter.SingleToInt32Bits), actual[name].Values.Select(BitConverter.SingleToInt32Bits));
        }
    }
}
