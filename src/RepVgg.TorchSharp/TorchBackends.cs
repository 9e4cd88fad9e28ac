using RepVgg.Backends;
using RepVgg.Backends.Cpu;

namespace RepVgg.TorchSharp;

/// <summary>Makes backends that compute with TorchSharp.</summary>
public static partial class TorchBackends
{
    /// <summary>Makes a backend, after a self-test against the CPU backend unless the options leave it out.</summary>
    /// <param name="options">The device and the precision.</param>
    /// <returns>The backend.</returns>
    /// <exception cref="DeviceUnavailableException">TorchSharp or its native libraries are missing or of another version, there is no such device, or it computed wrong numbers.</exception>
    public static Backend Create(TorchBackendOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegative(options.Threads);
        if (options.CudaDevice is { } index)
            ArgumentOutOfRangeException.ThrowIfNegative(index, nameof(options.CudaDevice));

        var backend = CreateUntested(options);
        if (!options.SelfTest)
            return backend;
        try
        {
            using var reference = new CpuBackend(1);
            DeviceSelfTest.Run(backend, reference, DeviceSelfTest.ToleranceOf(options));
            return backend;
        }
        catch
        {
            backend.Dispose();
            throw;
        }
    }

    private static partial Backend CreateUntested(TorchBackendOptions options);
}
