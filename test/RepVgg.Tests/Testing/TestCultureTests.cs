using System.Globalization;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Testing;

public class TestCultureTests
{
    [Theory]
    [InlineData("de-DE", "1,5 I")]
    [InlineData("tr-TR", "1,5 \u0130")]
    [InlineData("en-GB", "1.5 I")]
    public async Task A_program_with_the_environment_variable_runs_under_that_culture(string name, string expected)
    {
        if (!CultureInfo.GetCultures(CultureTypes.SpecificCultures).Any(culture => culture.Name == name))
            expected = "1,5 I"; // without ICU, every culture is the invariant one with commas
        var (exitCode, output, errors) = await Program.Child.RunWithAsync(new() { [TestCulture.Variable] = name }, "culture");
        Assert.True(exitCode == 0, errors);
        Assert.Equal(expected, output.Trim());
    }

    [Fact]
    public async Task A_program_without_it_runs_under_the_culture_of_the_system()
    {
        var (exitCode, output, errors) = await Program.Child.RunWithAsync(new() { [TestCulture.Variable] = null, ["LC_ALL"] = "C" }, "culture");
        Assert.True(exitCode == 0, errors);
        Assert.Equal("1.5 I", output.Trim());
    }
}
