using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Tests.Architectures;

public class RepVggVariantsTests
{
    /// <summary>Parameters in millions with the 1000-class head, training and deploy form, as MMPretrain's model zoo lists them.</summary>
    [Theory]
    [InlineData("RepVGG-A0", 9.11, 8.31)]
    [InlineData("RepVGG-A1", 14.09, 12.79)]
    [InlineData("RepVGG-A2", 28.21, 25.5)]
    [InlineData("RepVGG-B0", 15.82, 14.34)]
    [InlineData("RepVGG-B1", 57.42, 51.83)]
    [InlineData("RepVGG-B1g2", 45.78, 41.36)]
    [InlineData("RepVGG-B1g4", 39.97, 36.13)]
    [InlineData("RepVGG-B2", 89.02, 80.32)]
    [InlineData("RepVGG-B2g4", 61.76, 55.78)]
    [InlineData("RepVGG-B3", 123.09, 110.96)]
    [InlineData("RepVGG-B3g4", 83.83, 75.63)]
    [InlineData("RepVGG-D2se", 133.33, 120.39)]
    public void Parameter_counts_are_the_published_ones(string name, double training, double deploy)
    {
        var variant = RepVggVariants.Find(name);
        Assert.Equal(training, StateLayout.CountParameters(StateLayout.Training(variant, 1000)) / 1e6, 0.006);
        Assert.Equal(deploy, StateLayout.CountParameters(StateLayout.Deploy(variant, 1000)) / 1e6, 0.006);
    }

    /// <summary>Parameters of the deploy form in millions, as RepOptimizer's repository lists them. In training, a plain block has one parameter per channel more.</summary>
    [Theory]
    [InlineData("RepOpt-VGG-B1", 51.8)]
    [InlineData("RepOpt-VGG-B2", 80.3)]
    [InlineData("RepOpt-VGG-L1", 76.0)]
    [InlineData("RepOpt-VGG-L2", 118.1)]
    public void Parameter_counts_of_plain_variants_are_the_published_ones(string name, double deploy)
    {
        var variant = RepVggVariants.Find(name);
        long counted = StateLayout.CountParameters(StateLayout.Deploy(variant, 1000));
        Assert.Equal(deploy, counted / 1e6, 0.05);
        Assert.Equal(counted + variant.Blocks.Sum(block => block.OutputChannels), StateLayout.CountParameters(StateLayout.Training(variant, 1000)));
    }

