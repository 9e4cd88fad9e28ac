using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Tests.Weights.Naming;

public class TimmNamesTests
{
    /// <summary>Names as timm's repvgg_a0, its D2se and its reparameterised models have them.</summary>
    [Theory]
    [InlineData("stem.conv_kxk.conv.weight", "stage0.rbr_dense.conv.weight")]
    [InlineData("stem.conv_1x1.bn.running_var", "stage0.rbr_1x1.bn.running_var")]
    [InlineData("stages.0.0.conv_kxk.bn.weight", "stage1.0.rbr_dense.bn.weight")]
    [InlineData("stages.2.13.identity.running_mean", "stage3.13.rbr_identity.running_mean")]
    [InlineData("stages.3.0.attn.fc1.bias", "stage4.0.se.down.bias")]
    [InlineData("stages.3.0.attn.fc2.weight", "stage4.0.se.up.weight")]
    [InlineData("stages.1.2.reparam_conv.bias", "stage2.2.rbr_reparam.bias")]
    [InlineData("head.fc.weight", "linear.weight")]
    public void Names_are_mapped_both_ways(string timm, string authors)
    {
        Assert.Equal(authors, Assert.Single(TimmNames.ToAuthors(One(timm)).Names));
        Assert.Equal(timm, Assert.Single(TimmNames.FromAuthors(One(authors)).Names));
    }

    [Theory]
    [InlineData("tiny")]
    [InlineData("tiny-g4")]
    [InlineData("tiny-se")]
    public void Whole_networks_go_there_and_back(string name)
    {
        var training = GoldenNetworks.TrainingState(name);
        var deploy = DeployNetwork.FromTrainingForm(GoldenNetworks.All[name], training, 64, 64, Normalization.Identity(3)).ExportState();
        foreach (var state in (StateDict[])[training, deploy])
        {
            Assert.False(TimmNames.AreIn(state));
            var timm = TimmNames.FromAuthors(state);
            Assert.True(TimmNames.AreIn(timm));
            Assert.DoesNotContain(timm.Names, name => name.Contains("rbr") || name.StartsWith("stage0"));
            var back = TimmNames.ToAuthors(timm);
            Assert.Equal(state.Names, back.Names);
            Assert.All(state, item => Assert.Same(item.Value, back[item.Key]));
        }
    }

    [Fact]
    public void What_timm_has_no_name_for_is_listed()
    {
        var error = Assert.Throws<ArgumentException>(() => TimmNames.FromAuthors(GoldenNetworks.TrainingState("tinyplus-pse")));
        Assert.Contains("stage1.blocks.0.", error.Message);
        Assert.Matches(@"\(\d+\): stage.*; \.\.\. \(\d+ more\) \.\.\.; .*stage3_first_aux\.3\.bias\.", error.Message);
        Assert.InRange(error.Message.Length, 100, 1000);
        Assert.Contains("stages.0.0.conv1.weight", Assert.Throws<ArgumentException>(() => TimmNames.ToAuthors(One("stages.0.0.conv1.weight"))).Message);
        Assert.Throws<ArgumentException>(() => TimmNames.FromAuthors(One("stage1.rbr_dense.conv.weight")));
        Assert.Throws<ArgumentException>(() => TimmNames.FromAuthors(One("stage0.0.rbr_dense.conv.weight")));
    }

    /// <summary>timm's blocks have a batch norm in the identity branch, so that the weights of this form would not load there.</summary>
    [Fact]
    public void Blocks_whose_identity_has_no_batch_norm_are_refused()
    {
        var architecture = GoldenNetworks.All["tiny"] with { TrainingForm = TrainingForm.IdentityWithoutNorm };
        var state = RandomStates.Training(architecture, 5);
        foreach (var rename in (Func<StateDict, StateDict>[])[TimmNames.FromAuthors, MmPretrainNames.FromAuthors])
            Assert.Contains("these blocks have none (3): stage2.1; stage3.1; stage3.2.", Assert.Throws<ArgumentException>(() => rename(state)).Message);
        var deploy = DeployNetwork.FromTrainingForm(architecture, state, 64, 64, Normalization.Identity(3)).ExportState();
        Assert.Equal(deploy.Count, TimmNames.FromAuthors(deploy).Count);
    }

    private static StateDict One(string name) => new() { [name] = TensorData.Zeros(1) };
}
