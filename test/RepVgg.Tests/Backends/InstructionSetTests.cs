using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using RepVgg.Backends.Cpu;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Backends;

/// <summary>Runs the CPU backend's tests again in processes where instruction sets are switched off.</summary>
public class InstructionSetTests
{
    private const string Expected = "REPVGG_TEST_EXPECTED_KERNELS";

    [Theory]
    [InlineData("AVX2", "DOTNET_EnableAVX512", "DOTNET_EnableAVX512F")]
    [InlineData("portable vectors", "DOTNET_EnableAVX2")]
    [InlineData("portable vectors", "DOTNET_EnableHWIntrinsic")]
    public async Task Backend_passes_its_tests_without(string expectedKernels, params string[] switchedOff)
    {
        if (Environment.GetEnvironmentVariable(Expected) is not null)
            return;
        // Where a machine lacks AVX2 itself, its portable kernels are what the other tests run.
        if (expectedKernels == "AVX2" && !(Avx2.IsSupported && Fma.IsSupported))
            expectedKernels = "portable vectors";
        await ChildTests.Pass(typeof(InstructionSetTests).Assembly, $"FullyQualifiedName~{nameof(CpuBackendTests)}|FullyQualifiedName~{nameof(Kernels_are_the_expected_ones)}",
            switchedOff, Expected, expectedKernels);
    }

    [Fact]
    public void Kernels_are_the_expected_ones()
    {
        using var backend = new CpuBackend(threads: 1);
        string expected = Environment.GetEnvironmentVariable(Expected)
            ?? (Vector512.IsHardwareAccelerated && Avx512F.IsSupported ? "AVX-512" : Avx2.IsSupported && Fma.IsSupported ? "AVX2" : "portable vectors");
        Assert.Equal($"CPU, 1 thread, {expected}", backend.Description);
    }
}
