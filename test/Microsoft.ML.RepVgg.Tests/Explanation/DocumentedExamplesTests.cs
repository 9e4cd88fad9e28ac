using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Explanation;

/// <summary>The examples of docs/explain.md compile: they are the code of <see cref="DocumentedExamples"/>.</summary>
public sealed class DocumentedExamplesTests
{
    private static string Read(string file) => File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", file)).ReplaceLineEndings("\n");

    [Fact]
    public void The_page_shows_the_code_that_is_compiled()
    {
        string page = Read("explain.md");
        string[] parts = [.. Read("DocumentedExamples.cs").Split("        // example\n").Skip(1).Select(part => part[..part.IndexOf("        // end\n", StringComparison.Ordinal)])];
        Assert.Equal(2, parts.Length);
        foreach (string part in parts)
        {
            string shown = string.Join('\n', part.TrimEnd().Split('\n').Select(line => line.Length == 0 ? line : line[8..]));
            Assert.Contains($"```csharp\n{shown}\n```", page, StringComparison.Ordinal);
        }
    }
}
