using RepVgg.Architectures;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using RepVgg.Weights;
using TorchSharp;
using Xunit;
using F = TorchSharp.torch.nn.functional;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp.Tests;

public class ModuleTests
{
    public static TheoryData<string> Names => GoldenNetworks.Names;

    [TorchSharpTheory]
    [MemberData(nameof(Names))]
    public void Backbones_and_their_fused_form_give_the_authors_logits(string name)
    {
        using var scope = torch.NewDisposeScope();
        var state = GoldenNetworks.TrainingState(name);
        var expected = GoldenFiles.Floats($"{name}-logits-train.npy");
        using var backbone = new RepVggBackbone(GoldenNetworks.All[name]);
        backbone.ImportState(state);
        backbone.eval();
        var images = ToTensor(GoldenNetworks.Input(name));
        Compare.Close(expected.Values, Logits(backbone, images, state), 1e-5);

        int blocks = GoldenNetworks.All[name].Blocks.Count();
        Assert.Equal(blocks, backbone.SwitchToDeploy());
        Assert.Equal(0, backbone.SwitchToDeploy());
        Compare.Close(expected.Values, Logits(backbone, images, state), 1e-5);

        var deploy = GoldenNetworks.DeployState(name);
        var exported = backbone.ExportState();
        Assert.Equal(deploy.Names.Where(key => !key.StartsWith("linear.", StringComparison.Ordinal) && !key.Contains("_aux", StringComparison.Ordinal)).Order(), exported.Names.Order());
        foreach (var (key, tensor) in exported)
            Compare.Close(deploy[key].Values, tensor.Values, 1e-5, key);
        using var fromFile = new RepVggBackbone(GoldenNetworks.All[name], deploy: true);
        fromFile.ImportState(deploy);
        fromFile.eval();
        Compare.Close(expected.Values, Logits(fromFile, images, state), 1e-5);
    }

    [TorchSharpTheory]
    [MemberData(nameof(Names))]
    public void Weights_go_out_under_the_authors_names(string name)
    {
        using var backbone = new RepVggBackbone(GoldenNetworks.All[name]);
        var state = GoldenNetworks.TrainingState(name);
        backbone.ImportState(state);
        var exported = backbone.ExportState();
        Assert.Equal(
            state.Names.Where(key => !key.StartsWith("linear.", StringComparison.Ordinal) && !key.Contains("_aux", StringComparison.Ordinal) && !key.EndsWith("num_batches_tracked", StringComparison.Ordinal)).Order(),
            exported.Names.Order());
        Assert.All(exported, item => Assert.Equal(state[item.Key].Values, item.Value.Values));
    }

    public static TheoryData<TrainingForm> Forms => [.. Enum.GetValues<TrainingForm>()];

    [TorchSharpTheory]
    [MemberData(nameof(Forms))]
    public void Blocks_of_every_form_are_PyTorchs_and_fuse(TrainingForm form)
    {
        using var scope = torch.NewDisposeScope();
        var golden = GoldenFiles.Block(form, "grouped");
        using var block = new RepVggBlock(new BlockSpec("", 6, 6, 1, 2, SqueezeExcitation.None) { Form = form }, stride: 1, dilation: 1, deploy: false, batchNormEpsilon: 1e-5);
        Assert.Equal(
            golden.Names.Where(name => name.StartsWith("state/", StringComparison.Ordinal) && !name.EndsWith("num_batches_tracked", StringComparison.Ordinal)).Select(name => name["state/".Length..]).Order(),
            block.state_dict().Keys.Where(name => !name.EndsWith("num_batches_tracked", StringComparison.Ordinal)).Order());
        using (torch.no_grad())
        {
            foreach (var (name, tensor) in block.state_dict().Where(entry => !entry.Key.EndsWith("num_batches_tracked", StringComparison.Ordinal)))
                tensor.copy_(ToTensor(golden[$"state/{name}"]));
        }
        block.eval();
        Compare.Close(golden["eval_output"].Values, Values(block.call(ToTensor(golden["input"]))), 1e-5);
        block.SwitchToDeploy();
        Assert.Equal(["rbr_reparam.bias", "rbr_reparam.weight"], block.state_dict().Keys.Order());
        Compare.Close(golden["fused/weight"].Values, Values(block.state_dict()["rbr_reparam.weight"]), 1e-5);
        Compare.Close(golden["fused/bias"].Values, Values(block.state_dict()["rbr_reparam.bias"]), 1e-5);
        Compare.Close(golden["eval_output"].Values, Values(block.call(ToTensor(golden["input"]))), 1e-5);
    }

