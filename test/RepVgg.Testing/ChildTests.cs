using System.Diagnostics;
using System.Reflection;
using Xunit;

namespace RepVgg.Testing;

/// <summary>Runs some tests of an assembly again in a process of their own, where instruction sets are switched off.</summary>
internal static class ChildTests
{
    /// <summary>Runs them and fails where one of them does, or where there are none.</summary>
    /// <param name="tests">The assembly that holds them.</param>
    /// <param name="filter">Which tests, as <c>dotnet test --filter</c> takes it.</param>
    /// <param name="switchedOff">The runtime's variables that are set to 0.</param>
    /// <param name="variable">A variable by which the tests know that they run here.</param>
    /// <param name="value">Its value.</param>
    public static async Task Pass(Assembly tests, string filter, string[] switchedOff, string variable, string value)
    {
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList = { "test", tests.Location, "--filter", filter },
            // The output is searched for a word of English.
            Environment = { [variable] = value, ["DOTNET_CLI_UI_LANGUAGE"] = "en" },
        };
        foreach (string name in switchedOff)
            start.Environment[name] = "0";
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        string allErrors = await errors;
        Assert.True(process.ExitCode == 0, $"The tests failed with {string.Join(", ", switchedOff)} = 0:\n{output}\n{allErrors}");
        Assert.Contains("Passed!", output, StringComparison.Ordinal);
    }
}
