using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using TorchSharp;
using Xunit;
using F = TorchSharp.torch.nn.functional;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp.Tests;

public class PspNetTests
{
    [TorchSharpTheory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_module_computes_what_the_engine_does(bool alignCorners)
    {
        const int Height = 65, Width = 57;
        using var scope = torch.NewDisposeScope();
        var architecture = RandomSegmentation.Architecture(5, 12, 1, 2, 3, 6) with { AlignCorners = alignCorners };
        var state = RandomSegmentation.Training(architecture);
        var images = RandomStates.Images(2, 3, Height, Width);
        using var network = new PspNet(architecture);
        network.ImportState(state);
        network.eval();
        using var mode = torch.no_grad();
        var input = torch.tensor(images.Values).reshape(2, 3, Height, Width);

        var (logits, auxiliary) = network.ForwardWithAuxiliary(input);

        var fused = SegmentationNetwork.FromTrainingForm(architecture, state, Height, Width, Normalization.Identity(3));
        float[] expected = ReferenceSegmentation.Logits(fused, images.Values, 2);
        Compare.Close(expected, Values(logits), 2e-5);
        Assert.Equal(logits.shape, auxiliary!.shape);
        Assert.Equal(Values(logits), Values(network.call(input)));
        Assert.Equal(architecture.Backbone.Blocks.Count(), network.SwitchToDeploy());
        Compare.Close(expected, Values(network.call(input)), 2e-5, "fused");
        using var engine = new SegmentationEngine(fused);
        float[] ofEngine = new float[expected.Length];
        engine.RunLogits(images.Values, 2, ofEngine);
        Compare.Close(ofEngine, Values(network.call(input)), 2e-5, "engine");

        // A module that is created in the fused form takes over the weights.
        using var deployed = new PspNet(architecture with { AuxiliaryWidth = 0 }, deploy: true);
        deployed.ImportState(network.ExportState());
        deployed.eval();
        Assert.Equal(Values(network.call(input)), Values(deployed.call(input)));
        Assert.Null(deployed.ForwardWithAuxiliary(input).Auxiliary);
    }

    /// <summary>Coloured rectangles on noise, whose class is their colour, are found after one epoch; the fused network and the engine give the same masks.</summary>
    [TorchSharpFact]
    public void A_network_is_trained_for_an_epoch_and_deployed()
    {
        const int Size = 65, Batch = 4, Steps = 40, Classes = 3;
        using var scope = torch.NewDisposeScope();
        torch.manual_seed(1);
        var architecture = RandomSegmentation.Architecture(Classes, 16, 1, 2, 3, 6);
        using var network = new PspNet(architecture);
        var heads = network.parameters().Except(network.Backbone.parameters());
        using var optimizer = torch.optim.SGD((IEnumerable<global::TorchSharp.Modules.SGD.ParamGroup>)[new(network.Backbone.parameters(), 0.02, 0.9), new(heads, 0.1, 0.9)], 0.02);
        var random = new Random(2);
        network.train();
        for (int step = 0; step < Steps; step++)
        {
            using var temporary = torch.NewDisposeScope();
            var (images, masks) = Rectangles(random, Batch, Size);
            foreach (var group in optimizer.ParamGroups)
                group.LearningRate = group.InitialLearningRate * Math.Pow(1 - (double)step / Steps, 0.9);
            optimizer.zero_grad();
            var (logits, auxiliary) = network.ForwardWithAuxiliary(images);
            using var weight = 0.4.ToScalar();
            var loss = F.cross_entropy(logits, masks, ignore_index: 255).add(F.cross_entropy(auxiliary!, masks, ignore_index: 255).mul(weight));
            loss.backward();
            optimizer.step();
        }

        network.eval();
        using var mode = torch.no_grad();
        var (pictures, labels) = Rectangles(random, 8, Size);
        var trained = network.ExportState();
        var before = network.call(pictures);
        double correct = before.argmax(1).eq(labels).to(torch.float64).mean().item<double>();
        double background = labels.eq(torch.zeros_like(labels)).to(torch.float64).mean().item<double>();
        Assert.True(correct > 0.9 && background < 0.8, $"{correct} of the pixels are classified correctly; {background} are background.");

        network.SwitchToDeploy();
        Compare.Close(Values(before), Values(network.call(pictures)), 1e-4, "fused");
        using var engine = new SegmentationEngine(SegmentationNetwork.FromTrainingForm(architecture, trained, Size, Size, Normalization.Identity(3)));
        float[] logitsOfEngine = new float[before.numel()];
        engine.RunLogits(Values(pictures), 8, logitsOfEngine);
        Compare.Close(Values(before), logitsOfEngine, 1e-4, "engine");
    }

    [TorchSharpFact]
    public void What_a_network_cannot_be_is_refused()
    {
        var architecture = RandomSegmentation.Architecture(3, 8, 1, 2, 6);
        Assert.Contains("dropout is 1", Assert.Throws<ArgumentException>(() => new PspNet(architecture, dropout: 1)).Message);
        Assert.Contains("0 classes", Assert.Throws<ArgumentException>(() => new PspNet(architecture with { Classes = 0 })).Message);
        using var network = new PspNet(architecture);
        using var small = torch.zeros(1, 3, 32, 32);
        using var grey = torch.zeros(1, 1, 64, 64);
        Assert.Contains("at least 41x41", Assert.Throws<ArgumentException>(() => network.call(small)).Message);
        Assert.Contains("[N, 3, H, W]", Assert.Throws<ArgumentException>(() => network.ForwardWithAuxiliary(grey)).Message);
        Assert.Contains("cls.4.weight", Assert.Throws<ArgumentException>(() => network.ImportState(RandomSegmentation.Training(architecture with { Classes = 4 }))).Message);
    }

    private static (Tensor Images, Tensor Masks) Rectangles(Random random, int count, int size)
    {
        var images = torch.randn(count, 3, size, size);
        var masks = torch.zeros(count, size, size, torch.int64);
        using var one = 1.ToScalar();
        using var two = 2.ToScalar();
        for (int n = 0; n < count * 2; n++)
        {
            int height = random.Next(size / 4, size / 2), width = random.Next(size / 4, size / 2), top = random.Next(size - height), left = random.Next(size - width), kind = random.Next(2);
            using var temporary = torch.NewDisposeScope();
            masks[n / 2].slice(0, top, top + height, 1).slice(1, left, left + width, 1).fill_(kind == 0 ? one : two);
            var area = images[n / 2].slice(1, top, top + height, 1).slice(2, left, left + width, 1);
            area.zero_();
            area[kind].fill_(two);
        }
        return (images, masks);
    }

    private static float[] Values(Tensor tensor) => tensor.detach().contiguous().data<float>().ToArray();
}
