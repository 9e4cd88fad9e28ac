using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;

namespace RepVgg.KernelBenchmarks;

/// <summary>
/// The inference kernels in isolation, on data in the L1 and L2 caches. Multiply-adds of a run: vectors * rows * lanes *
/// blocks * lanes, twice that for a pair of points.
/// </summary>
public class KernelBenchmark
{
    private KernelCases _cases = null!;

    /// <summary>Channel blocks of the input that one run multiplies.</summary>
    [Params(1, 4, 12)]
    public int Blocks { get; set; }

    [GlobalSetup]
    public void Prepare() => _cases = KernelCases.OfWidestVectors(Blocks);

    [GlobalCleanup]
    public void Clean() => _cases.Dispose();

    [Benchmark(Description = "panel, 3 vectors x 8 rows")]
    public void Panel() => _cases.Panel();

    [Benchmark(Description = "pair of points, 2 vectors x 6 rows")]
    public void Pair() => _cases.Pair();

    [Benchmark(Description = "Winograd input, a tile of every block")]
    public void Input() => _cases.TransformInput();

    [Benchmark(Description = "Winograd output, a tile of every block")]
    public void Output() => _cases.TransformOutput();

    /// <summary>Runs the benchmarks and prints BenchmarkDotNet's table.</summary>
    /// <param name="arguments">BenchmarkDotNet's options, such as <c>--filter *Panel</c>.</param>
    internal static void Run(string[] arguments)
    {
        string[] job = arguments.Contains("--job") ? [] : ["--job", "short"];
        var config = DefaultConfig.Instance.WithArtifactsPath(Path.Combine(Path.GetTempPath(), "repvgg-kernels"));
        BenchmarkRunner.Run<KernelBenchmark>(config, ["--inProcess", .. job, .. arguments]);
    }
}
