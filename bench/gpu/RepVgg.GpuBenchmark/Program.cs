using System.Diagnostics;
using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Benchmarks;
using RepVgg.GpuBenchmark;
using RepVgg.TorchSharp;
using TorchSharp;

const string Usage = """
    usage: RepVgg.GpuBenchmark --python PROGRAM [options]

      --python PROGRAM   the Python whose PyTorch is used and compared with
      --libtorch PATH    libraries of another libtorch than the one of that Python
      --device cuda      or cpu, to try the program where there is no GPU
      --out FILE         the report; default: gpu-report.md
      --rounds 3         rounds in which our side and PyTorch alternate
      --milliseconds 1500  how long a side is measured in a round
      --steps 500        training steps of the memory test
      --quick 1          small cases only
    """;

var culture = CultureInfo.InvariantCulture;
CommandLine options;
string? python;
try
{
    options = new CommandLine(args);
    python = options.Text("python");
}
catch (ArgumentException exception)
{
    Console.Error.WriteLine($"{exception.Message}\n{Usage}");
    return 2;
}
if (python is null)
{
    Console.Error.WriteLine(Usage);
    return 2;
}
string device = options.Text("device", "cuda");
bool isCuda = device == "cuda", quick = options.Number("quick", 0) != 0;
int rounds = options.Number("rounds", 3);
double seconds = options.Number("milliseconds", 1500) / 1000.0;
var report = new Report(Path.GetFullPath(options.Text("out", "gpu-report.md")));
try
{
    LibTorch.Use(options.Text("libtorch", python));
}
catch (Exception exception) when (exception is DeviceUnavailableException or InvalidOperationException)
{
    Console.Error.WriteLine(exception.Message);
    return 1;
}

var single = new TorchBackendOptions { CudaDevice = isCuda ? 0 : null, AllowTf32 = false };
(string Name, TorchBackendOptions Options)[] precisions = isCuda
    ? [("tf32", single with { AllowTf32 = true }), ("bf16", single with { Bfloat16 = true })]
    : [("float32", single), ("bf16", single with { Bfloat16 = true })];
(string Network, int Size, int Batch)[] training = quick
    ? [("S1", 28, 128), ("A0", 64, 32)]
    : [("S1", 28, 128), ("S1", 28, 1024), ("A0", 64, 128), ("A0", 64, 512), ("A0", 224, 64), ("A0", 224, 256)];
(string Network, int Size, int Batch)[] inference = quick ? [("A0", 64, 1)] : [("A0", 224, 1), ("A0", 224, 64), ("B1", 224, 64)];

using var peer = new PyTorchPeer(python, device);
report.Line("# RepVGG training through TorchSharp against PyTorch");
report.Line();
report.Line($"{peer.Version}. Libraries of {LibTorch.Folder}. {DateTime.UtcNow.ToString("yyyy-MM-dd HH:mm", culture)} UTC.");
report.Line();

report.Part("Self-test", () =>
{
    foreach (var (name, chosen) in precisions)
    {
        long start = Stopwatch.GetTimestamp();
        using var backend = TorchBackends.Create(chosen with { Network = RepVggVariants.A0 });
        report.Line(string.Create(culture, $"- {name}: passed in {Stopwatch.GetElapsedTime(start).TotalSeconds:F1} s; {backend.Description}"));
    }
});

report.Part("Training steps of a batch, images per second", () =>
{
    report.Line($"Each batch is copied from the host. Medians of {rounds} alternating rounds; ratio is ours over the faster layout of PyTorch.");
    report.Line();
    report.Line("| network | size | batch | precision | ours | PyTorch | PyTorch, channels last | ratio |");
    report.Line("|---|---|---|---|---|---|---|---|");
    foreach (var (network, size, batch) in training)
    {
        foreach (var (name, chosen) in precisions)
        {
            using var backend = TorchBackends.Create(chosen with { SelfTest = false });
            using var steps = new DeviceSteps(backend, RepVggVariants.Find(network), size, batch);
            var (ours, rows, last) = Alternate(() => steps.Measure(seconds), "train", network, size, batch, name);
            report.Line(string.Create(culture, $"| {network} | {size} | {batch} | {name} | {ours:F0} | {rows:F0} | {last:F0} | {ours / (double.IsNaN(rows) || last > rows ? last : rows):F2} |"));
        }
    }
});

report.Part("Twenty steps against the CPU backend", () =>
{
    int count = quick ? 5 : 20;
    report.Line("Relative differences of the losses. Rounding grows from step to step, in a deep network by a multiple, so that the first steps say most.");
    report.Line();
    report.Line($"| network | size | batch | precision | first step | second | largest of {count} |");
    report.Line("|---|---|---|---|---|---|---|");
    foreach (var (network, size, batch) in ((string, int, int)[])[("S1", 28, 32), ("A0", 64, 32)])
    {
        using var cpu = new CpuBackend(0);
        float[] expected = Losses(cpu, network, size, batch, count);
        foreach (var (name, chosen) in ((string, TorchBackendOptions)[])[("float32", single), .. precisions])
        {
            using var backend = TorchBackends.Create(chosen with { SelfTest = false });
            double[] differences = [.. expected.Zip(Losses(backend, network, size, batch, count), (a, b) => Math.Abs((double)a - b) / Math.Abs(a))];
            report.Line(string.Create(culture, $"| {network} | {size} | {batch} | {name} | {differences[0]:E1} | {differences[1]:E1} | {differences.Max():E1} |"));
        }
    }
});

