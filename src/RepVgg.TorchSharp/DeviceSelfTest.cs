using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Diagnostics;

namespace RepVgg.TorchSharp;

/// <summary>Computes one training step of a network on two backends and compares the results.</summary>
/// <remarks>Some combinations of processor or GPU, driver and library compute wrong results without an error, often only for certain numbers of channels.</remarks>
internal static class DeviceSelfTest
{
    /// <summary>The network that is tested if the network to be trained is not known. It uses grouped convolutions and squeeze-and-excitation.</summary>
    private static readonly RepVggArchitecture _defaultArchitecture = new()
    {
        Name = "a small network",
        Stages = [new("stage0", 16, 1, 2), new("stage1", 32, 3, 1), new("stage2", 48, 1, 2)],
        Groups = 2,
        SqueezeExcitation = SqueezeExcitation.AfterRelu,
    };

    /// <summary>The maximum relative difference of a tensor from the reference: the L2 norm of the difference divided by the L2 norm of the reference tensor.</summary>
    /// <remarks>
    /// The largest differences measured over all variants on libtorch's CPU device were 3e-6 in single precision and 0.05 in
    /// bfloat16. The significand of bfloat16 has 8 bits and that of TF32 has 11, so the expected difference of TF32 is an eighth of that of bfloat16.
    /// </remarks>
    public static double ToleranceOf(TorchBackendOptions options) =>
        options.Bfloat16 ? 0.3 : options.CudaDevice is not null && options.AllowTf32 ? 0.05 : 0.01;

    /// <summary>Compares a device with the reference on the network to be trained.</summary>
    /// <param name="candidate">The backend to be tested.</param>
    /// <param name="reference">The CPU backend.</param>
    /// <param name="options">The options of the device. They specify the network and determine the tolerance.</param>
    /// <exception cref="DeviceUnavailableException">The results differ by more than the tolerance; the message names the tensor with the largest difference.</exception>
    public static void Run(Backend candidate, Backend reference, TorchBackendOptions options)
    {
        double tolerance = ToleranceOf(options);
        var architecture = options.Network ?? _defaultArchitecture;
        var worst = BackendComparison.Compare(candidate, reference, architecture, options.Classes);
        if (worst.Difference <= tolerance)
            return;
        string advice = options.CudaDevice is not null
            ? "Check that the GPU's driver is compatible with the TorchSharp package."
            : "Train with TrainingDevice.Cpu, which does not use libtorch. On virtual machines that hide the processor's caches (lscpu -C prints nothing), libtorch's convolutions are wrong unless "
                + "the environment variable ONEDNN_MAX_CPU_ISA is set to SSE41 before the process starts.";
        throw new DeviceUnavailableException(
            $"{candidate.Description} computes wrong numbers and is not used: in {architecture.Name}, {worst.Describe(reference, tolerance)}. {advice}")
        {
            ComputesWrongNumbers = true,
        };
    }
}
