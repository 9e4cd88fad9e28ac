using RepVgg.Runtime.Files;
using RepVgg.Testing;
using RepVgg.Networks;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights.Files;

public sealed class WeightsFormatTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Formats_are_detected_by_the_content()
    {
        var state = GoldenNetworks.TrainingState("tiny");
        string path = _folder.File("weights");
        Detected("safetensors", () => SafetensorsWriter.Write(state, path));
        Detected("PyTorch", () => PthWriter.Write(state, path));
        Detected("training checkpoint", () => CheckpointFile.Write(path, "{}", state));
        Detected("ONNX", () => OnnxWriter.Write(DeployNetwork.FromTrainingForm(GoldenNetworks.All["tiny"], state, 32, 32, global::RepVgg.Architectures.Normalization.Identity(3)), path));
        File.WriteAllText(path, "a text");
        Assert.Contains("is a text file", Assert.Throws<InvalidDataException>(() => ByteSource.Use(path, WeightsFormat.Of)).Message);

        void Detected(string name, Action write)
        {
            write();
            Assert.Equal(name, ByteSource.Use(path, WeightsFormat.Of).Name);
        }
    }

    [Theory]
    [InlineData("tiny-train.pth")]
    [InlineData("pytorch/strided-zip.pth")]
    [InlineData("pytorch/strided-legacy.pth")]
    [InlineData("pytorch/dtypes-zip.pth")]
    public void Ranges_of_values_are_those_of_the_whole_tensor(string name)
    {
        string path = GoldenFiles.PathOf(name);
        CheckRanges(path);
    }

    [Fact]
    public void Ranges_of_safetensors_are_those_of_the_whole_tensor()
    {
        SafetensorsWriter.Write(GoldenNetworks.TrainingState("tiny"), _folder.File("a"));
        CheckRanges(_folder.File("a"));
    }

    private static void CheckRanges(string path) => ByteSource.Use(path, file =>
    {
        var opened = WeightsFormat.Of(file).Open(file, new WeightsFileOptions());
        float[] buffer = [];
        foreach (var (_, tensor) in opened.State)
        {
            float[] whole = tensor.Read();
            int third = whole.Length / 3;
            Assert.False(tensor.IsInMemory);
            Assert.Equal(whole[third..], tensor.Read(third, whole.Length - third, ref buffer).ToArray());
            Assert.Equal(whole[..third], tensor.Read(0, third, ref buffer).ToArray());
        }
        return opened;
    });
}
