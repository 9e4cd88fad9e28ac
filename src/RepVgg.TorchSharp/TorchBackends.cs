using System.Runtime.InteropServices;
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

        // In full precision first, where little is forgiven; then as it will be used.
        var plain = options with { AllowTf32 = false, Bfloat16 = false };
        if (options.SelfTest && options != plain)
            CreateTested(plain).Dispose();
        return options.SelfTest ? CreateTested(options) : CreateUntested(options);
    }

    private static Backend CreateTested(TorchBackendOptions options)
    {
        var backend = CreateUntested(options);
        try
        {
            using var reference = new CpuBackend(1);
            DeviceSelfTest.Run(backend, reference, DeviceSelfTest.ToleranceOf(options));
            return backend;
        }
        catch (Exception exception)
        {
            backend.Dispose();
            if (exception is ExternalException or InsufficientMemoryException)
                throw new DeviceUnavailableException($"{backend.Description} cannot even train a small network: {exception.Message.Split('\n')[0]}", exception);
            throw;
        }
    }

    private static partial Backend CreateUntested(TorchBackendOptions options);
}
