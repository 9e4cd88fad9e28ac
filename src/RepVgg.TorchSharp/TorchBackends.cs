using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;

namespace RepVgg.TorchSharp;

/// <summary>Makes backends that compute with TorchSharp.</summary>
public static class TorchBackends
{
    /// <summary>Makes a backend, after a self-test against the CPU backend unless the options leave it out.</summary>
    /// <param name="options">The device, the precision, and the network that will be trained.</param>
    /// <returns>The backend.</returns>
    /// <exception cref="DeviceUnavailableException">TorchSharp or its native libraries are missing, of another version, or need a newer system; there is no such device; or it computed wrong numbers.</exception>
    /// <exception cref="ArgumentException">The options' network cannot be built.</exception>
    public static Backend Create(TorchBackendOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegative(options.Threads);
        if (options.CudaDevice is { } index)
            ArgumentOutOfRangeException.ThrowIfNegative(index, nameof(options.CudaDevice));

        // In full precision first, where the tolerance is small; then as it will be used.
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
            using var reference = new CpuBackend(options.Threads);
            DeviceSelfTest.Run(backend, reference, options);
            return backend;
        }
        catch (Exception exception)
        {
            backend.Dispose();
            if (exception is ExternalException or InsufficientMemoryException)
                throw new DeviceUnavailableException($"{backend.Description} failed in the self-test, a training step on a few images: {exception.Message.Split('\n')[0]}", exception);
            throw;
        }
    }

    private static Backend CreateUntested(TorchBackendOptions options)
    {
        TorchRuntime.Require(options.CudaDevice);
        return Make(options);
    }

    // A method of its own, so that nothing of TorchSharp is loaded before the checks.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Backend Make(TorchBackendOptions options) => new TorchBackend(options);
}
