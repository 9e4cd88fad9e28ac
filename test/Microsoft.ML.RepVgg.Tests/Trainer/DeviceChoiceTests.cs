using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

public class DeviceChoiceTests
{
    private const string Missing = "TorchSharp 0.1.2 is here, but not what it needs. Reference the package X.";

    [Theory]
    [InlineData("Auto", null, 0)]
    [InlineData("Auto", 2, 2)]
    [InlineData("Cuda(1)", null, 1)]
    [InlineData("Cuda(1)", 2, 1)]
    [InlineData("TorchCpu", 2, null)]
    public void A_device_that_can_be_used_is_taken(string device, int? gpuDeviceId, int? expectedCuda)
    {
        var log = new List<(string, bool)>();
        TorchBackendOptions? asked = null;
        using var taken = new AlteredBackend();
        var backend = new DeviceChoice(Parse(device), gpuDeviceId, fallbackToCpu: false, threads: 3, bfloat16: true, RepVggVariants.S0, classes: 7)
        {
            Log = (text, isWarning) => log.Add((text, isWarning)),
            CreateTorch = options =>
            {
                asked = options;
                return taken;
            },
        }.Create();
        Assert.Same(taken, backend);
        Assert.Equal(new TorchBackendOptions { CudaDevice = expectedCuda, Threads = 3, Bfloat16 = true, Network = RepVggVariants.S0, Classes = 7 }, asked);
        Assert.True(asked!.SelfTest);
        Assert.Empty(log);
    }

    [Theory]
    [InlineData("Auto", null, false, false, "A GPU cannot be used, so training runs on CPU, 2 threads")]
    [InlineData("Auto", 1, true, true, "MLContext.GpuDeviceId 1 cannot be used, so training runs on CPU, 2 threads")]
    [InlineData("Cuda(0)", null, true, true, "Options.Device Cuda(0) cannot be used, so training runs on CPU, 2 threads")]
    [InlineData("TorchCpu", null, true, true, "Options.Device TorchCpu cannot be used, so training runs on CPU, 2 threads")]
    public void The_fallback_is_logged_in_one_message(string device, int? gpuDeviceId, bool fallbackToCpu, bool warns, string begins)
    {
        var log = new List<(string Text, bool IsWarning)>();
        using var backend = Choice(device, gpuDeviceId, fallbackToCpu, log, new DeviceUnavailableException(Missing)).Create();
        Assert.IsType<CpuBackend>(backend);
        var (text, isWarning) = Assert.Single(log);
        Assert.StartsWith(begins, text, StringComparison.Ordinal);
        Assert.EndsWith($". {Missing}", text, StringComparison.Ordinal);
        Assert.Equal(warns, isWarning);
    }

    [Theory]
    [InlineData("Auto", 1, "MLContext.GpuDeviceId 1 was requested")]
    [InlineData("Cuda(0)", null, "Options.Device Cuda(0) was requested")]
    [InlineData("TorchCpu", null, "Options.Device TorchCpu was requested")]
    public void Without_fallback_a_requested_device_that_is_unavailable_is_an_error(string device, int? gpuDeviceId, string begins)
    {
        var log = new List<(string, bool)>();
        var error = Assert.Throws<DeviceUnavailableException>(() => Choice(device, gpuDeviceId, false, log, new DeviceUnavailableException(Missing)).Create());
        Assert.StartsWith(begins, error.Message, StringComparison.Ordinal);
        Assert.Contains(Missing, error.Message, StringComparison.Ordinal);
        Assert.Contains("MLContext.FallbackToCpu", error.Message, StringComparison.Ordinal);
        Assert.Empty(log);
    }

    [Fact]
    public void Wrong_numbers_are_a_warning_even_if_no_device_was_requested()
    {
        var log = new List<(string, bool IsWarning)>();
        using var backend = Choice("Auto", null, false, log, new DeviceUnavailableException(Missing) { ComputesWrongNumbers = true }).Create();
        Assert.True(Assert.Single(log).IsWarning);
    }

    [Fact]
    public void The_cpu_is_used_without_loading_TorchSharp()
    {
        var log = new List<(string, bool)>();
        using var backend = Choice("Cpu", 0, false, log, new InvalidOperationException("TorchSharp was touched.")).Create();
        Assert.Equal("CPU, 2 threads", backend.Description[..14]);
        Assert.Empty(log);
    }

    [Fact]
    public void Other_errors_are_not_caught() =>
        Assert.Throws<InsufficientMemoryException>(() => Choice("Auto", null, true, [], new InsufficientMemoryException()).Create());

    [Fact]
    public void The_contexts_settings_reach_the_trainer()
    {
        // No machine has that many GPUs, and without TorchSharp there is none at all.
        var context = new MLContext(seed: 1) { GpuDeviceId = 4000 };
        var log = new List<string>();
        context.Log += (_, message) => log.Add(message.Message);
        var data = context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1));
        var error = Assert.ThrowsAny<Exception>(() => Stripes.Pipeline(context, Stripes.Options(epochs: 1)).Fit(data));
        Assert.Contains("MLContext.GpuDeviceId 4000 was requested and cannot be used", error.Message, StringComparison.Ordinal);

        context.FallbackToCpu = true;
        using var model = (IDisposable)Stripes.Pipeline(context, Stripes.Options(epochs: 1)).Fit(data);
        Assert.Contains(log, text => text.Contains("MLContext.GpuDeviceId 4000 cannot be used, so training runs on CPU", StringComparison.Ordinal));
    }

    [Fact]
    public void Devices_have_names_and_ranges()
    {
        Assert.Equal(["Auto", "Cpu", "TorchCpu", "Cuda(7)"], new[] { default(TrainingDevice), TrainingDevice.Cpu, TrainingDevice.TorchCpu, TrainingDevice.Cuda(7) }.Select(device => device.ToString()));
        Assert.Equal(TrainingDevice.Auto, new RepVggTrainer.Options().Device);
        Assert.NotEqual(TrainingDevice.Cuda(0), TrainingDevice.Cuda(1));
        Assert.Throws<ArgumentOutOfRangeException>(() => TrainingDevice.Cuda(-1));
    }

    private static DeviceChoice Choice(string device, int? gpuDeviceId, bool fallbackToCpu, List<(string, bool)> log, Exception refusal) =>
        new(Parse(device), gpuDeviceId, fallbackToCpu, threads: 2, bfloat16: false, RepVggVariants.S0, classes: 7)
        {
            Log = (text, isWarning) => log.Add((text, isWarning)),
            CreateTorch = _ => throw refusal,
        };

    private static TrainingDevice Parse(string device) => device switch
    {
        "Auto" => TrainingDevice.Auto,
        "Cpu" => TrainingDevice.Cpu,
        "TorchCpu" => TrainingDevice.TorchCpu,
        _ => TrainingDevice.Cuda(device[5] - '0'),
    };
}
