using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Weights.Naming;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Testing;

/// <content>Whole networks against the original PyTorch code.</content>
public abstract partial class BackendTests
{
    public static TheoryData<string> GoldenNames => GoldenNetworks.Names;

    [BackendTheory]
    [MemberData(nameof(GoldenNames))]
    public void Logits_in_evaluation_mode_are_the_authors(string name)
    {
        var expected = GoldenFiles.Floats($"{name}-logits-train.npy");
        using var network = new TrainingNetwork(GoldenNetworks.All[name], expected.Shape[1], Backend, seed: 0);
        network.ImportState(GoldenNetworks.TrainingState(name));
        var images = GoldenNetworks.Input(name);
        using var step = Backend.BeginStep(training: false);
        Compare.Close(expected.Values, Read(network.Forward(Backend.CreateInput([.. images.Shape], images.Values))), 1e-5);
    }

    /// <summary>Within a training step that is still before its update, as at any other time.</summary>
    [BackendTheory]
    [MemberData(nameof(GoldenNames))]
    public void Equivalent_convolutions_are_what_the_authors_fused(string name)
    {
        var deploy = GoldenNetworks.DeployState(name);
        using var network = new TrainingNetwork(GoldenNetworks.All[name], GoldenFiles.Manifest.GetProperty(name).GetProperty("classes").GetInt32(), Backend, seed: 0);
        network.ImportState(GoldenNetworks.TrainingState(name));
        using var step = Backend.BeginStep(training: true);
        foreach (var block in network.Architecture.Blocks)
        {
            var (kernel, bias) = network.EquivalentConvolution(block.Name);
            Assert.Equal(deploy[$"{block.Name}.rbr_reparam.weight"].Shape, kernel.Shape);
            Compare.Close(deploy[$"{block.Name}.rbr_reparam.weight"].Values, Read(kernel), 1e-5, block.Name);
            Compare.Close(deploy[$"{block.Name}.rbr_reparam.bias"].Values, Read(bias), 1e-5, block.Name);
        }
        Assert.Contains("'stage9.0'", Assert.Throws<ArgumentException>(() => network.EquivalentConvolution("stage9.0")).Message);
    }

    [BackendTheory]
    [InlineData("tiny")]
    [InlineData("tiny-g2")]
    [InlineData("tiny-g4")]
    [InlineData("tiny-se")]
    public void Custom_L2_is_the_authors(string name)
    {
        using var network = new TrainingNetwork(GoldenNetworks.All[name], GoldenFiles.Manifest.GetProperty(name).GetProperty("classes").GetInt32(), Backend, seed: 0);
        network.ImportState(GoldenNetworks.TrainingState(name));
        using var step = Backend.BeginStep(training: true);
        Compare.Close([GoldenFiles.Manifest.GetProperty($"{name}.custom_l2").GetSingle()], Read(network.CustomL2()!), 2e-6);
    }

    [BackendTheory]
    [InlineData(0, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    [InlineData(6, false)]
    public void Frozen_stages_and_statistics_stay_and_the_rest_is_trained(int frozenStages, bool freezeBatchNorm)
    {
        var architecture = GoldenNetworks.All["tinyplus-pse"];
        using var network = new TrainingNetwork(architecture, 10, Backend, seed: 0, frozenStages, freezeBatchNorm);
        var before = GoldenNetworks.TrainingState("tinyplus-pse");
        network.ImportState(before);
        using var optimizer = Backend.CreateOptimizer([new ParameterGroup(network.Parameters, 0.01f)], new SgdOptions(0.9f));
        var images = RandomStates.Images(4, 3, 32, 32);
        for (int i = 0; i < 2; i++)
        {
            using var step = Backend.BeginStep(training: true);
            var (logits, auxiliary) = network.ForwardWithAuxiliary(Backend.CreateInput([.. images.Shape], images.Values));
            Assert.Equal(architecture.Stages.Skip(frozenStages).Count(stage => stage.AuxiliaryHead), auxiliary.Count);
            Backend.Backward(auxiliary.Append(logits).Select(head => Backend.SoftmaxCrossEntropy(head, [1, 2, 3, 4], 0)).Aggregate(Backend.Add));
            optimizer.Step(0.01f);
        }
        string[] frozen = [.. architecture.Stages.Take(frozenStages).SelectMany(stage => (string[])[stage.Name, stage.Name + "_aux"])];
        foreach (var (name, tensor) in network.ExportState())
        {
            bool stays = frozen.Contains(name[..name.IndexOf('.')]) || (freezeBatchNorm && name.Contains(".running_"));
            Assert.True(stays == tensor.Values.AsSpan().SequenceEqual(before[name].Values), $"{name} {(stays ? "changed" : "did not change")}.");
            Assert.Equal(!stays && !name.Contains(".running_"), network.Parameters.Any(item => item.Name == name));
        }
    }

    /// <summary>Four steps of SGD, against PyTorch's losses and final weights.</summary>
    [BackendTheory]
    [InlineData("trace-momentum")]
    [InlineData("trace-nesterov")]
    public void Training_follows_the_authors(string name)
    {
        var manifest = GoldenFiles.Manifest.GetProperty(name);
        var initial = PthReader.Read(GoldenFiles.PathOf($"{name}-initial.pth"));
        var final = PthReader.Read(GoldenFiles.PathOf($"{name}-final.pth"));
        var inputs = GoldenFiles.Floats($"{name}-inputs.npy");
        var (shape, targets) = GoldenFiles.Longs($"{name}-targets.npy");
        int steps = shape[0], batch = shape[1], length = inputs.Values.Length / steps;
        float weightDecay = manifest.GetProperty("weight_decay").GetSingle();

        using var network = new TrainingNetwork(GoldenNetworks.All["tiny"], StateLayout.ClassesOf(initial), Backend, seed: 0);
        network.ImportState(initial);
        using var optimizer = Backend.CreateOptimizer(
            network.ParameterGroups(weightDecay), new SgdOptions(manifest.GetProperty("momentum").GetSingle(), manifest.GetProperty("nesterov").GetBoolean()));
        for (int step = 0; step < steps; step++)
        {
            int[] labels = [.. targets.Skip(step * batch).Take(batch).Select(label => (int)label)];
            using (Backend.BeginStep(training: true))
            {
                var images = Backend.CreateInput([batch, .. inputs.Shape.Skip(2)], inputs.Values.AsSpan(step * length, length));
                var loss = Backend.SoftmaxCrossEntropy(network.Forward(images), labels, manifest.GetProperty("label_smoothing").GetSingle());
                Compare.Close([manifest.GetProperty("losses")[step].GetSingle()], Read(loss), 1e-5, $"loss of step {step}");
                Backend.Backward(loss);
            }
            optimizer.Step(manifest.GetProperty("lr").GetSingle());
        }

        foreach (var (weight, tensor) in network.ExportState())
            Compare.Close(final[weight].Values, tensor.Values, 5e-5, weight);
    }
}
