using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.TorchSharp;

namespace RepVgg.Benchmarks;

/// <summary>The option <c>--backend</c>: cpu, torch or torch-nhwc (libtorch on the CPU, rows or channels last), cuda or cuda-bf16.</summary>
internal static class BackendOption
{
    public static Backend Create(CommandLine options, int threads) => options.Text("backend", "cpu") switch
    {
        "cpu" => new CpuBackend(threads),
        "torch" => TorchBackends.Create(new TorchBackendOptions { Threads = threads }),
        "torch-nhwc" => TorchBackends.Create(new TorchBackendOptions { Threads = threads, ChannelsLast = true }),
        "cuda" => TorchBackends.Create(new TorchBackendOptions { CudaDevice = 0 }),
        "cuda-bf16" => TorchBackends.Create(new TorchBackendOptions { CudaDevice = 0, Bfloat16 = true }),
        var other => throw new ArgumentException($"There is no backend '{other}': use cpu, torch, torch-nhwc, cuda or cuda-bf16."),
    };
}
