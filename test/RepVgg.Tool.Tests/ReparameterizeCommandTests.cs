using RepVgg.Samples.Learning;
using Xunit;

namespace RepVgg.Tool.Tests;

[Collection(ConsoleCollection.Name)]
public sealed class ReparameterizeCommandTests
{
    /// <summary>By hand: docs/reparameterization.md shows how.</summary>
    public static TheoryData<char, string[]> ByHand => new()
    {
        { 'a', ["one kernel of 3, bias 30", "the branches          66      84     111", "one convolution       66      84     111"] },
        { 'b', ["one kernel of 0.5, bias (10 - 5) / 10 * 5 + 20 = 22.5", "the branches        28.5    31.5      36", "one convolution     28.5    31.5      36", "where the convolution's own bias is dropped: bias 17.5, difference 5"] },
        { 'c', ["     0     1     0   |     0   1.5     0", "bias 17.5", "one convolution     21.5    21.5    21.5"] },
        { 'd', ["output 2 reads inputs 2 and 3 of its group by 3 and 0 in the centre, bias -2", "the branches           2       2       2"] },
        { 'e', ["     4    28     6", "bias 3; the centre is 5 * 1 + 10 * 2 + 3 = 28", "the branches          54      65      71", "one convolution       54      65      71", "a gradient of 1 by each value of the kernel: 1 by the 3x3 kernel, 2 by the 1x1 kernel"] },
    };

    [Theory]
    [MemberData(nameof(ByHand))]
    public void Every_step_shows_the_numbers_that_are_found_by_hand(char letter, string[] expected)
    {
        var (_, lines) = ReparameterizeCommand.Steps().Single(step => step.Title.StartsWith($"({letter})", StringComparison.Ordinal));
        Assert.All(expected, line => Assert.Contains(line, lines));
        Assert.Contains("difference less than 0.00001", lines);
    }

    [Fact]
    public void The_page_that_explains_it_shows_what_the_command_prints()
    {
        string page = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", "reparameterization.md")).ReplaceLineEndings("\n");
        foreach (var (title, lines) in ReparameterizeCommand.Steps())
            Assert.True(page.Contains($"```\n{string.Join('\n', lines)}\n```", StringComparison.Ordinal), $"The page does not show {title} as it is printed.");
    }

    [Fact]
    public void The_command_prints_every_step()
    {
        var (exitCode, output, _) = Programs.Samples.RunHere("reparameterize");
        Assert.Equal(0, exitCode);
        Assert.All(ReparameterizeCommand.Steps(), step => Assert.Contains(step.Title, output));
    }
}
