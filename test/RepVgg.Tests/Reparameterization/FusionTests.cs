using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Tests.Reparameterization;

public class FusionTests
{
    private const double Tolerance = 1e-5;

    public static TheoryData<string> Golden => GoldenNetworks.Names;

    public static TheoryData<string> Variants => [.. RepVggVariants.All.Select(variant => variant.Name)];

    [Theory]
    [MemberData(nameof(Golden))]
    public void Fused_weights_are_the_authors(string name)
    {
        var expected = GoldenNetworks.DeployState(name);
        var actual = Fuse(name).ExportState();
        Assert.Equal(expected.Names.Where(weight => !weight.Contains("_aux.")), actual.Names);
        foreach (var (weight, tensor) in actual)
        {
            Assert.Equal(expected[weight].Shape, tensor.Shape);
            Compare.Close(expected[weight].Values, tensor.Values, Tolerance, weight);
        }
    }

    [Theory]
    [MemberData(nameof(Golden))]
    public void Logits_of_the_fused_network_are_the_authors(string name)
    {
        var network = Fuse(name);
        var input = GoldenNetworks.Input(name);
        float[] expected = GoldenFiles.Floats($"{name}-logits-deploy.npy").Values;
        Compare.Close(expected, ReferenceNetwork.Logits(network, input.Values, 2), Tolerance, "by definition");

        var logits = new float[expected.Length];
        using var engine = new InferenceEngine(network);
        engine.Run(input.Values, 2, logits);
        Compare.Close(expected, logits, Tolerance, "by the engine");
    }

    [Theory]
    [MemberData(nameof(Golden))]
    public void Logits_of_the_authors_deploy_checkpoint_are_the_authors(string name)
    {
        var architecture = GoldenNetworks.All[name];
        var input = GoldenNetworks.Input(name);
        var network = DeployNetwork.FromDeployForm(architecture, GoldenNetworks.DeployState(name), input.Shape[2], input.Shape[3], Normalization.Identity(3));
        float[] expected = GoldenFiles.Floats($"{name}-logits-deploy.npy").Values;
        var logits = new float[expected.Length];
        using var engine = new InferenceEngine(network);
        engine.Run(input.Values, 2, logits);
        Compare.Close(expected, logits, Tolerance);
    }

    [Theory]
    [MemberData(nameof(Golden))]
    public void The_training_form_oracle_gives_the_authors_logits(string name)
    {
        float[] logits = new ReferenceTrainingForm(GoldenNetworks.All[name], GoldenNetworks.TrainingState(name)).Logits(GoldenNetworks.Input(name));
        Compare.Close(GoldenFiles.Floats($"{name}-logits-train.npy").Values, logits, Tolerance);
    }

