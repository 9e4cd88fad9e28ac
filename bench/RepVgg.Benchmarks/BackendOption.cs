using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.TorchSharp;

namespace RepVgg.Benchmarks;

/// <summary>The option <c>--backend</c>: cpu, torch (libtorch on the CPU), cuda or cuda-bf16.</summary>
internal static class BackendOption
{
    public static Backend Create(CommandLine options, RepVggArchitecture network, int threads) => options.Text("backend", "cpu") switch
    {
        "cpu" => new CpuBackend(threads),
        "torch" => TorchBackends.Create(new TorchBackendOptions { Threads = threads, Network = network }),
        "cuda" => TorchBackends.Create(new TorchBackendOptions { CudaDevice = 0, Network = network }),
        "cuda-bf16" => TorchBackends.Create(new TorchBackendOptions { CudaDevice = 0, Bfloat16 = true, Network = network }),
        var other => throw new ArgumentException($"There is no backend '{other}': use cpu, torch, cuda or cuda-bf16."),
    };
}
