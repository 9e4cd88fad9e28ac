using System.Globalization;
using Xunit;

namespace RepVgg.Tests.Inference;

/// <summary>Native memory that nobody frees, measured in processes of their own.</summary>
public class MemoryTests
{
    [Theory]
    [InlineData("undisposed-engines")] // more than 5 GB if they are not collected
    [InlineData("undisposed-backends")]
    public async Task Engines_and_backends_that_nobody_disposes_are_collected(string use)
    {
        long[] memory = await Measure(use);
        Assert.InRange(memory[1], 0, 1000);
    }

    [Fact]
    public async Task The_memory_for_many_threads_is_freed_when_few_run_and_when_none_runs()
    {
        long[] memory = await Measure("burst");
        var (before, burst, calm, secondBurst, idle) = (memory[0], memory[1], memory[2], memory[3], memory[4]);
        Assert.True(burst > before + 40 && secondBurst > before + 40, $"The burst needs too little memory for this test: {string.Join(' ', memory)} MB.");
        Assert.True(calm < before + (burst - before) / 4, $"After calls of one thread, the burst's memory is not free: {string.Join(' ', memory)} MB.");
        Assert.True(idle < before + (secondBurst - before) / 4, $"After a time without calls, the burst's memory is not free: {string.Join(' ', memory)} MB.");
    }

    private static async Task<long[]> Measure(string use) => [.. (await Program.Child.RunAsync(use)).Split(' ').Select(number => long.Parse(number, CultureInfo.InvariantCulture))];
}
