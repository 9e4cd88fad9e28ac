using System.Buffers.Binary;
using System.Text;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights.Files;

/// <summary>Values that no trained network has are refused with the file, the tensor under its name in the file, and the index.</summary>
public sealed class StoredValuesTests : IDisposable
{
    private static readonly RepVggArchitecture _architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1), (8, 2, 1), (16, 2, 2));

    private static readonly WeightsFileOptions _quiet = new() { Warn = _ => { } };

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("stage1.0.rbr_dense.conv.weight", 575, float.NaN, "NaN at index [7, 7, 2, 2]")]
    [InlineData("stage0.rbr_dense.conv.weight", 0, float.PositiveInfinity, "Infinity at index [0, 0, 0, 0]")]
    [InlineData("stage2.1.rbr_identity.running_var", 3, float.NaN, "NaN at index [3]")]
    [InlineData("stage2.1.rbr_identity.running_var", 3, float.PositiveInfinity, "Infinity at index [3]")]
    [InlineData("stage2.0.rbr_1x1.bn.running_var", 15, -0.5f, "-0.5 at index [15]; a variance plus epsilon must be positive")]
    [InlineData("linear.bias", 1, float.NegativeInfinity, "-Infinity at index [1]")]
    public void An_invalid_value_is_named_in_every_format(string name, int index, float value, string expected)
    {
        var state = RandomStates.Training(_architecture, 2);
        Assert.Equal(-1, TensorData.IndexOfNonFinite(state[name].Values));
        state[name].Values[index] = value;

        PthWriter.Write(state, _folder.File("a.pth"));
        SafetensorsWriter.Write(state, _folder.File("a.safetensors"));
        SafetensorsWriter.Write(state, _folder.File("described"), new ModelDescription(_architecture, 2, 16, 16, Normalization.ImageNet, []));
        var run = new StateDict();
        foreach (var (tensor, values) in state)
            run[CheckpointFile.WeightsPrefix + tensor] = values;
        CheckpointFile.Write(_folder.File("checkpoint"), "{}", run);
        foreach (string file in (string[])["a.pth", "a.safetensors", "described", "checkpoint"])
            Refused(_folder.File(file), $"'{name}' holds {expected}");
        if (!float.IsFinite(value))
        {
            RefusedBy(PthReader.Read, PthReader.Read, "a.pth");
            RefusedBy(SafetensorsReader.Read, SafetensorsReader.Read, "a.safetensors");
        }

        PthWriter.Write(TimmNames.FromAuthors(state), _folder.File("timm"));
        Refused(_folder.File("timm"), expected);

        void RefusedBy(Func<string, StateDict> read, Func<Stream, StateDict> readStream, string file)
        {
            string path = _folder.File(file);
            Assert.StartsWith($"'{path}' cannot be used: '{name}' holds {expected}", Assert.Throws<InvalidDataException>(() => read(path)).Message);
            using var stream = new MemoryStream(File.ReadAllBytes(path));
            Assert.StartsWith($"The stream cannot be used: '{name}' holds {expected}", Assert.Throws<InvalidDataException>(() => readStream(stream)).Message);
        }
    }

    [Fact]
    public void An_invalid_value_of_the_deploy_form_is_named()
    {
        var state = RandomNetworks.Create(_architecture, 16, 16, 2).ExportState();
        state["stage2.0.rbr_reparam.bias"].Values[4] = float.NaN;
        PthWriter.Write(state, _folder.File("a"));
        Refused(_folder.File("a"), "'stage2.0.rbr_reparam.bias' holds NaN at index [4]");
    }

    /// <summary>The epsilon decides whether a variance that is slightly negative can be used.</summary>
    [Fact]
    public void A_variance_above_minus_epsilon_is_accepted()
    {
        var state = RandomStates.Training(_architecture, 2);
        state["stage0.rbr_dense.bn.running_var"].Values[0] = -1e-4f;
        PthWriter.Write(state, _folder.File("a"));
        Refused(_folder.File("a"), "'stage0.rbr_dense.bn.running_var' holds -0.0001 at index [0]");
        WeightsFile.ReadDeployNetwork(_folder.File("a"), new WeightsFileOptions { BatchNormEpsilon = 1e-3f, Warn = _ => { } });
    }

    /// <summary>Finite weights whose fused kernel or bias is not: an engine would compute NaN without a word.</summary>
    [Theory]
    [InlineData("rbr_dense.conv.weight", "fused kernel")]
    [InlineData("rbr_1x1.bn.running_mean", "fused bias")]
    public void Weights_that_overflow_when_they_are_fused_are_refused(string name, string expected)
    {
        var state = RandomStates.Training(_architecture, 2);
        Array.Fill(state[$"stage2.0.{name}"].Values, 3e38f);
        Array.Fill(state[$"stage2.0.{name.Split('.')[0]}.bn.weight"].Values, -3f);
        PthWriter.Write(state, _folder.File("a.pth"));
        SafetensorsWriter.Write(state, _folder.File("a.safetensors"), new ModelDescription(_architecture, 2, 16, 16, Normalization.ImageNet, []));
        foreach (string file in (string[])["a.pth", "a.safetensors"])
        {
            string path = _folder.File(file);
            foreach (var read in (Action[])[() => WeightsFile.ReadDeployNetwork(path, _quiet), () => InferenceEngine.Open(path, _quiet).Dispose()])
                Assert.StartsWith($"'{path}' cannot be used: The branches of stage2.0 cannot be fused: '{expected}' holds ", Assert.Throws<InvalidDataException>(read).Message);
            var weights = WeightsFile.Read(path, _quiet);
            Assert.StartsWith($"The weights cannot be used: The branches of stage2.0 cannot be fused: '{expected}' holds ", Assert.Throws<InvalidDataException>(weights.ToDeployNetwork).Message);
        }
        Assert.Contains(expected, Assert.Throws<OverflowException>(() => DeployNetwork.FromTrainingForm(_architecture, state, 16, 16, Normalization.ImageNet)).Message);
    }

    [Theory]
    [InlineData("\"mean\":[1,2]", "2 values for 3 channels")]
    [InlineData("\"mean\":[1,2,1e39]", "both must be finite")]
    [InlineData("\"scale\":[1,3e38,1]", "become infinite")]
    [InlineData("\"scale\":[1,0,1]", "its scale 0; both must be finite, and the scale not 0")]
    public void A_description_of_an_unusable_normalization_is_refused(string part, string expected)
    {
        string path = _folder.File("a.safetensors");
        SafetensorsWriter.Write(RandomStates.Training(_architecture, 2), path, new ModelDescription(_architecture, 2, 16, 16, new Normalization([1, 2, 3], [1, 1, 1]), []));
        string content = Encoding.Latin1.GetString(File.ReadAllBytes(path)), escaped = part.Replace("\"", "\\u0022", StringComparison.Ordinal);
        string name = escaped[..escaped.IndexOf('[', StringComparison.Ordinal)];
        int start = content.IndexOf(name, StringComparison.Ordinal), end = content.IndexOf(']', start) + 1;
        Assert.True(start > 0);
        content = content[..start] + escaped + content[end..];
        // The length of the header is the first number of the file.
        byte[] bytes = Encoding.Latin1.GetBytes(content);
        BinaryPrimitives.WriteInt64LittleEndian(bytes, BinaryPrimitives.ReadInt64LittleEndian(bytes) + escaped.Length - (end - start));
        File.WriteAllBytes(path, bytes);
        foreach (var read in (Action[])[() => WeightsFile.Read(path), () => SafetensorsReader.ReadDescription(path), () => InferenceEngine.Open(path).Dispose()])
            Assert.Contains(expected, Assert.Throws<InvalidDataException>(read).Message);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(67)]
    public void The_first_value_that_is_not_finite_is_found_at_every_position(int length)
    {
        float[] values = [.. Enumerable.Range(0, length).Select(i => i % 2 == 0 ? float.MaxValue : -float.Epsilon)];
        Assert.Equal(-1, TensorData.IndexOfNonFinite(values));
        for (int i = length - 1; i >= 0; i--)
        {
            values[i] = (i % 3) switch { 0 => float.NaN, 1 => float.PositiveInfinity, _ => float.NegativeInfinity };
            Assert.Equal(i, TensorData.IndexOfNonFinite(values));
        }
    }

    private static void Refused(string path, string expected)
    {
        foreach (var read in (Action[])[() => WeightsFile.Read(path, _quiet), () => WeightsFile.ReadDeployNetwork(path, _quiet), () => InferenceEngine.Open(path, _quiet).Dispose()])
        {
            string message = Assert.Throws<InvalidDataException>(read).Message;
            Assert.StartsWith($"'{path}' cannot be used: '", message);
            Assert.Contains(expected, message);
        }
    }
}
