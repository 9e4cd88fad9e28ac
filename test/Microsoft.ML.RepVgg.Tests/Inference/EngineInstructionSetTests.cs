using Microsoft.ML.RepVgg.Tests.Support;
using RepVgg.Runtime.Simd;
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
        await ChildTests.Pass($"FullyQualifiedName~{nameof(InferenceEngineTests)}|FullyQualifiedName~{nameof(TheWidestVectorsAreTheExpectedOnes)}",
            switchedOff, Expected, expected.ToString());
    }

    [Fact]
    public void TheWidestVectorsAreTheExpectedOnes()
    {
        if (Environment.GetEnvironmentVariable(Expected) is { } expected)
            Assert.Equal(expected, VectorWidths.Widest.ToString());
        Assert.True(Enum.IsDefined(VectorWidths.Widest));
    }
}
