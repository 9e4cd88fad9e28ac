using RepVgg.Architectures;
using RepVgg.Diagnostics;
using RepVgg.Networks;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Tests.Diagnostics;

public class ModelStatisticsTests
{
    /// <summary>Parameters in millions of both forms (MMPretrain's model zoo), and the deploy form's billions of multiply-adds at 224 pixels (the paper's tables).</summary>
    [Theory]
    [InlineData("RepVGG-A0", 9.11, 8.31, 1.4)]
    [InlineData("RepVGG-A1", 14.09, 12.79, 2.4)]
    [InlineData("RepVGG-A2", 28.21, 25.5, 5.1)]
    [InlineData("RepVGG-B0", 15.82, 14.34, 3.1)]
    [InlineData("RepVGG-B1", 57.42, 51.83, 11.8)]
    [InlineData("RepVGG-B1g2", 45.78, 41.36, 8.8)]
    [InlineData("RepVGG-B1g4", 39.97, 36.13, 7.3)]
    [InlineData("RepVGG-B2", 89.02, 80.32, 18.4)]
    [InlineData("RepVGG-B2g4", 61.76, 55.78, 11.3)]
    [InlineData("RepVGG-B3", 123.09, 110.96, 26.2)]
    [InlineData("RepVGG-B3g4", 83.83, 75.63, 16.1)]
    public void Figures_are_the_published_ones(string name, double trainingMillions, double deployMillions, double billions)
    {
        var variant = RepVggVariants.Find(name);
        var training = ModelStatistics.Of(variant, WeightsForm.Training, 1000, 224, 224);
        var deploy = ModelStatistics.Of(variant, WeightsForm.Deploy, 1000, 224, 224);
        Assert.Equal(trainingMillions, training.Parameters / 1e6, 0.006);
        Assert.Equal(deployMillions, deploy.Parameters / 1e6, 0.006);
        Assert.Equal(billions, deploy.MultiplyAdds / 1e9, 0.05);
    }

    [Fact]
    public void A0s_multiply_adds_are_those_of_MMPretrain()
    {
        Assert.Equal(1.52, ModelStatistics.Of(RepVggVariants.A0, WeightsForm.Training, 1000, 224, 224).MultiplyAdds / 1e9, 0.005);
        Assert.Equal(1.36, ModelStatistics.Of(RepVggVariants.A0, WeightsForm.Deploy, 1000, 224, 224).MultiplyAdds / 1e9, 0.005);
    }

    [Fact]
    public void Every_block_is_counted_by_hand()
    {
        // A stem 3 -> 32 of stride 2 on 15x9 pixels gives 8x5; then 32 -> 32 in place with identity, squeeze width 2 before the ReLU.
        var architecture = new RepVggArchitecture
        {
            Name = "hand",
            SqueezeExcitation = SqueezeExcitation.BeforeRelu,
            Stages = [new("stage0", 32, 1, 2), new("stage1", 32, 1, 1)],
        };
        var training = ModelStatistics.Of(architecture, WeightsForm.Training, 7, 15, 9);
        var deploy = ModelStatistics.Of(architecture, WeightsForm.Deploy, 7, 15, 9);
        const int Pixels = 8 * 5, Gate = 2 * 32 * 2, GateParameters = Gate + 32 + 2;
        Assert.Equal((8, 5), (deploy.Blocks[1].Height, deploy.Blocks[1].Width));
        Assert.Equal(32 * Pixels, deploy.LargestActivation);
        Assert.Equal(2 * 32 * Pixels, deploy.Activations);
        Assert.Equal(9 * 3 * 32 * Pixels + Gate, deploy.Blocks[0].MultiplyAdds);
        Assert.Equal(9 * 32 * 32 * Pixels + Gate, deploy.Blocks[1].MultiplyAdds);
        Assert.Equal(10 * 3 * 32 * Pixels + 2 * 32 * Pixels + Gate, training.Blocks[0].MultiplyAdds);
        Assert.Equal(10 * 32 * 32 * Pixels + 3 * 32 * Pixels + Gate, training.Blocks[1].MultiplyAdds);
        Assert.Equal(9 * 3 * 32 + 32 + GateParameters, deploy.Blocks[0].Parameters);
        Assert.Equal(10 * 32 * 32 + 3 * 2 * 32 + GateParameters, training.Blocks[1].Parameters);
        Assert.Equal(deploy.Blocks.Sum(block => block.Parameters) + 33 * 7, deploy.Parameters);
        Assert.Equal(deploy.Blocks.Sum(block => block.MultiplyAdds) + 32 * 7, deploy.MultiplyAdds);
    }

    [Fact]
    public void Parameters_are_those_that_the_network_has()
    {
        foreach (var variant in RepVggVariants.All)
        {
            var headless = variant with { Stages = [.. variant.Stages.Select(stage => stage with { AuxiliaryHead = false })] };
            int size = variant.DefaultImageSize;
            Assert.Equal(StateLayout.CountParameters(StateLayout.Training(headless, 10)), ModelStatistics.Of(variant, WeightsForm.Training, 10, size, size).Parameters);
            Assert.Equal(StateLayout.CountParameters(StateLayout.Deploy(variant, 10)), ModelStatistics.Of(variant, WeightsForm.Deploy, 10, size, size).Parameters);
        }
    }
}
