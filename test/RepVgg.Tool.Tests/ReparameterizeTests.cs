using System.Text.RegularExpressions;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The sample that shows how the branches of a block become one convolution.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class ReparameterizeTests
{
    /// <summary>By hand: docs/reparameterization.md shows how.</summary>
    public static TheoryData<char, string[]> ByHand => new()
    {
        { 'a', ["one kernel of 3, bias 30", "the branches          66      84     111", "one convolution       66      84     111"] },
        { 'b', ["one kernel of 0.5, bias (10 - 5) / 10 * 5 + 20 = 22.5", "the branches        28.5    31.5      36", "one convolution     28.5    31.5      36", "where the convolution's own bias is dropped: bias 17.5, difference 5"] },
        { 'c', ["     0     1     0   |     0   1.5     0", "bias 17.5", "one convolution     21.5    21.5    21.5"] },
        { 'd', ["output 2 reads inputs 2 and 3 of its group by 3 and 0 in the centre, bias -2", "the branches           2       2       2"] },
        { 'e', ["     4    28     6", "bias 3", "the branches          54      65      71", "one convolution       54      65      71", "kernel and bias of Fusion.Fuse: difference less than 0.00001"] },
    };

    [Theory]
    [MemberData(nameof(ByHand))]
    public void Every_step_shows_the_numbers_that_are_found_by_hand(char letter, string[] expected)
    {
        string[] lines = Steps()[letter].Split('\n');
        Assert.All(expected, line => Assert.Contains(line, lines));
        Assert.Contains("difference less than 0.00001", lines);
    }

    [Fact]
    public void The_page_that_explains_it_shows_what_the_sample_prints()
    {
        string page = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", "reparameterization.md")).ReplaceLineEndings("\n");
        var steps = Steps();
        Assert.Equal("abcde", string.Concat(steps.Keys));
        Assert.All(steps, step => Assert.True(page.Contains($"```\n{step.Value}\n```", StringComparison.Ordinal), $"The page does not show ({step.Key}) as it is printed."));
    }

    /// <returns>For the letter of each step, the lines below its title.</returns>
    private static SortedDictionary<char, string> Steps()
    {
        var (exitCode, output, error) = Programs.Samples.RunHere("reparameterize");
        Assert.True(exitCode == 0, error);
        var steps = Regex.Matches(output.ReplaceLineEndings("\n"), @"^\((.)\) .*\n((?:.+\n)+)", RegexOptions.Multiline);
        return new SortedDictionary<char, string>(steps.ToDictionary(step => step.Groups[1].Value[0], step => step.Groups[2].Value.TrimEnd('\n')));
    }
}