    [TorchSharpFact]
    public void Stages_give_every_map()
    {
        using var scope = torch.NewDisposeScope();
        using var backbone = new RepVggBackbone(GoldenNetworks.All["tiny"]);
        backbone.eval();
        var images = torch.randn(2, 3, 64, 96);
        var maps = backbone.Stages(images);
        Assert.Equal([8, 8, 16, 32, 64], backbone.StageWidths);
        Assert.Equal([[2, 8, 32, 48], [2, 8, 16, 24], [2, 16, 8, 12], [2, 32, 4, 6], [2, 64, 2, 3]], maps.Select(map => map.shape));
        Assert.Equal(Values(backbone.call(images)), Values(maps[^1]));

        using var dilated = new RepVggBackbone(GoldenNetworks.All["tiny"], outputStride: 8);
        Assert.Equal([2, 64, 8, 12], dilated.call(images).shape);
        Assert.Throws<ArgumentException>(() => new RepVggBackbone(GoldenNetworks.All["tiny"], outputStride: 3));
    }

    /// <summary>The authors' segmentation example in small: a dilated backbone under a pyramid-pooling head.</summary>
    [TorchSharpTheory]
    [InlineData("tiny")]
    [InlineData("tiny-g4")]
    [InlineData("tinyplus-pse")]
    public void A_segmentation_network_is_fused_in_place(string name)
    {
        using var scope = torch.NewDisposeScope();
        torch.manual_seed(1);
        using var network = new SegmentationNetwork(GoldenNetworks.All[name], classes: 3);
        var optimizer = torch.optim.SGD(network.parameters(), 0.05, 0.9);
        // Blobs of three colors; the strongest color is the class.
        var images = F.interpolate(torch.randn(4, 3, 6, 5) * 2, [48, 40], mode: torch.InterpolationMode.Bilinear, align_corners: true);
        var targets = images.argmax(1);
        var losses = new List<float>();
        network.train();
        for (int step = 0; step < 8; step++)
        {
            using var temporary = torch.NewDisposeScope();
            optimizer.zero_grad();
            var loss = F.cross_entropy(network.call(images), targets);
            loss.backward();
            optimizer.step();
            losses.Add(loss.item<float>());
        }
        Assert.True(losses[^1] < 0.7 * losses[0], string.Join(" ", losses));

        network.eval();
        float[] expected, actual;
        using (torch.no_grad())
            expected = Values(network.call(images));
        string[] before = [.. network.state_dict().Keys];
        int blocks = GoldenNetworks.All[name].Blocks.Count();
        Assert.Equal(blocks, network.SwitchToDeploy());
        using (torch.no_grad())
            actual = Values(network.call(images));
        Compare.Close(expected, actual, 1e-5);

        string[] after = [.. network.state_dict().Keys];
        Assert.Equal(blocks, after.Count(key => key.EndsWith("rbr_reparam.weight", StringComparison.Ordinal)));
        Assert.DoesNotContain(after, key => key.Contains("rbr_dense") || key.Contains("rbr_1x1") || key.Contains("rbr_identity"));
        Assert.Equal(before.Where(key => key.StartsWith("head", StringComparison.Ordinal)), after.Where(key => key.StartsWith("head", StringComparison.Ordinal)));
        Assert.Equal(after.Count(key => !key.EndsWith("num_batches_tracked") && !key.Contains("running_")), network.parameters().Count());
    }

    [TorchSharpFact]
    public void A_block_keeps_its_type_when_it_is_fused_and_trains_on()
    {
        using var scope = torch.NewDisposeScope();
        using var block = new RepVggBlock(6, 6, groups: 3, squeezeExcitation: SqueezeExcitation.AfterRelu);
        block.to(torch.float64);
        block.train();
        for (int i = 0; i < 3; i++)
            block.call(torch.randn(5, 6, 9, 7, torch.float64) * 2 + 1);
        block.eval();
        var input = torch.randn(2, 6, 9, 7, torch.float64);
        using var mode = torch.no_grad();
        var expected = Values(block.call(input));
        block.SwitchToDeploy();
        Assert.True(block.IsDeployed);
        Assert.All(block.parameters(), parameter => Assert.Equal(torch.float64, parameter.dtype));
        Compare.Close(expected, Values(block.call(input)), 1e-5);
        using (torch.enable_grad())
            block.call(input).sum().backward();
        Assert.All(block.parameters(), parameter => Assert.NotNull(parameter.grad));
    }

