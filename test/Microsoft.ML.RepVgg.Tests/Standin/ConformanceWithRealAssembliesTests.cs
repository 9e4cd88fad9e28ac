using System.Diagnostics;
using System.Reflection;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Standin;

/// <summary>Where real assemblies are given, the stand-in is compared with them too, in a process of its own.</summary>
public sealed class ConformanceWithRealAssembliesTests
{
    [Fact]
    public async Task TheStandinShowsNothingThatTheRealAssembliesDoNot()
    {
        var given = Assembly.GetExecutingAssembly().GetCustomAttributes<AssemblyMetadataAttribute>().ToDictionary(a => a.Key, a => a.Value!);
        var start = new ProcessStartInfo("dotnet", [given["ConformanceTool"], given["MLNetAssemblies"]])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();

        Assert.True(process.ExitCode == 0, output + await errors);
        Assert.Contains("0 differences from " + given["MLNetAssemblies"], output);
    }
}
