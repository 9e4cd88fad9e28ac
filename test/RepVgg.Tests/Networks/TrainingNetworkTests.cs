using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Tests.Networks;

public class TrainingNetworkTests
{
    private const double Tolerance = 1e-5;

    public static TheoryData<string> Variants => [.. RepVggVariants.All.Select(variant => variant.Name)];

    [Theory]
    [MemberData(nameof(Variants))]
    public void Every_variant_agrees_with_its_definition(string name)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.Find(name));
        int size = architecture.TotalStride + 4;
        var state = RandomStates.Training(architecture, 7);
        var images = RandomStates.Images(2, architecture.InputChannels, size, size + 3);
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(architecture, 7, backend, seed: 0);
        network.ImportState(state);
        Compare.Close(new ReferenceTrainingForm(architecture, state).Logits(images), Evaluate(backend, network, images), Tolerance);
    }

    [Fact]
    public void Plus_has_auxiliary_logits_while_training_only()
    {
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(GoldenNetworks.All["tinyplus-pse"], 10, backend, seed: 1);
        network.ImportState(GoldenNetworks.TrainingState("tinyplus-pse"));
        var input = GoldenNetworks.Input("tinyplus-pse");
        using (backend.BeginStep(training: true))
        {
            var (logits, auxiliary) = network.ForwardWithAuxiliary(backend.CreateInput([.. input.Shape], input.Values));
            Assert.Equal(3, auxiliary.Count);
            var loss = backend.SoftmaxCrossEntropy(logits, [1, 2], 0);
            foreach (var head in auxiliary)
            {
                Assert.Equal([2, 10], head.Shape);
                loss = backend.Add(loss, backend.Scale(backend.SoftmaxCrossEntropy(head, [1, 2], 0), 0.1f));
            }
            backend.Backward(loss);
        }
        var deploy = DeployNetwork.FromTrainingForm(network.Architecture, network.ExportState(), 32, 32, Normalization.Identity(3));
        Assert.DoesNotContain(deploy.ExportState().Names, name => name.Contains("_aux"));
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void Every_parameter_of_every_variant_gets_a_gradient(string name)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.Find(name));
        int size = architecture.TotalStride * 2;
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(architecture, 3, backend, seed: 5);
        var images = RandomStates.Images(4, architecture.InputChannels, size, size);
        using (backend.BeginStep(training: true))
        {
            var (logits, auxiliary) = network.ForwardWithAuxiliary(backend.CreateInput([.. images.Shape], images.Values));
            var loss = auxiliary.Append(logits).Select(head => backend.SoftmaxCrossEntropy(head, [0, 1, 2, 0], 0)).Aggregate(backend.Add);
            backend.Backward(loss);
        }
        foreach (var (parameter, tensor) in network.Parameters)
        {
            var gradient = new float[tensor.Shape.Aggregate(1, (product, dimension) => product * dimension)];
            backend.CopyGradient(tensor, gradient);
            Assert.True(Array.Exists(gradient, value => value != 0), $"{parameter} got no gradient.");
        }
    }

    /// <summary>Built, trained for a step, fused, and compared: the network's own logits against the deployed network's.</summary>
    [Theory]
    [MemberData(nameof(Variants))]
    public void Every_variant_is_trained_and_fused_to_the_same_logits(string name)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.Find(name));
        TrainAndFuse(architecture, architecture.TotalStride * 2, images: 4);
    }

    /// <summary>The same at full width, where it is quick.</summary>
    [Theory]
    [InlineData("RepVGG-S0", 28)]
    [InlineData("RepVGG-S1", 28)]
    [InlineData("RepVGG-S2", 64)]
    [InlineData("RepVGG-S3", 64)]
    [InlineData("RepVGG-S4", 28)]
    [InlineData("RepVGG-A0", 64)]
    public void Full_width_is_trained_and_fused_to_the_same_logits(string name, int size) => TrainAndFuse(RepVggVariants.Find(name), size, images: 2);

    private static void TrainAndFuse(RepVggArchitecture architecture, int size, int images)
    {
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(architecture, 3, backend, seed: 5);
        network.ImportState(RandomStates.Training(architecture, 3));
        using var optimizer = backend.CreateOptimizer([new ParameterGroup(network.Parameters, 1e-4f)], new SgdOptions(0.9f));
        var batch = RandomStates.Images(images, architecture.InputChannels, size, size);
        using (backend.BeginStep(training: true))
        {
            var (logits, auxiliary) = network.ForwardWithAuxiliary(backend.CreateInput([.. batch.Shape], batch.Values));
            int[] labels = [.. Enumerable.Range(0, images).Select(i => i % 3)];
            backend.Backward(auxiliary.Append(logits).Select(head => backend.SoftmaxCrossEntropy(head, labels, 0)).Aggregate(backend.Add));
            optimizer.Step(0.01f);
        }
        float[] expected = Evaluate(backend, network, batch);
        var actual = new float[expected.Length];
        using var engine = new InferenceEngine(DeployNetwork.FromTrainingForm(architecture, network.ExportState(), size, size, Normalization.Identity(architecture.InputChannels)));
        engine.Run(batch.Values, images, actual);
        Compare.Close(expected, actual, Tolerance);
    }

    [Fact]
    public void Weights_are_drawn_as_PyTorch_draws_them()
    {
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(RandomStates.Reduce(RepVggVariants.D2se), 9, backend, seed: 3);
        foreach (var (name, tensor) in network.ExportState())
        {
            if (name.Contains(".bn.") || name.Contains("rbr_identity."))
            {
                float expected = name.EndsWith(".weight") || name.EndsWith("running_var") ? 1 : 0;
                Assert.All(tensor.Values, value => Assert.Equal(expected, value));
                continue;
            }
            // Uniform within 1 / sqrt(fan-in), biases with the fan-in of their weight.
            string weight = name.EndsWith(".bias") ? name[..^".bias".Length] + ".weight" : name;
            double bound = 1 / Math.Sqrt(network.ExportState()[weight].Shape.Skip(1).Aggregate(1, (product, dimension) => product * dimension));
            Assert.All(tensor.Values, value => Assert.InRange(value, -bound, bound));
            if (tensor.Values.Length >= 400)
            {
                Assert.InRange(tensor.Values.Max(), 0.98 * bound, bound);
                Assert.InRange(tensor.Values.Average() / bound, -0.1, 0.1);
                Assert.InRange(tensor.Values.Average(value => value * value) / (bound * bound), 0.3, 0.37);
            }
        }
    }

    [Fact]
    public void The_seed_decides_the_weights()
    {
        using var backend = new CpuBackend();
        float[] First(ulong seed)
        {
            using var network = new TrainingNetwork(GoldenNetworks.All["tiny"], 4, backend, seed);
            return [.. network.ExportState().SelectMany(item => item.Value.Values)];
        }
        Assert.Equal(First(1), First(1));
        Assert.NotEqual(First(1), First(2));
    }

    [Fact]
    public void State_goes_out_and_in_under_the_authors_names()
    {
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(GoldenNetworks.All["tinyplus-pse"], 10, backend, seed: 1);
        var state = GoldenNetworks.TrainingState("tinyplus-pse");
        network.ImportState(state);
        var exported = network.ExportState();
        Assert.Equal(state.Names, exported.Names);
        Assert.All(exported, item => Assert.Equal(state[item.Key].Values, item.Value.Values));
        Assert.Equal(exported.Count, network.Parameters.Count + network.Buffers.Count);
    }

    [Fact]
    public void A_wrong_state_is_described_and_changes_nothing()
    {
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(GoldenNetworks.All["tiny"], 10, backend, seed: 1);
        var before = network.ExportState();
        var state = GoldenNetworks.TrainingState("tiny-se");
        var error = Assert.Throws<ArgumentException>(() => network.ImportState(state));
        Assert.Contains("stage1.0.se.down.weight", error.Message);
        Assert.Contains("linear.weight is [5, 32], not [10, 64]", error.Message);
        Assert.All(network.ExportState(), item => Assert.Equal(before[item.Key].Values, item.Value.Values));
    }

    /// <summary>A backbone with or without its auxiliary heads: they and the classifier keep their initial weights.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_backbone_is_imported_without_heads(bool withAuxiliary)
    {
        var backbone = new StateDict();
        foreach (var (name, tensor) in GoldenNetworks.TrainingState("tinyplus-pse"))
        {
            if (!name.StartsWith("linear.", StringComparison.Ordinal) && (withAuxiliary || !StateLayout.IsAuxiliary(name)))
                backbone[name] = tensor;
        }
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(GoldenNetworks.All["tinyplus-pse"], 4, backend, 5);
        var initial = network.ExportState();
        var fresh = network.ImportPretrained(backbone);
        Assert.Equal(initial.Names.Where(name => name.StartsWith("linear.", StringComparison.Ordinal) || StateLayout.IsAuxiliary(name)), fresh);
        foreach (var (name, tensor) in network.ExportState())
            Assert.Equal(fresh.Contains(name) ? initial[name].Values : backbone[name].Values, tensor.Values);
    }

    [Fact]
    public void Images_that_do_not_fit_are_refused()
    {
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(GoldenNetworks.All["tiny"], 10, backend, seed: 1);
        Assert.Contains("[N, 3, H, W], not [1, 1, 32, 32]", Assert.Throws<ArgumentException>(() => Evaluate(backend, network, TensorData.Zeros(1, 1, 32, 32))).Message);
        Assert.Contains("too small", Assert.Throws<ArgumentException>(() => Evaluate(backend, network, TensorData.Zeros(1, 3, 32, 31))).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => new TrainingNetwork(GoldenNetworks.All["tiny"], 0, backend, seed: 1));
    }

    [Theory]
    [InlineData("stage1.0.rbr_dense.conv.weight", true)]
    [InlineData("stage1.0.rbr_dense.bn.weight", false)]
    [InlineData("stage1.0.rbr_1x1.bn.bias", false)]
    [InlineData("stage2.1.rbr_identity.weight", true)]
    [InlineData("stage2.1.rbr_identity.bias", false)]
    [InlineData("stage2.1.se.up.weight", true)]
    [InlineData("stage2.1.se.up.bias", false)]
    [InlineData("linear.weight", true)]
    [InlineData("linear.bias", false)]
    public void Weight_decay_is_the_authors_choice(string name, bool expected)
    {
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(GoldenNetworks.All["tiny-se"], 10, backend, seed: 1);
        var groups = network.ParameterGroups(weightDecay: 0.5f);
        Assert.Equal(expected ? 0.5f : 0, Assert.Single(groups, group => group.Parameters.Any(parameter => parameter.Name == name)).WeightDecay);
        Assert.Equal(network.Parameters.Select(parameter => parameter.Name).Order(), groups.SelectMany(group => group.Parameters).Select(parameter => parameter.Name).Order());
    }

    /// <summary>Batch norms of sums and of MobileOne's identities, and the scales of Dirac, Csla and HyperSearch, of which only those of the identity are decayed.</summary>
    [Theory]
    [InlineData(TrainingForm.HyperSearch, "stage1.1.conv.weight", true)]
    [InlineData(TrainingForm.HyperSearch, "stage1.1.conv_1x1.weight", true)]
    [InlineData(TrainingForm.HyperSearch, "stage1.1.scale_conv.weight", false)]
    [InlineData(TrainingForm.HyperSearch, "stage1.1.scale_1x1.weight", false)]
    [InlineData(TrainingForm.HyperSearch, "stage1.1.scale_identity.weight", true)]
    [InlineData(TrainingForm.HyperSearch, "stage1.1.bn.weight", false)]
    [InlineData(TrainingForm.Csla, "stage1.1.scale_identity.weight", true)]
    [InlineData(TrainingForm.Csla, "stage1.1.bn.weight", false)]
    [InlineData(TrainingForm.Dirac, "stage1.1.rbr_dense.conv.weight", true)]
    [InlineData(TrainingForm.Dirac, "stage1.1.rbr_dense.conv.alpha", false)]
    [InlineData(TrainingForm.Dirac, "stage1.1.rbr_dense.conv.beta", false)]
    [InlineData(TrainingForm.Dirac, "stage1.1.rbr_dense.bn.weight", false)]
    [InlineData(TrainingForm.MobileOne, "stage1.1.rbr_conv.1.conv.weight", true)]
    [InlineData(TrainingForm.MobileOne, "stage1.1.rbr_skip.weight", false)]
    [InlineData(TrainingForm.PostAdditionNorm, "stage1.1.bn.weight", false)]
    [InlineData(TrainingForm.QARepVgg, "stage1.1.bn.weight", false)]
    [InlineData(TrainingForm.ReluInBranches, "stage1.1.rbr_identity.weight", true)]
    public void Weight_decay_of_every_form_is_its_authors_choice(TrainingForm form, string name, bool expected)
    {
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (4, 1, 2), (4, 2, 2)) with { TrainingForm = form }, 3, backend, seed: 1);
        var groups = network.ParameterGroups(weightDecay: 0.5f);
        Assert.Equal(expected ? 0.5f : 0, Assert.Single(groups, group => group.Parameters.Any(parameter => parameter.Name == name)).WeightDecay);
        Assert.Equal(network.Parameters.Select(parameter => parameter.Name).Order(), groups.SelectMany(group => group.Parameters).Select(parameter => parameter.Name).Order());
    }

    [Fact]
    public void Custom_L2_replaces_the_weight_decay_of_branch_kernels_only()
    {
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(GoldenNetworks.All["tiny-se"], 10, backend, seed: 1);
        var decayed = network.ParameterGroups(0.5f, decayBranchKernels: false).Where(group => group.WeightDecay > 0).SelectMany(group => group.Parameters).Select(parameter => parameter.Name).ToHashSet();
        Assert.DoesNotContain("stage1.0.rbr_dense.conv.weight", decayed);
        Assert.DoesNotContain("stage1.0.rbr_1x1.conv.weight", decayed);
        Assert.Contains("stage2.1.rbr_identity.weight", decayed);
        Assert.Contains("stage2.1.se.up.weight", decayed);
        Assert.Contains("linear.weight", decayed);
    }

    private static float[] Evaluate(CpuBackend backend, TrainingNetwork network, TensorData images)
    {
        using var step = backend.BeginStep(training: false);
        var logits = network.Forward(backend.CreateInput([.. images.Shape], images.Values));
        var values = new float[logits.Shape[0] * logits.Shape[1]];
        backend.CopyOut(logits, values);
        return values;
    }
}
