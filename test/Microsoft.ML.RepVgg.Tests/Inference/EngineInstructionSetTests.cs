using System.Diagnostics;
using RepVgg.Inference;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Inference;

/// <summary>Runs the engine's tests again in processes where instruction sets are switched off.</summary>
public class EngineInstructionSetTests
{
    private const string Expected = "REPVGG_TEST_EXPECTED_WIDTH";

    [Theory]
    [InlineData(VectorWidth.Bits256, "DOTNET_EnableAVX512", "DOTNET_EnableAVX512F")]
    [InlineData(VectorWidth.Bits128, "DOTNET_EnableAVX2")]
    [InlineData(VectorWidth.Bits128, "DOTNET_EnableHWIntrinsic")]
    public async Task PassesItsTestsWithout(object widest, params string[] switchedOff)
    {
        if (Environment.GetEnvironmentVariable(Expected) is not null)
            return;
        var expected = (VectorWidth)Math.Min((int)(VectorWidth)widest, (int)VectorWidths.Widest);
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList =
            {
                "test", typeof(EngineInstructionSetTests).Assembly.Location,
                "--filter", $"FullyQualifiedName~{nameof(InferenceEngineTests)}|FullyQualifiedName~{nameof(TheWidestVectorsAreTheExpectedOnes)}",
            },
            Environment = { [Expected] = expected.ToString() },
        };
        foreach (string variable in switchedOff)
            start.Environment[variable] = "0";
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        string allErrors = await errors;
        Assert.True(process.ExitCode == 0, $"The tests failed with {string.Join(", ", switchedOff)} = 0:\n{output}\n{allErrors}");
        Assert.Contains("Passed!", output, StringComparison.Ordinal);
    }

    [Fact]
    public void TheWidestVectorsAreTheExpectedOnes()
    {
        if (Environment.GetEnvironmentVariable(Expected) is { } expected)
            Assert.Equal(expected, VectorWidths.Widest.ToString());
        Assert.True(Enum.IsDefined(VectorWidths.Widest));
    }
}
