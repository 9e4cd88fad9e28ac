using Microsoft.ML.RepVgg.Tests.Support;
using RepVgg.TorchSharp;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Torch;

/// <summary>What users are told where TorchSharp is not as it must be.</summary>
public class RuntimeTests
{
    [TorchSharpFact]
    public void Another_version_is_refused_by_naming_both()
    {
        var error = Assert.Throws<DeviceUnavailableException>(() => TorchRuntime.CheckVersion(new Version(0, 105, 2, 0)));
        Assert.Matches(@"^TorchSharp 0\.105\.2 is here, but version 0\.106 is needed: .+ Reference the package TorchSharp-[a-z-]+ 0\.106\.0", error.Message);
        Assert.Matches(@"^TorchSharp is not here; .+ Reference the package TorchSharp-[a-z-]+ 0\.106\.0", Assert.Throws<DeviceUnavailableException>(() => TorchRuntime.CheckVersion(null)).Message);
        TorchRuntime.CheckVersion(new Version(0, 106, 0, 0));
    }

    [TorchSharpTheory]
    [InlineData(false, "its native libraries (libtorch) are not")]
    [InlineData(true, "its native libraries (libtorch) cannot be loaded")]
    public async Task Natives_that_are_missing_or_broken_give_one_message(bool broken, string expected)
    {
        using var folder = new TemporaryFolder();
        foreach (string file in Directory.GetFiles(AppContext.BaseDirectory))
        {
            string name = Path.GetFileName(file);
            if (name.StartsWith("libLibTorchSharp", StringComparison.Ordinal) || name.StartsWith("LibTorchSharp", StringComparison.Ordinal))
            {
                if (broken)
                    await File.WriteAllTextAsync(folder.File(name), "no library");
            }
            else if (name.EndsWith(".dll", StringComparison.Ordinal) || name.EndsWith(".json", StringComparison.Ordinal))
            {
                File.Copy(file, folder.File(name));
            }
        }
        var (exitCode, output, errors) = await ChildProgram.RunInAsync(folder.Path, "loaded-torch", "torch");
        Assert.NotEqual(0, exitCode);
        Assert.Equal("", output);
        Assert.Contains(expected, errors, StringComparison.Ordinal);
        Assert.Contains("Reference the package TorchSharp-", errors, StringComparison.Ordinal);
    }
}