    [TorchSharpFact]
    public void A_block_with_a_negative_variance_is_not_fused()
    {
        using var scope = torch.NewDisposeScope();
        using var block = new RepVggBlock(4, 4);
        block.state_dict()["rbr_1x1.bn.running_var"].fill_(-1);
        Assert.Contains("-1 at channel 0", Assert.Throws<ArgumentException>(block.SwitchToDeploy).Message, StringComparison.Ordinal);
        Assert.False(block.IsDeployed);
        Assert.Contains("rbr_dense.conv.weight", block.state_dict().Keys);
    }

    [TorchSharpFact]
    public void Wrong_weights_list_everything_and_change_nothing()
    {
        using var backbone = new RepVggBackbone(GoldenNetworks.All["tiny"]);
        var before = backbone.ExportState();
        var error = Assert.Throws<ArgumentException>(() => backbone.ImportState(GoldenNetworks.TrainingState("tiny-se")));
        Assert.Contains("stage1.0.se.down.weight", error.Message, StringComparison.Ordinal);
        Assert.Contains("Misshapen", error.Message, StringComparison.Ordinal);
        Assert.All(backbone.ExportState(), item => Assert.Equal(before[item.Key].Values, item.Value.Values));
        Assert.Throws<ArgumentException>(() => new RepVggBlock(4, 6, groups: 4));
        Assert.Throws<ArgumentException>(() => new RepVggBlock(0, 6));
        Assert.Throws<ArgumentException>(() => new RepVggBlock(4, 8, squeezeExcitation: SqueezeExcitation.BeforeRelu));
    }

    private static float[] Logits(RepVggBackbone backbone, Tensor images, StateDict state)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var pooled = backbone.call(images).mean([2, 3]);
        return Values(F.linear(pooled, ToTensor(state["linear.weight"]), ToTensor(state["linear.bias"])));
    }

    private static Tensor ToTensor(TensorData data) => torch.tensor(data.Values).reshape([.. data.Shape.Select(dimension => (long)dimension)]);

    private static float[] Values(Tensor tensor) => tensor.detach().to(torch.float32).contiguous().data<float>().ToArray();

    /// <summary>PSPNet in small: stage maps of stride 8, pooled to 1, 2 and 3 cells, put side by side, classified, enlarged.</summary>
    private sealed class SegmentationNetwork : torch.nn.Module<Tensor, Tensor>
    {
#pragma warning disable IDE1006 // TorchSharp names the parameters after the fields.
        private readonly RepVggBackbone backbone;
        private readonly global::TorchSharp.Modules.ModuleList<torch.nn.Module<Tensor, Tensor>> head_branches;
        private readonly global::TorchSharp.Modules.Sequential head_classifier;
#pragma warning restore IDE1006

        public SegmentationNetwork(RepVggArchitecture architecture, int classes)
            : base(nameof(SegmentationNetwork))
        {
            backbone = new RepVggBackbone(architecture, outputStride: 8);
            int features = architecture.FeatureWidth, reduced = features / 4;
            head_branches = torch.nn.ModuleList([.. new[] { 1, 2, 3 }.Select(cells => (torch.nn.Module<Tensor, Tensor>)torch.nn.Sequential(
                torch.nn.AdaptiveAvgPool2d(cells), torch.nn.Conv2d(features, reduced, 1, bias: false), torch.nn.BatchNorm2d(reduced), torch.nn.ReLU()))]);
            head_classifier = torch.nn.Sequential(
                torch.nn.Conv2d(features + 3 * reduced, features, 3, padding: 1, bias: false), torch.nn.BatchNorm2d(features), torch.nn.ReLU(), torch.nn.Conv2d(features, classes, 1));
            RegisterComponents();
        }

        public override Tensor forward(Tensor input)
        {
            using var scope = torch.NewDisposeScope();
            var map = backbone.call(input);
            long[] size = map.shape[2..];
            var pyramid = head_branches.Select(branch => F.interpolate(branch.call(map), size, mode: torch.InterpolationMode.Bilinear, align_corners: true));
            var scores = head_classifier.call(torch.cat([map, .. pyramid], 1));
            return F.interpolate(scores, input.shape[2..], mode: torch.InterpolationMode.Bilinear, align_corners: true).MoveToOuterDisposeScope();
        }
    }
}
