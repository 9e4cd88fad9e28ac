using System.Text.Json;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Tests.Weights.Onnx;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Weights.Keras;

public sealed class KerasReaderTests
{
    private static readonly JsonElement _manifest = JsonDocument.Parse(File.ReadAllText(Golden("manifest.json"))).RootElement;

    /// <summary>Every file with the inputs that there are logits for.</summary>
    public static TheoryData<string, string, int, int> Cases { get; } = new()
    {
        { "plain.h5", "plain", 32, 32 },
        { "plain.h5", "plain", 33, 33 },
        { "plain.h5", "plain", 30, 33 },
        { "plain-tree.h5", "plain", 32, 32 },
        { "plain-tree.h5", "plain", 30, 33 },
        { "plain.weights.h5", "plain", 32, 32 },
        { "plain.weights.h5", "plain", 33, 33 },
        { "whole.h5", "whole", 32, 32 },
        { "se.h5", "se", 32, 32 },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_are_those_of_TensorFlow(string file, string network, int height, int width)
    {
        var deploy = Read(file, height, width).ToDeployNetwork();
        float[] expected = Logits(network, height, width);

        Compare.Close(expected, Run(deploy, Input(network, height, width)), 1e-5, file);
    }

    [Theory]
    [InlineData("plain.h5", "plain", 32, 32)]
    [InlineData("plain.h5", "plain", 33, 33)]
    [InlineData("plain.h5", "plain", 30, 33)]
    [InlineData("se.h5", "se", 32, 32)]
    public void Fused_kernels_and_padding_are_those_of_the_golden_data(string file, string network, int height, int width)
    {
        var deploy = Read(file, height, width).ToDeployNetwork();
        var fused = PthReader.Read(Golden($"{network}-{height}x{width}-fused.pth"));

        foreach (var (i, block) in deploy.Blocks.Index())
        {
            Compare.Close(fused[$"{i}.weight"].Values, [.. block.Kernel], 1e-6, $"kernel {i}");
            Compare.Close(fused[$"{i}.bias"].Values, [.. block.Bias], 1e-6, $"bias {i}");
            // Golden pads are top, bottom, left, right.
            float[] pads = fused[$"{i}.pads_top_bottom_left_right"].Values;
            Assert.Equal([pads[0], pads[2]], [block.Shape.PaddingTop, (float)block.Shape.PaddingLeft]);
        }
        Assert.False(fused.Contains($"{deploy.Blocks.Length}.weight"));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Networks_are_exported_to_ONNX_and_read_back(string file, string network, int height, int width)
    {
        var deploy = Read(file, height, width).ToDeployNetwork();
        float[] input = Input(network, height, width), expected = Logits(network, height, width);
        using var folder = new TemporaryFolder();
        string path = folder.File("network.onnx");
        OnnxWriter.Write(deploy, path);

        OnnxRuntimeCheck.Agrees(deploy, input.Length / (3 * height * width), input, expected, 1e-5);
        Compare.Close(expected, Run(OnnxReader.Read(path), input), 1e-5, "read back");
        using var engine = InferenceEngine.Open(path);
        Compare.Close(expected, Run(engine, input), 1e-5, "opened");
    }

    [Theory]
    [InlineData("plain.h5", "plain", "Keras 2.4.0, weights")]
    [InlineData("plain.weights.h5", "plain", "Keras 3, weights")]
    [InlineData("whole.h5", "whole", "Keras 2.4.0, a whole model")]
    [InlineData("se.h5", "se", "Keras 2.15.0, weights")]
    public void The_network_is_found_from_the_layers(string file, string network, string origin)
    {
        var weights = Read(file, 32, 32);
        var golden = _manifest.GetProperty(network);

        Assert.Equal(WeightsForm.Training, weights.Form);
        Assert.Equal(origin, weights.Origin);
        Assert.Equal(golden.GetProperty("classes").GetInt32(), weights.Classes);
        Assert.Equal(1e-3f, weights.Architecture.BatchNormEpsilon);
        Assert.Equal(golden.GetProperty("squeeze_excitation").GetBoolean() ? SqueezeExcitation.BeforeRelu : SqueezeExcitation.None, weights.Architecture.SqueezeExcitation);
        foreach (var (block, shape) in golden.GetProperty("blocks").EnumerateArray().Zip(weights.Architecture.Blocks))
        {
            Assert.Equal(
                (block.GetProperty("inputs").GetInt32(), block.GetProperty("outputs").GetInt32(), block.GetProperty("stride").GetInt32(), block.GetProperty("groups").GetInt32(), block.TryGetProperty("identity_bn", out _)),
                (shape.InputChannels, shape.OutputChannels, shape.Stride, shape.Groups, shape.HasIdentity));
        }
        Assert.Equal(golden.GetProperty("depths").GetArrayLength() + 1, weights.Architecture.Stages.Length);
    }

    [Fact]
    public void All_layouts_of_a_file_give_the_same_weights()
    {
        var expected = Read("plain.h5", 32, 32).State;

        foreach (string file in (string[])["plain-tree.h5", "plain.weights.h5"])
        {
            var state = Read(file, 32, 32).State;
            Assert.Equal(expected.Names, state.Names);
            foreach (var (name, tensor) in expected)
                Assert.Equal(tensor.Values, state[name].Values);
        }
    }

    [Fact]
    public void The_training_form_computes_what_the_deploy_form_computes_for_even_and_odd_sizes()
    {
        foreach (var (height, width) in ((int, int)[])[(32, 32), (33, 33), (30, 33)])
        {
            var weights = Read("plain.h5", height, width);
            var deploy = weights.ToDeployNetwork();
            var report = RepVgg.Diagnostics.FusionCheck.Compare(weights.Architecture, weights.State, deploy);

            Assert.True(report.Largest <= 1e-5, $"{height} x {width}: {report.Largest}");
        }
    }

    [Fact]
    public void What_the_file_does_not_say_is_assumed()
    {
        var weights = WeightsFile.Read(Golden("plain.h5"), new WeightsFileOptions { Warn = _ => { } });

        Assert.Equal(
            [WeightsAssumptionKind.Strides, WeightsAssumptionKind.BatchNormEpsilon, WeightsAssumptionKind.ImageSize, WeightsAssumptionKind.Normalization],
            weights.Assumptions.Select(assumption => assumption.Kind));
        Assert.Contains("0.001 (Keras' default)", weights.Assumptions[1].Text);
        Assert.Equal(1e-5f, WeightsFile.Read(Golden("plain.h5"), new WeightsFileOptions { BatchNormEpsilon = 1e-5f, Warn = _ => { } }).Architecture.BatchNormEpsilon);
    }

    [Fact]
    public void Weights_of_Keras_3_need_the_depths_where_widths_do_not_tell_the_stages()
    {
        string path = Golden("plain.weights.h5");

        Assert.Contains("the option Depths", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path)).Message);
        Assert.Contains("has 9 blocks in all, and the file has 8", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path, new WeightsFileOptions { Depths = [1, 1, 3, 3, 1] })).Message);
        Assert.Contains("three batch norms, but 8 input and 16 output channels", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path, new WeightsFileOptions { Depths = [1, 2, 1, 3, 1] })).Message);
        Assert.Contains("Depths is 1, 1, 1, 4, 1", Assert.Throws<ArgumentException>(() => WeightsFile.Read(Golden("plain.h5"), new WeightsFileOptions { Depths = [1, 1, 1, 4, 1] })).Message);
    }

    [Fact]
    public void Images_of_another_size_are_refused_where_the_padding_differs()
    {
        var deploy = Read("plain.h5", 32, 32).ToDeployNetwork();

        var error = Assert.Throws<ArgumentException>(() => new InferenceEngine(deploy with { ImageHeight = 33 }));
        Assert.Contains("padded on one side", error.Message);
        Assert.Contains("33", error.Message);
    }

    [Fact]
    public void Weights_under_the_names_of_PyTorch_do_not_tell_the_padding()
    {
        var error = Assert.Throws<InvalidOperationException>(() => Read("plain.h5", 32, 32).ToDeployNetwork().ExportState());
        Assert.Contains("padded on one side", error.Message);

        Assert.NotEmpty(Read("plain.h5", 33, 33).ToDeployNetwork().ExportState().Names);
    }

    private static string Golden(string name) => GoldenFiles.PathOf(Path.Combine("keras", name));

    private static LoadedWeights Read(string file, int height, int width) => WeightsFile.Read(
        Golden(file), new WeightsFileOptions { ImageHeight = height, ImageWidth = width, Normalization = Normalization.Identity(3), Depths = file.EndsWith(".weights.h5", StringComparison.Ordinal) ? [1, 1, 2, 3, 1] : null });

    private static float[] Input(string network, int height, int width) => GoldenFiles.Floats(Path.Combine("keras", $"{network}-{height}x{width}-input.npy")).Values;

    private static float[] Logits(string network, int height, int width) => GoldenFiles.Floats(Path.Combine("keras", $"{network}-{height}x{width}-logits.npy")).Values;

    private static float[] Run(DeployNetwork network, float[] images)
    {
        using var engine = new InferenceEngine(network);
        return Run(engine, images);
    }

    private static float[] Run(InferenceEngine engine, float[] images)
    {
        int count = images.Length / engine.InputLength;
        var logits = new float[count * engine.OutputLength];
        engine.Run(images, count, logits);
        return logits;
    }
}
