using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

public class LoadedLibrariesTests
{
    [TorchSharpFact]
    public async Task Scoring_and_training_on_the_cpu_load_neither_TorchSharp_nor_libtorch() =>
        Assert.Equal("", (await Program.Child.RunAsync("loaded-torch", "cpu")).Trim());

    /// <summary>Verifies the method of the test: the same program reports the libraries if they are loaded.</summary>
    [TorchSharpFact]
    public async Task Training_on_libtorch_loads_both()
    {
        string[] loaded = (await Program.Child.RunAsync("loaded-torch", "torch")).Trim().Split(' ');
        Assert.Equal("TorchSharp", loaded[0]);
        Assert.Contains(loaded.Skip(1), name => name.Contains("LibTorchSharp", StringComparison.Ordinal));
    }
}