    /// <summary>Stem width, stage widths and depths as the paper's tables 2 and 3 give them, groups, and parameters of the deploy form by counting: 9 I O / g + O for each block.</summary>
    [Theory]
    [InlineData("A0", 48, new[] { 48, 96, 192, 1280 }, new[] { 2, 4, 14, 1 }, 1)]
    [InlineData("A1", 64, new[] { 64, 128, 256, 1280 }, new[] { 2, 4, 14, 1 }, 1)]
    [InlineData("A2", 64, new[] { 96, 192, 384, 1408 }, new[] { 2, 4, 14, 1 }, 1)]
    [InlineData("B0", 64, new[] { 64, 128, 256, 1280 }, new[] { 4, 6, 16, 1 }, 1)]
    [InlineData("B1", 64, new[] { 128, 256, 512, 2048 }, new[] { 4, 6, 16, 1 }, 1)]
    [InlineData("B1g2", 64, new[] { 128, 256, 512, 2048 }, new[] { 4, 6, 16, 1 }, 2)]
    [InlineData("B1g4", 64, new[] { 128, 256, 512, 2048 }, new[] { 4, 6, 16, 1 }, 4)]
    [InlineData("B2", 64, new[] { 160, 320, 640, 2560 }, new[] { 4, 6, 16, 1 }, 1)]
    [InlineData("B2g2", 64, new[] { 160, 320, 640, 2560 }, new[] { 4, 6, 16, 1 }, 2)]
    [InlineData("B2g4", 64, new[] { 160, 320, 640, 2560 }, new[] { 4, 6, 16, 1 }, 4)]
    [InlineData("B3", 64, new[] { 192, 384, 768, 2560 }, new[] { 4, 6, 16, 1 }, 1)]
    [InlineData("B3g2", 64, new[] { 192, 384, 768, 2560 }, new[] { 4, 6, 16, 1 }, 2)]
    [InlineData("B3g4", 64, new[] { 192, 384, 768, 2560 }, new[] { 4, 6, 16, 1 }, 4)]
    [InlineData("D2se", 64, new[] { 160, 320, 640, 2560 }, new[] { 8, 14, 24, 1 }, 1)]
    [InlineData("RepVGGplus-L2pse", 64, new[] { 160, 320, 640, 2560 }, new[] { 8, 14, 24, 1 }, 1)]
    [InlineData("RepOpt-VGG-B1", 64, new[] { 128, 256, 512, 2048 }, new[] { 4, 6, 16, 1 }, 1)]
    [InlineData("RepOpt-VGG-B2", 64, new[] { 160, 320, 640, 2560 }, new[] { 4, 6, 16, 1 }, 1)]
    [InlineData("RepOpt-VGG-L1", 64, new[] { 128, 256, 512, 2048 }, new[] { 8, 14, 24, 1 }, 1)]
    [InlineData("RepOpt-VGG-L2", 64, new[] { 160, 320, 640, 2560 }, new[] { 8, 14, 24, 1 }, 1)]
    public void Shapes_at_full_width_are_the_papers(string name, int stem, int[] widths, int[] depths, int groups)
    {
        var variant = RepVggVariants.Find(name);
        var layout = StateLayout.Training(variant, 1000).ToDictionary(entry => entry.Name, entry => entry.Shape);
        int layer = 0, input = 3;
        long deploy = 0;
        foreach (var (block, width) in variant.Blocks.Zip(Enumerable.Repeat(stem, 1).Concat(widths.Zip(depths).SelectMany(stage => Enumerable.Repeat(stage.First, stage.Second)))))
        {
            bool starts = layer == 0 || depths.Select((_, i) => 1 + depths.Take(i).Sum()).Contains(layer);
            int expectedGroups = layer > 0 && layer % 2 == 0 ? groups : 1;
            Assert.Equal((input, width, starts ? 2 : 1, expectedGroups), (block.InputChannels, block.OutputChannels, block.Stride, block.Groups));
            bool isPlain = name.StartsWith("RepOpt", StringComparison.Ordinal);
            Assert.Equal([width, input / expectedGroups, 3, 3], layout[$"{block.Name}.{(isPlain ? "conv" : "rbr_dense.conv")}.weight"]);
            if (!isPlain)
                Assert.Equal([width, input / expectedGroups, 1, 1], layout[$"{block.Name}.rbr_1x1.conv.weight"]);
            Assert.Equal(!starts && !isPlain, layout.ContainsKey($"{block.Name}.rbr_identity.weight"));
            int reduced = variant.SqueezeExcitation switch { SqueezeExcitation.BeforeRelu => width / 16, SqueezeExcitation.AfterRelu => width / 4, _ => 0 };
            deploy += 9L * input * width / expectedGroups + width + (reduced == 0 ? 0 : 2L * width * reduced + reduced + width);
            (layer, input) = (layer + 1, width);
        }
        Assert.Equal(1 + depths.Sum(), layer);
        Assert.Equal([1000, widths[3]], layout["linear.weight"]);
        Assert.Equal(deploy + widths[3] * 1000 + 1000, StateLayout.CountParameters(StateLayout.Deploy(variant, 1000)));
    }

