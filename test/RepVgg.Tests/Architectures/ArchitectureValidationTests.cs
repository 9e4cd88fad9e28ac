using RepVgg.Architectures;
using RepVgg.Networks;
using Xunit;

namespace RepVgg.Tests.Architectures;

public class ArchitectureValidationTests
{
    private static readonly RepVggArchitecture _good = new()
    {
        Name = "mine",
        Stages = [new("stage0", 16, 1, 1), new("stage1", 32, 2, 2)],
    };

    public static TheoryData<RepVggArchitecture, string> Bad => new()
    {
        { _good with { Name = " " }, "no name" },
        { _good with { InputChannels = 4 }, "4 input channels" },
        { _good with { Groups = 0 }, "0 groups" },
        { _good with { Groups = 3 }, "stage1.1 has 32 to 32 channels, which 3 groups do not divide" },
        { _good with { BatchNormEpsilon = float.NaN }, "epsilon" },
        { _good with { DefaultImageSize = 0 }, "image size" },
        { _good with { DefaultImageSize = 1 << 20 }, "image size is 1048576, not 1 to 65535" },
        { _good with { Stages = default }, "a stem and at least one stage" },
        { _good with { Stages = _good.Stages.RemoveAt(1) }, "a stem and at least one stage" },
        { _good with { SqueezeExcitation = (SqueezeExcitation)7 }, "squeeze-and-excitation is 7" },
        { With(0, stage => stage with { Depth = 2 }), "stage0 has depth 2" },
        { With(1, stage => stage with { Depth = 0 }), "stage1 has depth 0" },
        { With(1, stage => stage with { Depth = int.MaxValue }), "blocks, more than" },
        { With(1, stage => stage with { Width = 0 }), "stage1 has width 0" },
        { With(1, stage => stage with { Stride = 3 }), "stage1 has stride 3" },
        { With(1, stage => stage with { Name = "stage0" }), "two stages are named 'stage0'" },
        { With(1, stage => stage with { Name = "a.b" }), "'a.b'" },
        { With(1, stage => stage with { AuxiliaryHead = true }), "auxiliary head" },
        { With(0, stage => stage with { Width = 15 }) with { SqueezeExcitation = SqueezeExcitation.BeforeRelu }, "stage0 has 15 channels, too few" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void What_cannot_be_built_is_named(RepVggArchitecture architecture, string expected)
    {
        var error = Assert.Throws<ArgumentException>(architecture.Validate);
        Assert.Contains(expected, error.Message);
    }

    [Fact]
    public void Every_problem_is_listed_at_once()
    {
        var error = Assert.Throws<ArgumentException>((_good with { InputChannels = 2, Groups = 0 }).Validate);
        Assert.Contains("2 input channels", error.Message);
        Assert.Contains("0 groups", error.Message);
    }

    [Fact]
    public void Images_smaller_than_the_total_stride_are_refused()
    {
        _good.Validate();
        _good.ValidateImageSize(2, 2);
        RepVggVariants.A0.ValidateImageSize(32, 40);
        var error = Assert.Throws<ArgumentException>(() => RepVggVariants.A0.ValidateImageSize(64, 28));
        Assert.Contains("28x64", error.Message);
        Assert.Contains("32x32", error.Message);
    }

    [Theory]
    [InlineData(1 << 20, 32, "32x1048576 pixels cannot be used: the width and the height must be 1 to 65535")]
    [InlineData(32, 1 << 20, "1048576x32 pixels cannot be used")]
    [InlineData(40000, 40000, "40000x40000 pixels cannot be used: the width and the height must be 1 to 65535, and there can be at most 536870912 pixels")]
    [InlineData(20000, 20000, "20000x20000 pixels are too large for RepVGG-A0: the image or a feature map would have 4800000000 values, more than 536870912")]
    [InlineData(int.MaxValue, int.MaxValue, "2147483647x2147483647 pixels cannot be used")]
    [InlineData(-5, 32, "32x-5 pixels cannot be used")]
    public void Images_too_large_are_refused_with_the_limit(int height, int width, string expected) =>
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => RepVggVariants.A0.ValidateImageSize(height, width)).Message);

    private static RepVggArchitecture With(int index, Func<StageSpec, StageSpec> change) =>
        _good with { Stages = _good.Stages.SetItem(index, change(_good.Stages[index])) };
}