report.Part("Inference in TorchSharp, images per second", () =>
{
    report.Line("The backbone without a classifier, in single precision (TF32 on a GPU), on images that are on the device.");
    report.Line();
    report.Line("| network | size | batch | branches | fused | ratio |");
    report.Line("|---|---|---|---|---|---|");
    using var backend = TorchBackends.Create(precisions[0].Options with { SelfTest = false });
    foreach (var (network, size, batch) in inference)
    {
        double branches = Infer(network, size, batch, fuse: false), fused = Infer(network, size, batch, fuse: true);
        report.Line(string.Create(culture, $"| {network} | {size} | {batch} | {branches:F0} | {fused:F0} | {fused / branches:F2} |"));
    }
});

report.Part("Tests of the backend", () =>
{
    DeviceTests.Options = single;
    long start = Stopwatch.GetTimestamp();
    int failed = 0;
    int count = DeviceTests.RunAll((name, message) =>
    {
        failed++;
        report.Fail();
        report.Line($"- FAILED: {name}: {message.ReplaceLineEndings(" ")}");
    });
    report.Line(string.Create(culture, $"{count} tests in single precision, {failed} failed, {Stopwatch.GetElapsedTime(start).TotalSeconds:F0} s."));
});

report.Part("Memory over many steps", () =>
{
    int count = options.Number("steps", quick ? 50 : 500);
    using var backend = TorchBackends.Create(precisions[0].Options with { SelfTest = false });
    using var steps = new DeviceSteps(backend, RepVggVariants.Find("S1"), 28, 128);
    report.Line("| step | live tensors | resident MiB |");
    report.Line("|---|---|---|");
    long atStart = 0;
    for (int step = 1; step <= count; step++)
    {
        steps.Step();
        if (step == 10)
            atStart = torch.Tensor.TotalCount;
        if (step is 1 or 10 || step % Math.Max(1, count / 5) == 0)
            report.Line(string.Create(culture, $"| {step} | {torch.Tensor.TotalCount} | {Environment.WorkingSet / 1048576.0:F0} |"));
    }
    if (torch.Tensor.TotalCount > atStart)
    {
        report.Fail();
        report.Line("FAILED: the number of live tensors grows.");
    }
});

// Last, because it fills the device.
if (isCuda)
{
    report.Part("A batch that does not fit", () =>
    {
        using var backend = TorchBackends.Create(precisions[0].Options with { SelfTest = false });
        try
        {
            using var steps = new DeviceSteps(backend, RepVggVariants.Find("A0"), 224, 8192);
            steps.Step();
            report.Line("A0 at 224 with batches of 8192 fits into the memory of this device.");
        }
        catch (InsufficientMemoryException exception)
        {
            report.Line($"Message: {exception.Message}");
        }
    });
}
return report.Failed ? 1 : 0;

// Medians over rounds in which the three sides alternate.
(double Ours, double Rows, double Last) Alternate(Func<double> ours, string what, string network, int size, int batch, string precision)
{
    double[] own = new double[rounds], rows = new double[rounds], last = new double[rounds];
    for (int round = 0; round < rounds; round++)
    {
        own[round] = ours();
        rows[round] = peer.Measure(what, network, size, batch, precision, channelsLast: false, seconds);
        last[round] = peer.Measure(what, network, size, batch, precision, channelsLast: true, seconds);
    }
    return (Median(own), Median(rows), Median(last));
}

static double Median(double[] values) => values.Order().ElementAt(values.Length / 2);

static float[] Losses(Backend backend, string network, int size, int batch, int count)
{
    using var steps = new DeviceSteps(backend, RepVggVariants.Find(network), size, batch);
    return steps.Losses(count);
}

double Infer(string network, int size, int batch, bool fuse)
{
    using var scope = torch.NewDisposeScope();
    using var mode = torch.no_grad();
    using var backbone = new RepVggBackbone(RepVggVariants.Find(network));
    backbone.eval();
    if (fuse)
        backbone.SwitchToDeploy();
    var target = isCuda ? new torch.Device(DeviceType.CUDA, 0) : torch.CPU;
    backbone.to(target);
    var images = torch.rand([batch, backbone.Architecture.InputChannels, size, size]).to(target);
    Run(seconds / 4);
    return Run(seconds);

    double Run(double length)
    {
        Synchronize();
        long start = Stopwatch.GetTimestamp();
        int runs = 0;
        for (; Stopwatch.GetElapsedTime(start).TotalSeconds < length; runs++)
            backbone.call(images).Dispose();
        Synchronize();
        return runs * batch / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    void Synchronize()
    {
        if (isCuda)
            torch.cuda.synchronize();
    }
}
