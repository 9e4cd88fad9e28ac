using RepVgg.Testing;
using Xunit;
using Xunit.Abstractions;

namespace RepVgg.Reliability.Tests.Fuzzing;

/// <summary>A hundred thousand damaged files in all readers together: a result or a documented error, in bounded memory.</summary>
public class FuzzTests(ITestOutputHelper output)
{
    private const int Seed = 1, Threads = 2;

    /// <summary>The file that code in pickles of the corpus would make.</summary>
    private const string ForeignFile = "/tmp/repvgg-was-here";

    public static TheoryData<string> Readers => [.. FuzzTargets.All.Select(target => target.Name)];

    [Fact]
    public void There_are_a_hundred_thousand_inputs() => Assert.Equal(100_000, FuzzTargets.All.Sum(target => target.Share));

    [Theory]
    [MemberData(nameof(Readers))]
    public void Found_and_damaged_files_are_read_or_refused(string reader)
    {
        var target = FuzzTargets.All.Single(target => target.Name == reader);
        using var folder = new TemporaryFolder();
        File.Delete(ForeignFile);
        var run = new FuzzRun(target, Seed, folder.Path, Path.Combine(AppContext.BaseDirectory, "fuzz-failures"));
        output.WriteLine($"{run.Run(0, target.Share, Threads)}");
        Assert.False(File.Exists(ForeignFile));
    }

    [Theory]
    [MemberData(nameof(Readers))]
    public void An_input_follows_from_its_seed_and_index(string reader)
    {
        var target = FuzzTargets.All.Single(target => target.Name == reader);
        byte[][] inputs = [.. Enumerable.Range(0, 100).Select(i => target.Input(Seed, i))];
        for (int i = 0; i < inputs.Length; i++)
            Assert.Equal(inputs[i], target.Input(Seed, i));
        Assert.True(inputs.Select(Convert.ToHexString).Distinct().Count() > 50);
    }
}
