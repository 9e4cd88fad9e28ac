using RepVgg.Architectures;
using RepVgg.Diagnostics;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Diagnostics;

public class FusionCheckTests
{
    public static TheoryData<string> Variants => [.. RepVggVariants.All.Select(variant => variant.Name)];

    private static (StateDict State, DeployNetwork Network) Fused(RepVggArchitecture architecture)
    {
        var state = RandomStates.Training(architecture, 5);
        int size = architecture.TotalStride + 3;
        return (state, DeployNetwork.FromTrainingForm(architecture, state, size, size + 1, Normalization.Identity(architecture.InputChannels)));
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void The_forms_of_every_variant_agree(string name)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.Find(name));
        var (state, network) = Fused(architecture);
        var report = FusionCheck.Compare(network.Architecture, state, network with { Normalization = new([.. network.Normalization.Mean.Select(_ => 9f)], [.. network.Normalization.Scale.Select(_ => 3f)]) });
        Assert.Equal(architecture.Blocks.Select(block => block.Name), report.Blocks.Select(block => block.Block));
        Assert.InRange(report.Largest, 1e-9, 1e-5);
    }

    [Theory]
    [InlineData(TrainingForm.RepVgg, 8, null)]
    [InlineData(TrainingForm.RepVgg, 4, 3)]
    [InlineData(TrainingForm.AsymmetricConv, 8, null)]
    [InlineData(TrainingForm.QARepVgg, 8, null)]
    [InlineData(TrainingForm.MobileOne, 8, 2)]
    [InlineData(TrainingForm.Dirac, 8, null)]
    public void The_forms_of_dilated_networks_agree(TrainingForm form, int outputStride, int? dilatedBlocks)
    {
        // The stages that lose their stride begin with blocks of equal numbers of channels, which have no identity branch.
        var architecture = RepVggVariants.Create("small", [1, 2, 2, 1], 0.125, 0.125) with { TrainingForm = form, OutputStride = outputStride, DilatedBlocks = dilatedBlocks };
        architecture = architecture with { Stages = [.. architecture.Stages.Select(stage => stage with { Width = 16 })] };
        Assert.All(architecture.Blocks, block => Assert.Equal(block.IndexInStage > 0, block.HasIdentity));
        var state = RandomStates.Training(architecture, 5);
        var network = DeployNetwork.FromTrainingForm(architecture, state, 45, 52, Normalization.Identity(3));
        Assert.InRange(FusionCheck.Compare(architecture, state, network).Largest, 1e-9, 1e-5);
    }

    [Theory]
    [InlineData(TrainingForm.DiverseBranch, 8, null, "several layers")]
    [InlineData(TrainingForm.RepVgg, 3, null, "not a product of its first strides")]
    [InlineData(TrainingForm.RepVgg, 8, 99, "99 dilated blocks")]
    [InlineData(TrainingForm.RepVgg, null, 2, "no output stride")]
    public void Dilation_that_is_not_defined_is_refused(TrainingForm form, int? outputStride, int? dilatedBlocks, string reason)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.A0) with { TrainingForm = form, OutputStride = outputStride, DilatedBlocks = dilatedBlocks };
        Assert.Contains(reason, Assert.Throws<ArgumentException>(architecture.Validate).Message);
    }

    [Fact]
    public void A_wrong_block_shows_in_its_own_line_and_in_the_whole()
    {
        var (state, network) = Fused(RandomStates.Reduce(RepVggVariants.A0));
        var bias = network.Blocks[3].Bias;
        var wrong = network with { Blocks = network.Blocks.SetItem(3, network.Blocks[3] with { Bias = bias.SetItem(2, bias[2] + 0.5f) }) };
        var report = FusionCheck.Compare(network.Architecture, state, wrong);
        Assert.InRange(report.Blocks[3].Error, 1e-3, 1);
        Assert.All(report.Blocks.Where((_, i) => i != 3), block => Assert.InRange(block.Error, 0, 1e-5));
        Assert.InRange(report.Logits, 1e-4, 1);
    }

    [Fact]
    public void A_wrong_classifier_shows_in_the_whole_only()
    {
        var (state, network) = Fused(RandomStates.Reduce(RepVggVariants.S1));
        var report = FusionCheck.Compare(network.Architecture, state, network with { Classifier = network.Classifier with { Bias = [.. network.Classifier.Bias.Select(value => value + 1)] } });
        Assert.All(report.Blocks, block => Assert.InRange(block.Error, 0, 1e-5));
        Assert.InRange(report.Logits, 1e-3, 100);
        Assert.Equal(report.Logits, report.Largest);
    }

    [Fact]
    public void A_value_that_is_no_number_is_not_overlooked()
    {
        var (state, network) = Fused(RandomStates.Reduce(RepVggVariants.S1));
        var bias = network.Blocks[1].Bias;
        var wrong = network with { Blocks = network.Blocks.SetItem(1, network.Blocks[1] with { Bias = bias.SetItem(0, float.NaN) }) };
        Assert.True(double.IsNaN(FusionCheck.Compare(network.Architecture, state, wrong).Largest));
    }

    [Fact]
    public void Forms_of_different_networks_are_refused()
    {
        var (state, network) = Fused(RandomStates.Reduce(RepVggVariants.A0));
        var other = Fused(RandomStates.Reduce(RepVggVariants.B0)).Network;
        Assert.Contains("blocks differ", Assert.Throws<ArgumentException>(() => FusionCheck.Compare(network.Architecture, state, other)).Message);
        var fewer = network with { Classifier = new LinearWeights(network.Architecture.FeatureWidth, 2, [.. new float[2 * network.Architecture.FeatureWidth]], [0, 0]) };
        Assert.Contains("5 classes", Assert.Throws<ArgumentException>(() => FusionCheck.Compare(network.Architecture, state, fewer)).Message);
    }
}
