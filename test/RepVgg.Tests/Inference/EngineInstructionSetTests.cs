using RepVgg.Runtime.Simd;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Inference;

/// <summary>Runs the engine's tests again in processes where instruction sets are switched off.</summary>
public class EngineInstructionSetTests
{
    private const string Expected = "REPVGG_TEST_EXPECTED_WIDTH";

    [Theory]
    [InlineData(VectorWidth.Bits256, "DOTNET_EnableAVX512", "DOTNET_EnableAVX512F")]
    [InlineData(VectorWidth.Bits128, "DOTNET_EnableAVX2")]
    [InlineData(VectorWidth.Bits128, "DOTNET_EnableHWIntrinsic")]
    public async Task Passes_its_tests_without(object widest, params string[] switchedOff)
    {
        if (Environment.GetEnvironmentVariable(Expected) is not null)
            return;
        var expected = (VectorWidth)Math.Min((int)(VectorWidth)widest, (int)VectorWidths.Widest);
        await ChildTests.Pass(typeof(EngineInstructionSetTests).Assembly, $"FullyQualifiedName~{nameof(InferenceEngineTests)}|FullyQualifiedName~{nameof(The_widest_vectors_are_the_expected_ones)}"
            + $"|FullyQualifiedName~{nameof(QuantizedEngineTests)}.{nameof(QuantizedEngineTests.Activations_are_the_golden_integers)}|FullyQualifiedName~{nameof(QuantizedEngineTests)}.{nameof(QuantizedEngineTests.Winograd_convolutions_give_the_integers_of_the_definition)}",
            switchedOff, Expected, expected.ToString());
    }

    [Fact]
    public void The_widest_vectors_are_the_expected_ones()
    {
        if (Environment.GetEnvironmentVariable(Expected) is { } expected)
            Assert.Equal(expected, VectorWidths.Widest.ToString());
        Assert.True(Enum.IsDefined(VectorWidths.Widest));
    }
}
