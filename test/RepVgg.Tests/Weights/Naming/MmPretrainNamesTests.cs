using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Tests.Weights.PyTorch;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Tests.Weights.Naming;

public class MmPretrainNamesTests
{
    /// <summary>Names as MMPretrain's RepVGG-A0, its D2se and its models after switch_to_deploy have them.</summary>
    [Theory]
    [InlineData("backbone.stem.branch_3x3.conv.weight", "stage0.rbr_dense.conv.weight")]
    [InlineData("backbone.stem.branch_1x1.norm.running_var", "stage0.rbr_1x1.bn.running_var")]
    [InlineData("backbone.stage_1.0.branch_3x3.norm.weight", "stage1.0.rbr_dense.bn.weight")]
    [InlineData("backbone.stage_3.13.branch_norm.running_mean", "stage3.13.rbr_identity.running_mean")]
    [InlineData("backbone.stage_4.0.se_layer.conv1.conv.bias", "stage4.0.se.down.bias")]
    [InlineData("backbone.stage_4.0.se_layer.conv2.conv.weight", "stage4.0.se.up.weight")]
    [InlineData("backbone.stage_2.2.branch_reparam.bias", "stage2.2.rbr_reparam.bias")]
    [InlineData("head.fc.weight", "linear.weight")]
    public void Names_are_mapped_both_ways(string theirs, string authors)
    {
        Assert.Equal(authors, Assert.Single(MmPretrainNames.ToAuthors(One(theirs)).Names));
        Assert.Equal(theirs, Assert.Single(MmPretrainNames.FromAuthors(One(authors)).Names));
    }

    /// <summary>The files were renamed by a mapping in Python; see Golden/checkpoints/make.py.</summary>
    [Theory]
    [InlineData("tiny-train")]
    [InlineData("tiny-se-train")]
    [InlineData("tiny-deploy")]
    public void Whole_networks_get_the_names_that_Python_gave_them(string name)
    {
        var expected = PthReader.Read(GoldenFiles.PathOf($"checkpoints/mmpretrain-{name}.pth"));
        var authors = PthReader.Read(GoldenFiles.PathOf($"{name}.pth"));
        Assert.True(MmPretrainNames.AreIn(expected));
        Assert.False(MmPretrainNames.AreIn(authors));
        Assert.False(TimmNames.AreIn(expected));
        PthRoundTripTests.AssertSame(expected, MmPretrainNames.FromAuthors(authors));
        PthRoundTripTests.AssertSame(authors, MmPretrainNames.ToAuthors(expected));
    }

    [Fact]
    public void What_MMPretrain_cannot_express_is_refused()
    {
        Assert.Contains("stage1.blocks.0.", Refusal(GoldenNetworks.TrainingState("tinyplus-pse")));
        Assert.Contains("leaves out squeeze-and-excitation", Refusal(GoldenNetworks.DeployState("tiny-se")));
        Assert.Contains("backbone.ppf.conv1.conv.weight", Assert.Throws<ArgumentException>(() => MmPretrainNames.ToAuthors(One("backbone.ppf.conv1.conv.weight"))).Message);
        Assert.Throws<ArgumentException>(() => MmPretrainNames.ToAuthors(One("backbone.stage_1.0.branch_5x5.conv.weight")));
    }

    private static string Refusal(StateDict state) => Assert.Throws<ArgumentException>(() => MmPretrainNames.FromAuthors(state)).Message;

    private static StateDict One(string name) => new() { [name] = TensorData.Zeros(1) };
}
