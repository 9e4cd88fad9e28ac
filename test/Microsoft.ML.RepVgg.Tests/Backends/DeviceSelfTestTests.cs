using Microsoft.ML.RepVgg.Tests.Support;
using RepVgg.Backends.Cpu;
using RepVgg.TorchSharp;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Backends;

public class DeviceSelfTestTests
{
    [Fact]
    public void A_sound_device_passes()
    {
        using var sound = new AlteredBackend();
        using var reference = new CpuBackend(2);
        DeviceSelfTest.Run(sound, reference, 1e-4);
    }

    public static TheoryData<string> Faults => ["a fixed output", "no number", "wrong logits", "wrong gradients", "no ReLU", "no step"];

    [Theory]
    [MemberData(nameof(Faults))]
    public void Wrong_numbers_are_refused_with_the_evidence(string fault)
    {
        // Even the tolerances of fast precisions let none of these pass.
        double tolerance = DeviceSelfTest.ToleranceOf(new TorchBackendOptions { CudaDevice = 0, Bfloat16 = fault is "a fixed output" or "no number" });
        using var faulty = fault switch
        {
            "a fixed output" => new AlteredBackend { LogitFactor = 0 },
            "no number" => new AlteredBackend { LogitFactor = float.NaN },
            "wrong logits" => new AlteredBackend { LogitFactor = 1.2f },
            "wrong gradients" => new AlteredBackend { GradientFactor = 1.2f },
            "no ReLU" => new AlteredBackend { ForgetsReluBackward = true },
            _ => new AlteredBackend { OptimizerDoesNothing = true },
        };
        using var reference = new CpuBackend(1);
        var error = Assert.Throws<DeviceUnavailableException>(() => DeviceSelfTest.Run(faulty, reference, tolerance));
        Assert.True(error.ComputesWrongNumbers);
        Assert.Matches(@"^Altered device 3 computes wrong numbers and is not used: in a small network, .+ has a value of .+ where CPU, 1 thread, .+ has .+ \(.+ of the tensor is off, allowed (15|50)\.0 ?%\)\.", error.Message);
    }

    [Fact]
    public void Tolerances_follow_the_precision()
    {
        Assert.Equal(0.01, DeviceSelfTest.ToleranceOf(new TorchBackendOptions()));
        Assert.Equal(0.01, DeviceSelfTest.ToleranceOf(new TorchBackendOptions { CudaDevice = 0, AllowTf32 = false }));
        Assert.Equal(0.15, DeviceSelfTest.ToleranceOf(new TorchBackendOptions { CudaDevice = 0 }));
        Assert.Equal(0.5, DeviceSelfTest.ToleranceOf(new TorchBackendOptions { CudaDevice = 0, Bfloat16 = true }));
    }
}
