using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Tests.Weights.Onnx;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights.Files;

public class WeightsFileTests
{
    /// <summary>The variants that timm and MMPretrain publish.</summary>
    public static TheoryData<string> Published => [.. RepVggVariants.All.Select(variant => variant.Name[7..]).Where(name => name[0] is 'A' or 'B' || name == "D2se")];

    /// <summary>The depths, groups and squeeze-and-excitation of the variant, with narrow stages.</summary>
    [Theory]
    [MemberData(nameof(Published))]
    public void Published_variants_go_to_other_libraries_and_back(string name)
    {
        const int Classes = 7;
        using var folder = new TemporaryFolder();
        var variant = RepVggVariants.Find(name);
        int divisor = variant.SqueezeExcitation == SqueezeExcitation.None ? 8 : 4;
        var architecture = variant with { Stages = [.. variant.Stages.Select(stage => stage with { Width = stage.Width / divisor })] };
        var training = RandomStates.Training(architecture, Classes);
        var network = DeployNetwork.FromTrainingForm(architecture, training, 64, 64, Normalization.ImageNet);
        float[] pixels = RandomNetworks.Pixels(network, 1), expected = Logits(network);
        foreach (var state in (StateDict[])[training, network.ExportState()])
        {
            SafetensorsWriter.Write(TimmNames.FromAuthors(state), folder.File("timm.safetensors"));
            Check("timm.safetensors", "timm");
            // MMPretrain's deploy form leaves out squeeze-and-excitation.
            if (state == training || variant.SqueezeExcitation == SqueezeExcitation.None)
            {
                PthWriter.Write(MmPretrainNames.FromAuthors(state), folder.File("mmpretrain.pth"));
                Check("mmpretrain.pth", "MMPretrain");
            }
        }

        void Check(string file, string origin)
        {
            var weights = WeightsFile.Read(folder.File(file));
            Assert.Equal(origin, weights.Origin);
            Assert.Equal(Classes, weights.Classes);
            Assert.Equal(architecture.Blocks.Select(block => (block.Name, block.Stride, block.Groups, block.SqueezeExcitation)), weights.Architecture.Blocks.Select(block => (block.Name, block.Stride, block.Groups, block.SqueezeExcitation)));
            Assert.Contains(weights.Assumptions, assumption => $"{assumption}".Contains(origin));
            // Their normalisation is that of ImageNet.
            Compare.Close(expected, Logits(WeightsFile.ReadDeployNetwork(folder.File(file), new WeightsFileOptions { ImageHeight = 64, ImageWidth = 64 })), 1e-5);
        }

        float[] Logits(DeployNetwork deploy)
        {
            using var engine = new InferenceEngine(deploy);
            float[] logits = new float[Classes];
            engine.Run(pixels, 1, logits);
            return logits;
        }
    }

    public static TheoryData<string> Golden => GoldenNetworks.Names;

