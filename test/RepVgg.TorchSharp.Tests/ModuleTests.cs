using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
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

    public static TheoryData<TrainingForm> Forms => [.. TrainingForms.All];

    public static TheoryData<TrainingForm, string> FormBlocks
    {
        get
        {
            var data = new TheoryData<TrainingForm, string>();
            foreach (var (form, geometry) in GoldenFiles.Blocks)
                data.Add(form, geometry);
            return data;
        }
    }

    [TorchSharpTheory]
    [MemberData(nameof(FormBlocks))]
    public void A_block_of_every_form_is_PyTorchs_in_evaluation_and_training(TrainingForm form, string geometry)
    {
        using var scope = torch.NewDisposeScope();
        var golden = GoldenFiles.Block(form, geometry);
        using var block = GoldenBlock(form, geometry, golden);
        // DiracNet's constant kernel is part of its authors' weights.
        Assert.Equal(NamesIn(golden, "state/").Where(name => !name.EndsWith("delta", StringComparison.Ordinal)).Order(), WithoutCounters(block).Select(entry => entry.Name).Order());
        Assert.Equal(NamesIn(golden, "gradient/").Where(name => name != "input").Order(), block.named_parameters().Select(entry => entry.name).Order());

        var input = ToTensor(golden["input"]);
        block.eval();
        Compare.Close(golden["eval_output"].Values, Values(block.call(input)), 1e-5, "output in evaluation");

        block.train();
        input.requires_grad = true;
        var output = block.call(input);
        Compare.Close(golden["train_output"].Values, Values(output), 1e-5, "output in training");
        Assert.Equal(golden["input"].Values, Values(input));
        output.backward([ToTensor(golden["direction"])]);
        Compare.Close(golden["gradient/input"].Values, Values(input.grad!), 1e-4, "gradient by the input");
        foreach (var (name, parameter) in block.named_parameters())
        {
            float[] gradient = Values(parameter.grad!);
            // The batch norm of the sum removes any constant, so this gradient is 0 but for rounding.
            if (form == TrainingForm.QARepVgg && name == "rbr_dense.bn.bias")
                Assert.All(gradient, value => Assert.InRange(value, -1e-4, 1e-4));
            else
                Compare.Close(golden[$"gradient/{name}"].Values, gradient, 1e-4, $"gradient by {name}");
        }
        var state = block.state_dict();
        foreach (string name in NamesIn(golden, "after/"))
            Compare.Close(golden[$"after/{name}"].Values, Values(state[name]), 1e-5, $"{name} after training");
    }

    [TorchSharpTheory]
    [MemberData(nameof(FormBlocks))]
    public void A_block_of_every_form_is_fused_as_by_PyTorch_or_refuses(TrainingForm form, string geometry)
    {
        using var scope = torch.NewDisposeScope();
        var golden = GoldenFiles.Block(form, geometry);
        using var block = GoldenBlock(form, geometry, golden);
        block.eval();
        if (TrainingForms.FusionObstacleOf(form) is { } obstacle)
        {
            string[] names = [.. block.state_dict().Keys];
            using var fusable = new RepVggBlock(4, 6);
            using var network = torch.nn.Sequential(("first", fusable), ("second", block));
            foreach (var action in (Action[])[block.SwitchToDeploy, () => network.SwitchToDeploy(), () => _ = new RepVggBlock(6, 6, deploy: true, trainingForm: form)])
                Assert.Contains(obstacle, Assert.Throws<NotSupportedException>(action).Message, StringComparison.Ordinal);
            Assert.False(block.IsDeployed);
            Assert.False(fusable.IsDeployed);
            Assert.Equal(names, block.state_dict().Keys);
            Compare.Close(golden["eval_output"].Values, Values(block.call(ToTensor(golden["input"]))), 1e-5, "output");
            return;
        }
        block.SwitchToDeploy();
        Assert.Equal(["rbr_reparam.bias", "rbr_reparam.weight"], block.state_dict().Keys.Order());
        Compare.Close(golden["fused/weight"].Values, Values(block.state_dict()["rbr_reparam.weight"]), 1e-5, "kernel");
        Compare.Close(golden["fused/bias"].Values, Values(block.state_dict()["rbr_reparam.bias"]), 1e-5, "bias");
        Compare.Close(golden["eval_output"].Values, Values(block.call(ToTensor(golden["input"]))), 1e-5, "output");
    }

    /// <summary>A dilated block computes on every second pixel what the block without dilation computes from these pixels alone, and so does its fused form.</summary>
    [TorchSharpTheory]
    [MemberData(nameof(FormBlocks))]
    public void Dilated_blocks_of_every_form_are_exact(TrainingForm form, string geometry)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var golden = GoldenFiles.Block(form, geometry);
        var spec = GoldenFiles.BlockSpecOf(form, geometry);
        using var plain = GoldenBlock(form, geometry, golden, stride: 1);
        using var dilated = GoldenBlock(form, geometry, golden, stride: 1, dilation: 2);
        plain.eval();
        dilated.eval();
        torch.manual_seed(1);
        var input = torch.randn(2, spec.InputChannels, 14, 10);
        var output = dilated.call(input);
        Assert.Equal([2, spec.OutputChannels, 14, 10], output.shape);
        foreach (var (y, x) in ((int, int)[])[(0, 0), (0, 1), (1, 0), (1, 1)])
        {
            Compare.Close(Values(plain.call(Part(input))), Values(Part(output)), 1e-5, $"pixels from ({y}, {x})");

            Tensor Part(Tensor map) => map.slice(2, y, map.shape[2], 2).slice(3, x, map.shape[3], 2);
        }
        if (TrainingForms.FusionObstacleOf(form) is not null)
            return;
        dilated.SwitchToDeploy();
        Compare.Close(Values(output), Values(dilated.call(input)), 1e-5, "fused");
    }

    public static TheoryData<TrainingForm, bool> FormNetworks
    {
        get
        {
            var data = new TheoryData<TrainingForm, bool>();
            foreach (var form in TrainingForms.All)
            {
                data.Add(form, false);
                data.Add(form, true);
            }
            return data;
        }
    }

    /// <summary>A backbone of every form, in both layouts of names, with groups and squeeze-and-excitation where the form has them, and the training network of the CPU.</summary>
    [TorchSharpTheory]
    [MemberData(nameof(FormNetworks))]
    public void Backbones_of_every_form_compute_the_training_network(TrainingForm form, bool plusLayout)
    {
        const int Classes = 3;
        using var scope = torch.NewDisposeScope();
        var architecture = SmallArchitecture(form, plusLayout);
        var state = RandomStates.Training(architecture, Classes);
        var images = RandomStates.Images(2, 3, 32, 24);
        using var backbone = new RepVggBackbone(architecture);
        backbone.ImportState(state);
        backbone.eval();

        var exported = backbone.ExportState();
        Assert.Equal(StateLayout.Training(architecture, 0).Select(entry => entry.Name).Order(), exported.Names.Order());
        Assert.All(exported, item => Assert.Equal(state[item.Key].Values, item.Value.Values));
        string[] trained = [.. StateLayout.Training(architecture, 0).Where(entry => entry.IsParameter).Select(entry => entry.Name)];
        Assert.Equal(trained.Order(), backbone.named_parameters().Select(entry => entry.name).Order());

        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(architecture, Classes, backend, seed: 0);
        network.ImportState(state);
        var expected = new float[2 * Classes];
        using (backend.BeginStep(training: false))
            backend.CopyOut(network.Forward(backend.CreateInput([.. images.Shape], images.Values)), expected);
        Compare.Close(expected, Logits(backbone, ToTensor(images), state), 1e-5, "logits");

        if (TrainingForms.FusionObstacleOf(form) is not null)
        {
            Assert.Throws<NotSupportedException>(() => backbone.SwitchToDeploy());
            Assert.Throws<NotSupportedException>(() => new RepVggBackbone(architecture, deploy: true));
            return;
        }
        Assert.Equal(architecture.Blocks.Count(), backbone.SwitchToDeploy());
        Compare.Close(expected, Logits(backbone, ToTensor(images), state), 1e-5, "logits of the fused form");
        var fused = Fusion.Fuse(architecture, state);
        exported = backbone.ExportState();
        Assert.Equal(StateLayout.Deploy(architecture, 0).Select(entry => entry.Name).Order(), exported.Names.Order());
        Assert.All(exported, item => Compare.Close(fused[item.Key].Values, item.Value.Values, 1e-6, item.Key));
        using var imported = new RepVggBackbone(architecture, deploy: true);
        imported.ImportState(fused);
        imported.eval();
        Compare.Close(expected, Logits(imported, ToTensor(images), state), 1e-5, "logits of imported fused weights");
    }

    [TorchSharpTheory]
    [MemberData(nameof(Forms))]
    public void Backbones_of_every_form_start_from_its_initial_weights(TrainingForm form)
    {
        var architecture = SmallArchitecture(form, plusLayout: false);
        using var backbone = new RepVggBackbone(architecture);
        var state = backbone.ExportState();
        foreach (var entry in StateLayout.Training(architecture, 0))
        {
            float[] values = state[entry.Name].Values;
            if (entry.Initial is { } initial)
                Assert.All(values, value => Assert.Equal(initial, value));
            else if (entry.Kind is StateKind.NormWeight or StateKind.RunningVariance)
                Assert.All(values, value => Assert.Equal(1, value));
            else if (entry.Kind is StateKind.NormBias or StateKind.RunningMean)
                Assert.All(values, value => Assert.Equal(0, value));
            else
                Assert.InRange(values.Max(Math.Abs), (values.Length < 16 ? 0 : 0.3) / Math.Sqrt(entry.FanIn), 1.0001 / Math.Sqrt(entry.FanIn));
        }
    }

    /// <summary>Everything of a block follows it to another data type, training changes it there, and blocks that are created in a dispose scope outlive the scope.</summary>
    [TorchSharpTheory]
    [MemberData(nameof(FormNetworks))]
    public void Blocks_of_every_form_move_to_another_data_type(TrainingForm form, bool reducesSize)
    {
        RepVggBlock block;
        using (torch.NewDisposeScope())
        {
            torch.manual_seed(2);
            block = new RepVggBlock(reducesSize ? 4 : 6, 6, stride: reducesSize ? 2 : 1, groups: form == TrainingForm.ResidualReorg ? 1 : 2, trainingForm: form, convolutionBranches: 2);
        }
        using var scope = torch.NewDisposeScope();
        using (block)
        {
            var input = torch.randn(4, reducesSize ? 4 : 6, 9, 8);
            var before = Values(input);
            block.call(input * 2 + 1);
            block.eval();
            var expected = block.call(input);
            Assert.Equal(before, Values(input));
            block.to(torch.float64);
            Assert.All(WithoutCounters(block), entry => Assert.Equal(torch.float64, entry.Tensor.dtype));
            var output = block.call(input.to(torch.float64));
            Assert.Equal(torch.float64, output.dtype);
            Compare.Close(Values(expected), Values(output), 1e-5, "double precision");

            block.train();
            var optimizer = torch.optim.SGD(block.parameters(), 0.1);
            (block.call(input.to(torch.float64)) * torch.randn(output.shape, torch.float64)).sum().backward();
            Assert.All(block.parameters(), parameter => Assert.Equal(parameter.shape, parameter.grad!.shape));
            optimizer.step();
            block.eval();
            output = block.call(input.to(torch.float64));
            Assert.NotEqual(Values(expected), Values(output));
            if (TrainingForms.FusionObstacleOf(form) is not null)
                return;
            block.SwitchToDeploy();
            Assert.All(block.parameters(), parameter => Assert.Equal(torch.float64, parameter.dtype));
            Compare.Close(Values(output), Values(block.call(input.to(torch.float64))), 1e-5, "fused");
        }
    }

    [TorchSharpFact]
    public void Blocks_that_are_not_defined_are_refused()
    {
        Assert.Contains("99", Assert.Throws<ArgumentException>(() => new RepVggBlock(6, 6, trainingForm: (TrainingForm)99)).Message, StringComparison.Ordinal);
        Assert.Contains("QARepVgg", Assert.Throws<ArgumentException>(() => new RepVggBlock(16, 16, squeezeExcitation: SqueezeExcitation.BeforeRelu, trainingForm: TrainingForm.QARepVgg)).Message, StringComparison.Ordinal);
        Assert.Contains("6 groups, but the convolutions of ResidualReorg", Assert.Throws<ArgumentException>(() => new RepVggBlock(6, 6, groups: 6, trainingForm: TrainingForm.ResidualReorg)).Message, StringComparison.Ordinal);
        foreach (int branches in (int[])[0, 17])
            Assert.Contains($"{branches}, not 1 to 16", Assert.Throws<ArgumentException>(() => new RepVggBlock(6, 6, trainingForm: TrainingForm.MobileOne, convolutionBranches: branches)).Message, StringComparison.Ordinal);
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

    private static RepVggArchitecture SmallArchitecture(TrainingForm form, bool plusLayout) => new()
    {
        Name = $"small {form}",
        TrainingForm = form,
        ConvolutionBranches = 2,
        Groups = form == TrainingForm.ResidualReorg ? 1 : 2,
        SqueezeExcitation = form == TrainingForm.QARepVgg ? SqueezeExcitation.None : plusLayout ? SqueezeExcitation.AfterRelu : SqueezeExcitation.BeforeRelu,
        PlusLayout = plusLayout,
        // ResidualReorg has an odd number of layers in one stage, and with an unchanged width a block of two layers and stride 1 at the start of another.
        Stages = [new("stage0", 16, 1, 2), new("stage1", 16, 2, 1), new("stage2", 32, 3, 2), new("stage3", 32, 4, 2)],
    };

    /// <summary>The block of golden data with its weights; the stride is that of the data unless it is given.</summary>
    private static RepVggBlock GoldenBlock(TrainingForm form, string geometry, StateDict golden, int? stride = null, int dilation = 1)
    {
        var spec = GoldenFiles.BlockSpecOf(form, geometry);
        var block = new RepVggBlock(spec, stride ?? spec.Stride, dilation, deploy: false, batchNormEpsilon: 1e-5);
        using var mode = torch.no_grad();
        foreach (var (name, tensor) in WithoutCounters(block))
            tensor.copy_(ToTensor(golden[$"state/{name}"]));
        return block;
    }

    private static IEnumerable<(string Name, Tensor Tensor)> WithoutCounters(torch.nn.Module module) =>
        module.state_dict().Where(entry => !LeftOutNames.IsNoWeight(entry.Key)).Select(entry => (entry.Key, entry.Value));

    /// <summary>The names with a prefix, without the prefix and without batch counters.</summary>
    private static IEnumerable<string> NamesIn(StateDict golden, string prefix) => golden.Names
        .Where(name => name.StartsWith(prefix, StringComparison.Ordinal) && !LeftOutNames.IsNoWeight(name))
        .Select(name => name[prefix.Length..]);

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
