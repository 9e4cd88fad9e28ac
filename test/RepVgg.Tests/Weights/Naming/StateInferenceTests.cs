using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Tests.Weights.Naming;

public class StateInferenceTests
{
    public static TheoryData<string> Golden => GoldenNetworks.Names;

    public static TheoryData<string> Variants => [.. RepVggVariants.All.Select(variant => variant.Name)];

    [Theory]
    [MemberData(nameof(Variants))]
    public void Named_variants_are_found_at_full_width_by_shape_alone(string name)
    {
        var variant = RepVggVariants.Find(name);
        Assert.Equal(variant, StateInference.Infer(Shapes(StateLayout.Training(variant, 11))));
        // The deploy forms of RepOpt-VGG-B1 and B2 are those of RepVGG-B1 and B2.
        var deployed = name is "RepOpt-VGG-B1" or "RepOpt-VGG-B2" ? RepVggVariants.Find(name.Replace("RepOpt-VGG", "RepVGG", StringComparison.Ordinal)) : variant;
        Assert.Equal(deployed, StateInference.Infer(Shapes(StateLayout.Deploy(variant, 11))));
        var gray = variant with { InputChannels = 1 };
        Assert.Equal(gray, StateInference.Infer(Shapes(StateLayout.Training(gray, 2))));
    }

    [Theory]
    [MemberData(nameof(Golden))]
    public void Networks_of_no_table_are_found(string name)
    {
        var expected = GoldenNetworks.All[name] with { Name = "RepVGG" };
        Assert.Equal(expected, StateInference.Infer(GoldenNetworks.TrainingState(name)));
        Assert.Equal(WeightsForm.Training, StateInference.FormOf(GoldenNetworks.TrainingState(name)));
        Assert.Equal(expected, StateInference.Infer(GoldenNetworks.DeployState(name)));
        Assert.Equal(WeightsForm.Deploy, StateInference.FormOf(GoldenNetworks.DeployState(name)));
    }

    [Theory]
    [MemberData(nameof(Golden))]
    public void The_order_of_names_does_not_matter(string name)
    {
        var sorted = new StateDict();
        foreach (var (weight, tensor) in GoldenNetworks.TrainingState(name).OrderByDescending(item => item.Key, StringComparer.Ordinal))
            sorted[weight] = tensor;
        Assert.Equal(StateInference.Infer(GoldenNetworks.TrainingState(name)), StateInference.Infer(sorted));
    }

    [Fact]
    public void Ten_blocks_and_more_are_sorted_by_number()
    {
        var architecture = RepVggVariants.Create("RepVGG", [1, 12, 1, 1], 0.25, 0.25);
        Assert.Equal(architecture, StateInference.Infer(Shapes(StateLayout.Training(architecture, 5).Reverse())));
    }

    [Fact]
    public void A_plus_without_its_auxiliary_heads_is_found()
    {
        var state = Shapes(StateLayout.Training(RepVggVariants.PlusL2pse, 10).Where(entry => !entry.Name.Contains("_aux.")));
        var found = StateInference.Infer(state);
        Assert.Equal("RepVGGplus-L2pse", found.Name);
        Assert.DoesNotContain(found.Stages, stage => stage.AuxiliaryHead);
    }

    [Fact]
    public void A_plus_with_some_of_its_auxiliary_heads_is_found()
    {
        var plus = RepVggVariants.PlusL2pse;
        var expected = plus with { Name = "RepVGG", DefaultImageSize = 224, Stages = plus.Stages.SetItem(1, plus.Stages[1] with { AuxiliaryHead = false }) };
        Assert.Equal(expected, StateInference.Infer(Shapes(StateLayout.Training(plus, 10).Where(entry => !entry.Name.StartsWith("stage1_aux.", StringComparison.Ordinal)))));
    }

    [Fact]
    public void Auxiliary_heads_beside_the_deploy_form_are_ignored()
    {
        var heads = StateLayout.Training(RepVggVariants.PlusL2pse, 10).Where(entry => StateLayout.IsAuxiliary(entry.Name));
        Assert.Equal(RepVggVariants.PlusL2pse, StateInference.Infer(Shapes(StateLayout.Deploy(RepVggVariants.PlusL2pse, 10).Concat(heads))));
        Assert.Equal(RepVggVariants.A0, StateInference.Infer(Shapes(StateLayout.Deploy(RepVggVariants.A0, 10).Concat(heads))));
    }

    [Fact]
    public void An_identity_branch_tells_the_stride_of_a_stage()
    {
        var architecture = new RepVggArchitecture { Name = "RepVGG", Stages = [new("stage0", 8, 1, 2), new("stage1", 8, 2, 1), new("stage2", 16, 1, 2)] };
        Assert.Equal(architecture, StateInference.Infer(Shapes(StateLayout.Training(architecture, 3))));
        var assumed = architecture with { Stages = architecture.Stages.SetItem(1, architecture.Stages[1] with { Stride = 2 }) };
        Assert.Equal(assumed, StateInference.Infer(Shapes(StateLayout.Deploy(architecture, 3))));
    }

    [Fact]
    public void What_is_no_RepVGG_is_said()
    {
        Refused("not those of a RepVGG network", state => state["fc.weight"] = TensorData.Zeros(2, 2), empty: true);
        Refused("mix the training and the deploy form", state => state["stage0.rbr_reparam.weight"] = TensorData.Zeros(8, 3, 3, 3));
        Refused("'linear.weight'", state => state["linear.weight"] = TensorData.Zeros(5));
        Refused("'stage1.0.rbr_dense.conv.weight' of shape [8, 8, 5, 5] is not the 3x3 kernel", state => state["stage1.0.rbr_dense.conv.weight"] = TensorData.Zeros(8, 8, 5, 5));
        Refused("'layer7.rbr_dense.conv.weight'", state => state["layer7.rbr_dense.conv.weight"] = TensorData.Zeros(8, 8, 3, 3));
        Refused("Surplus (1): stage4.1.rbr_1x1.conv.weight", state => state["stage4.1.rbr_1x1.conv.weight"] = TensorData.Zeros(64, 64, 1, 1));
        Refused("Misshapen (1): stage2.1.rbr_identity.bias is [15], not [16]", state => state["stage2.1.rbr_identity.bias"] = TensorData.Zeros(15));
    }

    private static void Refused(string expected, Action<StateDict> damage, bool empty = false)
    {
        var state = empty ? new StateDict() : GoldenNetworks.TrainingState("tiny");
        damage(state);
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => StateInference.Infer(state)).Message);
    }

    /// <summary>Zeros of the right shapes.</summary>
    private static StateDict Shapes(IEnumerable<StateEntry> entries)
    {
        var state = new StateDict();
        foreach (var entry in entries)
            state[entry.Name] = TensorData.Zeros(entry.Shape);
        return state;
    }
}
