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
        TorchRuntime.EnsureAvailable(options.CudaDevice);
        return CreateTorchBackend(options);
    }

    // This is a separate method that is not inlined, so that TorchSharp is not loaded before the checks.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Backend CreateTorchBackend(TorchBackendOptions options) => new TorchBackend(options);
}

/// <summary>Options of a TorchSharp backend: device, threads, precision and self-test.</summary>
internal sealed record TorchBackendOptions
{
    /// <summary>Index of the CUDA device, 0 for the first; null to compute on the CPU with libtorch.</summary>
    public int? CudaDevice { get; init; }

    /// <summary>Number of threads of libtorch's CPU kernels; 0 uses all cores.</summary>
    public int Threads { get; init; }

    /// <summary>Whether CUDA may round the factors of convolutions and matrix products to TF32 (10 mantissa bits), which is several times faster on Ampere and later GPUs.</summary>
    public bool AllowTf32 { get; init; } = true;

    /// <summary>Whether training uses activations in bfloat16. Weights, batch norm statistics, the loss and evaluation use single precision.</summary>
    public bool Bfloat16 { get; init; }

    /// <summary>Whether feature maps and kernels are stored channels last (NHWC). Null uses channels last on CUDA, where it is the layout that tensor cores read, but not on the CPU, where it is not faster and libtorch 1.13 crashed with large networks.</summary>
    public bool? ChannelsLast { get; init; }

    /// <summary>Whether a training step is first computed on the device and on the CPU backend and compared. A device whose results differ is not used.</summary>
    public bool SelfTest { get; init; } = true;

    /// <summary>The network to be trained. The self-test computes it with its widths, strides, groups, squeeze-and-excitation and heads; null tests a small network.</summary>
    /// <remarks>
    /// A library can compute correct results for some numbers of channels and wrong results for others, so specify the network if it is known.
    /// Frozen stages and batch norms are tested like trained ones.
    /// </remarks>
    public RepVggArchitecture? Network { get; init; }

    /// <summary>Number of classes of the network, at least 1.</summary>
    public int Classes { get; init; } = 10;
}
