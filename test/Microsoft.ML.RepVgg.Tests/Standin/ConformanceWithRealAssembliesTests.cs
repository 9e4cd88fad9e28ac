#if !MLNET_STANDIN
using System.Diagnostics;
using System.Reflection;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Standin;

/// <summary>Where real assemblies are given, the stand-in is compared with them too, in a process of its own.</summary>
public sealed class ConformanceWithRealAssembliesTests
{
    [Fact]
    public void TheStandinShowsNothingThatTheRealAssembliesDoNot()
    {
        var given = Assembly.GetExecutingAssembly().GetCustomAttributes<AssemblyMetadataAttribute>().ToDictionary(a => a.Key, a => a.Value);
        if (!given.TryGetValue("ConformanceTool", out string? tool))
        {
            // ML.NET comes from packages: the list, made from the same version, is compared where the stand-in is built.
            Assert.DoesNotContain("MLNetAssemblies", given.Keys);
            return;
        }

        var start = new ProcessStartInfo("dotnet", [tool!, given["MLNetAssemblies"]!]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();

        Assert.True(process.ExitCode == 0, output + errors.Result);
        Assert.Contains("0 differences from " + given["MLNetAssemblies"], output);
    }
}
#endif