    [Fact]
    public void Every_variant_is_valid_and_found_by_its_name()
    {
        string[] names =
        [
            "RepVGG-S0", "RepVGG-S1", "RepVGG-S2", "RepVGG-S3", "RepVGG-S4", "RepVGG-A0", "RepVGG-A1", "RepVGG-A2", "RepVGG-B0", "RepVGG-B1", "RepVGG-B1g2", "RepVGG-B1g4",
            "RepVGG-B2", "RepVGG-B2g2", "RepVGG-B2g4", "RepVGG-B3", "RepVGG-B3g2", "RepVGG-B3g4", "RepVGG-D2se", "RepVGGplus-L2pse",
            "RepOpt-VGG-B1", "RepOpt-VGG-B2", "RepOpt-VGG-L1", "RepOpt-VGG-L2",
        ];
        Assert.Equal(names, RepVggVariants.All.Select(variant => variant.Name));
        foreach (var variant in RepVggVariants.All)
        {
            variant.Validate();
            variant.ValidateImageSize(variant.DefaultImageSize, variant.DefaultImageSize);
            Assert.Same(variant, RepVggVariants.Find(variant.Name.ToUpperInvariant()));
        }
        Assert.Same(RepVggVariants.A0, RepVggVariants.Find("a0"));
    }

    [Theory]
    [InlineData("RepVGG-S0", 1)]
    [InlineData("RepVGG-S1", 1)]
    [InlineData("RepVGG-S2", 1)]
    [InlineData("RepVGG-S3", 2)]
    [InlineData("RepVGG-S4", 1)]
    public void Small_variants_have_up_to_a_million_and_a_half_parameters_and_the_announced_stems(string name, int stride)
    {
        var variant = RepVggVariants.Find(name);
        Assert.InRange(StateLayout.CountParameters(StateLayout.Deploy(variant, 10)), 50_000, 1_500_000);
        Assert.Equal(stride, variant.Stages[0].Stride);
        foreach (int channels in (int[])[1, 3])
            (variant with { InputChannels = channels }).Validate();
    }

    [Fact]
    public void An_unknown_name_lists_the_known_ones()
    {
        var error = Assert.Throws<ArgumentException>(() => RepVggVariants.Find("RepVGG-Z9"));
        Assert.Contains("'RepVGG-Z9'", error.Message);
        Assert.Contains("RepVGG-B1g4", error.Message);
    }

    [Fact]
    public void Groups_are_on_every_second_layer_from_the_third()
    {
        var groups = RepVggVariants.Find("B1g4").Blocks.Select(block => block.Groups).ToArray();
        Assert.Equal(28, groups.Length);
        Assert.All(groups.Index(), item => Assert.Equal(item.Index > 0 && item.Index % 2 == 0 ? 4 : 1, item.Item));
    }

    [Fact]
    public void Plus_splits_its_third_stage_and_names_its_blocks()
    {
        var names = RepVggVariants.PlusL2pse.Blocks.Select(block => block.Name).ToArray();
        Assert.Equal("stage0", names[0]);
        Assert.Equal("stage1.blocks.0", names[1]);
        Assert.Equal(12, names.Count(name => name.StartsWith("stage3_first.blocks.")));
        Assert.Equal(12, names.Count(name => name.StartsWith("stage3_second.blocks.")));
        Assert.Equal(["stage1", "stage2", "stage3_first"], RepVggVariants.PlusL2pse.Stages.Where(stage => stage.AuxiliaryHead).Select(stage => stage.Name));
        Assert.Equal(32, RepVggVariants.PlusL2pse.TotalStride);
    }

    [Fact]
    public void Architectures_are_equal_by_value()
    {
        var copy = RepVggVariants.Create("RepVGG-A0", [2, 4, 14, 1], 0.75, 2.5);
        Assert.Equal(RepVggVariants.A0, copy);
        Assert.Equal(RepVggVariants.A0.GetHashCode(), copy.GetHashCode());
        Assert.NotEqual(RepVggVariants.A0, copy with { Stages = copy.Stages.SetItem(1, copy.Stages[1] with { Depth = 3 }) });
    }
}