    /// <summary>From the authors' checkpoint through every format and back: the logits stay theirs.</summary>
    [Theory]
    [MemberData(nameof(Golden))]
    public void Every_path_keeps_the_logits(string name)
    {
        using var folder = new TemporaryFolder();
        var input = GoldenNetworks.Input(name);
        var training = WeightsFile.Read(GoldenFiles.PathOf($"{name}-train.pth"));
        Assert.Equal(WeightsForm.Training, training.Form);
        OnnxRoundTripTests.AssertSame(
            DeployNetwork.FromTrainingForm(training.Architecture, training.State, input.Shape[2], input.Shape[3], Normalization.Identity(3)),
            WeightsFile.ReadDeployNetwork(GoldenFiles.PathOf($"{name}-train.pth"), new WeightsFileOptions { ImageHeight = input.Shape[2], ImageWidth = input.Shape[3], Normalization = Normalization.Identity(3) }));
        Check(training, 1e-5);

        PthWriter.Write(training.State, folder.File("training.pth"));
        Check(WeightsFile.Read(folder.File("training.pth")), 1e-5);
        SafetensorsWriter.Write(training.State, folder.File("training.safetensors"));
        Check(WeightsFile.Read(folder.File("training.safetensors")), 1e-5);
        if (!training.Architecture.PlusLayout)
        {
            PthWriter.Write(TimmNames.FromAuthors(training.State), folder.File("timm.bin"));
            Check(WeightsFile.Read(folder.File("timm.bin")), 1e-5);
        }

        var network = DeployNetwork.FromTrainingForm(training.Architecture, training.State, input.Shape[2], input.Shape[3], Normalization.Identity(3));
        PthWriter.Write(network.ExportState(), folder.File("deploy.pth"));
        Check(WeightsFile.Read(folder.File("deploy.pth")), 1e-5);
        SafetensorsWriter.Write(network.ExportState(), folder.File("deploy.safetensors"), network.Describe());
        Check(WeightsFile.Read(folder.File("deploy.safetensors")), 1e-5);
        OnnxWriter.Write(network, folder.File("deploy.onnx"));
        Check(WeightsFile.Read(folder.File("deploy.onnx")), 1e-5);
        OnnxWriter.Write(network, folder.File("half.onnx"), new OnnxExportOptions { Precision = OnnxPrecision.Half });
        Check(WeightsFile.Read(folder.File("half.onnx")), 2e-3);

        void Check(LoadedWeights weights, double tolerance)
        {
            var deployed = weights.Form == WeightsForm.Training
                ? DeployNetwork.FromTrainingForm(weights.Architecture, weights.State, input.Shape[2], input.Shape[3], Normalization.Identity(3))
                : DeployNetwork.FromDeployForm(weights.Architecture, weights.State, input.Shape[2], input.Shape[3], Normalization.Identity(3));
            float[] expected = GoldenFiles.Floats($"{name}-logits-deploy.npy").Values;
            var logits = new float[expected.Length];
            using var engine = new InferenceEngine(deployed);
            engine.Run(input.Values, 2, logits);
            Compare.Close(expected, logits, tolerance, $"{name}, {weights.Form}");
        }
    }

    [Fact]
    public void A_description_goes_before_inference()
    {
        using var folder = new TemporaryFolder();
        var architecture = GoldenNetworks.All["tiny"] with { Name = "mine", DefaultImageSize = 48 };
        var description = new ModelDescription(architecture, 10, 48, 48, Normalization.Identity(3), []);
        SafetensorsWriter.Write(GoldenNetworks.TrainingState("tiny"), folder.File("a"), description);
        var weights = WeightsFile.Read(folder.File("a"));
        Assert.Equal(architecture, weights.Architecture);
        Assert.Equal(48, weights.Description!.ImageHeight);
        Assert.Equal(10, weights.Classes);
        Assert.Null(WeightsFile.Read(GoldenFiles.PathOf("tiny-train.pth")).Description);

        var network = WeightsFile.ReadDeployNetwork(folder.File("a"));
        Assert.Equal((48, 48), (network.ImageHeight, network.ImageWidth));
        network = WeightsFile.ReadDeployNetwork(folder.File("a"), new WeightsFileOptions { ImageHeight = 64, ImageWidth = 40, Normalization = new Normalization([1, 2, 3], [4, 5, 6]) });
        Assert.Equal((64, 40, 6f), (network.ImageHeight, network.ImageWidth, network.Normalization.Scale[2]));
        Assert.Contains("too small", Assert.Throws<ArgumentException>(() => WeightsFile.ReadDeployNetwork(folder.File("a"), new WeightsFileOptions { ImageHeight = 8 })).Message);
        Assert.Equal(224, WeightsFile.ReadDeployNetwork(GoldenFiles.PathOf("tiny-deploy.pth")).ImageWidth);
    }

    [Theory]
    [InlineData("")]
    [InlineData("hello world, this is a text")]
    [InlineData("PK\u0003\u0004 hello")]
    [InlineData("\u0080\u0002N.")]
    [InlineData("{\"a\": 1}")]
    public void Anything_else_is_refused_with_its_path(string content)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("weights", System.Text.Encoding.Latin1.GetBytes(content));
        Assert.Contains($"'{path}'", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path)).Message);
    }

    [Fact]
    public void Weights_of_another_network_are_refused_with_their_path()
    {
        string path = GoldenFiles.PathOf(Path.Combine("pytorch", "module.pth"));
        string message = Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path)).Message;
        Assert.Contains($"'{path}' holds no weights of a RepVGG", message);
    }
}
