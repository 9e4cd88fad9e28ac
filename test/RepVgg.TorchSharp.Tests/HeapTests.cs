using System.Globalization;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.TorchSharp.Tests;

/// <summary>Memory that libtorch frees between the steps, measured in separate processes.</summary>
public class HeapTests
{
    [TorchSharpOnGlibcFact]
    public async Task Freed_memory_is_reused_by_the_next_step_and_released_at_the_end()
    {
        long[] library = await MeasureAsync("library");
        // Without the setting more pages are needed. This also verifies that the user's own setting is not changed.
        long[] user = await MeasureAsync("user");
        Assert.True(library[0] < user[0] / 4, $"{library[0]} pages a step, {user[0]} with the user's setting");
        Assert.True(library[2] < library[1] - 64, $"{library[1]} MiB, {library[2]} after the end");
    }

    private static async Task<long[]> MeasureAsync(string setting) =>
        [.. (await Program.Child.RunAsync("torch-heap", setting)).Split(' ').Select(number => long.Parse(number, CultureInfo.InvariantCulture))];
}
