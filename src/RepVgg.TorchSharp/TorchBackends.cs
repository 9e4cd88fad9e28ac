using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using RepVgg.Architectures;
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
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Classes, 1);
        if (options.CudaDevice is { } index)
            ArgumentOutOfRangeException.ThrowIfNegative(index, nameof(options.CudaDevice));

        options.Network?.Validate();
        if (!options.SelfTest)
            return CreateUntested(options);
        if (FullPrecision(options) is { } full)
            CreateTested(full).Dispose();
        return CreateTested(options);
    }

    /// <summary>What is tested first, where the tolerance is small, before the device is tested as it will be used; null where that is full precision already.</summary>
    internal static TorchBackendOptions? FullPrecision(TorchBackendOptions options) =>
        options.Bfloat16 || (options.CudaDevice is not null && options.AllowTf32) ? options with { AllowTf32 = false, Bfloat16 = false } : null;

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
