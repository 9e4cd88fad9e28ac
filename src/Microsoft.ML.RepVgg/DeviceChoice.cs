using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.TorchSharp;

namespace Microsoft.ML.RepVgg;

/// <summary>Creates the backend for the requested training device, and logs the reason where another device is used.</summary>
/// <param name="device">The value of <see cref="RepVggTrainer.Options.Device"/>.</param>
/// <param name="gpuDeviceId">The value of MLContext.GpuDeviceId: index of the CUDA device to use if <paramref name="device"/> is Auto.</param>
/// <param name="fallbackToCpu">The value of MLContext.FallbackToCpu: whether the CPU is used if the requested device is unavailable.</param>
/// <param name="threads">Number of CPU threads; 0 uses all cores.</param>
/// <param name="bfloat16">Whether to train with activations in bfloat16.</param>
/// <param name="network">The architecture to be trained; the device self-test runs it.</param>
/// <param name="classes">Number of classes of the network.</param>
internal sealed class DeviceChoice(TrainingDevice device, int? gpuDeviceId, bool fallbackToCpu, int threads, bool bfloat16, RepVggArchitecture network, int classes)
{
    /// <summary>Writes a message to the log. The second argument is true for a warning.</summary>
    public required Action<string, bool> Log { get; init; }

    /// <summary>Creates a TorchSharp backend. Tests replace it.</summary>
    public Func<TorchBackendOptions, Backend> CreateTorch { get; init; } = TorchBackends.Create;

    /// <summary>Creates the backend.</summary>
    /// <exception cref="DeviceUnavailableException">The requested device cannot be used, and MLContext.FallbackToCpu is false.</exception>
    public Backend Create()
    {
        if (device.IsCpu)
            return CreateCpuBackend();
        bool isRequested = !device.IsAuto || gpuDeviceId is not null;
        int? cuda = device.IsCuda ? device.CudaIndex : device.IsAuto ? gpuDeviceId ?? 0 : null;
        try
        {
            return CreateTorch(new TorchBackendOptions { CudaDevice = cuda, Threads = threads, Bfloat16 = bfloat16, Network = network, Classes = classes });
        }
        catch (DeviceUnavailableException exception) when (!isRequested || fallbackToCpu)
        {
            var backend = CreateCpuBackend();
            Log($"{(isRequested ? RequestedDevice() : "A GPU")} cannot be used, so training runs on {backend.Description}. {exception.Message}", isRequested || exception.ComputesWrongNumbers);
            return backend;
        }
        catch (DeviceUnavailableException exception)
        {
            throw new DeviceUnavailableException($"{RequestedDevice()} was requested and cannot be used: {exception.Message} Set MLContext.FallbackToCpu to train on the CPU instead.", exception);
        }
    }

    private string RequestedDevice() => device.IsAuto ? $"MLContext.GpuDeviceId {gpuDeviceId}" : $"Options.Device {device}";

    private CpuBackend CreateCpuBackend()
    {
        if (bfloat16)
            Log("Options.Bfloat16 has no effect on this library's CPU backend, which computes in single precision.", true);
        return new CpuBackend(threads);
    }
}
