using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;

namespace RepVgg.TorchSharp;

/// <summary>Creates backends that compute with TorchSharp.</summary>
internal static class TorchBackends
{
    /// <summary>Creates a backend and tests it against the CPU backend, unless <see cref="TorchBackendOptions.SelfTest"/> is false.</summary>
    /// <param name="options">The device, the precision, and the network that will be trained.</param>
    /// <returns>The backend.</returns>
    /// <exception cref="DeviceUnavailableException">TorchSharp or its native libraries are missing, have another version, or need a newer system; the device does not exist; or the device failed the self-test.</exception>
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

    /// <summary>Gets the options for a first self-test in full precision, which has a smaller tolerance; null if the options already specify full precision.</summary>
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

    // This is a separate method that is not inlined, so that TorchSharp is not loaded before the checks.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Backend Make(TorchBackendOptions options) => new TorchBackend(options);
}