    /// <summary>The invariant: train form == deploy form, for every variant at reduced width.</summary>
    [Theory]
    [MemberData(nameof(Variants))]
    public void Both_forms_of_every_variant_agree(string name)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.Find(name));
        int size = architecture.TotalStride + 4;
        var state = RandomStates.Training(architecture, 7);
        var images = RandomStates.Images(2, architecture.InputChannels, size, size + 3);

        float[] expected = new ReferenceTrainingForm(architecture, state).Logits(images);
        var network = DeployNetwork.FromTrainingForm(architecture, state, size, size + 3, Normalization.Identity(architecture.InputChannels));
        var logits = new float[expected.Length];
        using var engine = new InferenceEngine(network);
        engine.Run(images.Values, 2, logits);
        Compare.Close(expected, logits, Tolerance);
    }

    [Fact]
    public void Every_batch_norm_has_its_own_epsilon()
    {
        // The same function twice: once with epsilon 1e-5, once with each norm's variance lowered by what its own epsilon adds.
        var architecture = GoldenNetworks.All["tiny-g2"];
        var state = GoldenNetworks.TrainingState("tiny-g2");
        var epsilons = state.Names.Where(name => name.EndsWith(".running_var")).Index().ToDictionary(item => item.Item[..^".running_var".Length], item => 1e-3 * (item.Index + 1));
        var shifted = new StateDict();
        foreach (var (name, tensor) in state)
        {
            shifted[name] = name.EndsWith(".running_var")
                ? new TensorData([.. tensor.Shape], [.. tensor.Values.Select(value => (float)(value + 1e-5 - epsilons[name[..^".running_var".Length]]))])
                : tensor;
        }
        StateDict expected = Fusion.Fuse(architecture, state), actual = Fusion.Fuse(architecture, shifted, name => epsilons[name]);
        Assert.Equal(expected.Names, actual.Names);
        foreach (var (name, tensor) in expected)
            Compare.Close(tensor.Values, actual[name].Values, Tolerance);
        var wrong = Fusion.Fuse(architecture, shifted);
        Assert.True(Compare.RelativeError(expected["stage0.rbr_reparam.weight"].Values, wrong["stage0.rbr_reparam.weight"].Values) > Tolerance);
    }

    [Theory]
    [MemberData(nameof(Golden))]
    public void Weights_of_the_training_form_become_new_weights_of_the_deploy_form(string name)
    {
        var (architecture, training) = (GoldenNetworks.All[name], GoldenNetworks.TrainingState(name));
        string before = training.Hash();
        var deploy = Fusion.Fuse(architecture, training);
        Assert.Equal(StateLayout.Deploy(architecture, StateLayout.ClassesOf(training)).Select(entry => entry.Name), deploy.Names);
        Assert.Equal(Fuse(name).ExportState().Hash(), deploy.Hash());
        foreach (var (_, tensor) in deploy)
            Array.Clear(tensor.Values);
        Assert.Equal(before, training.Hash());
    }

    [Fact]
    public void Every_difference_of_names_and_shapes_is_listed()
    {
        var state = new StateDict();
        foreach (var (name, tensor) in GoldenNetworks.TrainingState("tiny"))
        {
            if (name != "stage2.1.rbr_identity.bias" && name != "stage4.0.rbr_1x1.conv.weight")
                state[name] = tensor;
        }
        state["stage1.0.rbr_dense.conv.weight"] = TensorData.Zeros(8, 4, 3, 3);
        state["stage9.weight"] = TensorData.Zeros(1);
        var error = Assert.Throws<ArgumentException>(() => DeployNetwork.FromTrainingForm(GoldenNetworks.All["tiny"], state, 32, 32, Normalization.Identity(3)));
        Assert.Contains("Missing (2): stage2.1.rbr_identity.bias; stage4.0.rbr_1x1.conv.weight.", error.Message);
        Assert.Contains("Misshapen (1): stage1.0.rbr_dense.conv.weight is [8, 4, 3, 3], not [8, 8, 3, 3].", error.Message);
        Assert.Contains("Surplus (1): stage9.weight.", error.Message);
    }

    [Fact]
    public void What_cannot_be_deployed_is_refused()
    {
        var tiny = GoldenNetworks.All["tiny"];
        var state = GoldenNetworks.TrainingState("tiny");
        Assert.Contains("too small", Assert.Throws<ArgumentException>(() => DeployNetwork.FromTrainingForm(tiny, state, 31, 32, Normalization.Identity(3))).Message);
        Assert.Contains("3 means", Assert.Throws<ArgumentException>(() => DeployNetwork.FromTrainingForm(tiny, state, 32, 32, Normalization.Identity(1))).Message);
        Assert.Contains("linear.weight", Assert.Throws<ArgumentException>(() => DeployNetwork.FromTrainingForm(tiny, new StateDict(), 32, 32, Normalization.Identity(3))).Message);
        state["stage0.rbr_1x1.bn.running_var"].Values[5] = -1;
        Assert.Contains("'stage0.rbr_1x1.bn.running_var' is -1 at channel 5", Assert.Throws<ArgumentException>(() => DeployNetwork.FromTrainingForm(tiny, state, 32, 32, Normalization.Identity(3))).Message);
    }

    private static DeployNetwork Fuse(string name)
    {
        var input = GoldenNetworks.Input(name);
        return DeployNetwork.FromTrainingForm(GoldenNetworks.All[name], GoldenNetworks.TrainingState(name), input.Shape[2], input.Shape[3], Normalization.Identity(3));
    }
}
