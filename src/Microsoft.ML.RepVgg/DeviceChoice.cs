using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.TorchSharp;

namespace Microsoft.ML.RepVgg;

/// <summary>Turns the wished device into a backend, and says what was chosen and why.</summary>
/// <param name="device">The trainer's option.</param>
/// <param name="gpuDeviceId">MLContext's: asks for that CUDA device where the option is Auto.</param>
/// <param name="fallbackToCpu">MLContext's: whether a device that was asked for and cannot be used is replaced by the CPU.</param>
/// <param name="threads">Threads on the CPU, 0 for all cores.</param>
/// <param name="bfloat16">Whether to train with activations in bfloat16.</param>
/// <param name="network">What will be trained: the self-test computes it.</param>
/// <param name="classes">Its number of classes.</param>
internal sealed class DeviceChoice(TrainingDevice device, int? gpuDeviceId, bool fallbackToCpu, int threads, bool bfloat16, RepVggArchitecture network, int classes)
{
    /// <summary>Receives what users should know: a text, and whether it is a warning.</summary>
    public required Action<string, bool> Log { get; init; }

    /// <summary>Makes a TorchSharp backend; replaced in tests.</summary>
    public Func<TorchBackendOptions, Backend> CreateTorch { get; init; } = TorchBackends.Create;

    /// <summary>Makes the backend.</summary>
    /// <exception cref="DeviceUnavailableException">A device that was asked for cannot be used, and MLContext.FallbackToCpu is false.</exception>
    public Backend Create()
    {
        if (device.IsCpu)
            return OwnCpu();
        bool isAskedFor = !device.IsAuto || gpuDeviceId is not null;
        int? cuda = device.IsCuda ? device.CudaIndex : device.IsAuto ? gpuDeviceId ?? 0 : null;
        try
        {
            return CreateTorch(new TorchBackendOptions { CudaDevice = cuda, Threads = threads, Bfloat16 = bfloat16, Network = network, Classes = classes });
        }
        catch (DeviceUnavailableException exception) when (!isAskedFor || fallbackToCpu)
        {
            var backend = OwnCpu();
            Log($"{(isAskedFor ? AskedFor() : "A GPU")} cannot be used, so training runs on {backend.Description}. {exception.Message}", isAskedFor || exception.ComputesWrongNumbers);
            return backend;
        }
        catch (DeviceUnavailableException exception)
        {
            throw new DeviceUnavailableException($"{AskedFor()} was asked for and cannot be used: {exception.Message} Set MLContext.FallbackToCpu to train on the CPU instead.", exception);
        }
    }

    private string AskedFor() => device.IsAuto ? $"MLContext.GpuDeviceId {gpuDeviceId}" : $"Options.Device {device}";

    private CpuBackend OwnCpu()
    {
        if (bfloat16)
            Log("Options.Bfloat16 has no effect on this library's CPU backend, which computes in single precision.", true);
        return new CpuBackend(threads);
    }
}
