using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.TorchSharp;

namespace RepVgg.Benchmarks;

/// <summary>One measured case of training.</summary>
/// <param name="Network">Variant.</param>
/// <param name="Size">Image height and width.</param>
/// <param name="Batch">Images in one step.</param>
/// <param name="Threads">Threads of both sides.</param>
internal sealed record TrainingCase(string Network, int Size, int Batch, int Threads);

/// <summary>Training steps (forward, cross-entropy, backward, SGD) on one batch of random images, alone or alternating with libtorch.</summary>
internal static class TrainingBenchmark
{
    public const float LearningRate = 0.01f;
    public const float Momentum = 0.9f;
    public const float WeightDecay = 1e-4f;

    private const int Classes = 10;

    /// <summary>How far apart the losses of the first step may be; rounding alone makes a millionth.</summary>
    private const double LargestDifference = 0.001;

    private const string Header = """
        | network | size | batch | threads | ours, images/s | libtorch, images/s | ratio | first losses differ |
        |---|---|---|---|---|---|---|---|
        """;

    public static void Run(CommandLine options)
    {
        int rounds = options.Number("rounds", 7), threads = Math.Min(2, Environment.ProcessorCount);
        var alternation = new AlternatingRounds(rounds, options.Number("seconds", 2), options.Text("clock", "wall") == "processor");
        bool alone = options.Text("peer", "libtorch") switch
        {
            "libtorch" => options.Text("backend", "cpu").StartsWith("cuda", StringComparison.Ordinal),
            "none" => true,
            var other => throw new ArgumentException($"There is no peer '{other}': use libtorch or none."),
        };
        TrainingCase[] cases = [new("S1", 28, 128, threads), new("A0", 64, 32, threads)];
        if (options.Text("network") is { } name)
        {
            int size = options.Number("size", RepVggVariants.Find(name).DefaultImageSize), given = options.Number("threads", 0);
            cases = [new(name, size, options.Number("batch", 128), given == 0 ? Environment.ProcessorCount : given)];
        }
        var lines = new List<string>(Header.Split('\n', StringSplitOptions.TrimEntries));
        string sides = "";
        foreach (var test in cases)
        {
            using var backend = BackendOption.Create(options, RepVggVariants.Find(test.Network), test.Threads);
            lines.Add(Measure(test, backend, alternation, alone));
            sides = alone ? $"{backend.Description}." : $"{backend.Description}; {LibtorchPeer.Version}.";
        }
        lines.ForEach(Console.WriteLine);
        Console.WriteLine();
        Console.WriteLine($"{Machine.Description} {sides}");
        if (options.Text("write") is not { } path)
            return;
        ResultsFile.Replace(path, "Training against libtorch", $"""
            Training steps: forward, cross-entropy, backward, SGD with momentum and weight decay, on the same batch from the same
            weights. Images per second by the median of {rounds} rounds in which both sides alternate; ratio is ours over theirs.
            The last column is the relative difference of the losses of the first step. Made by `bench/run` on {Machine.Today}.

            {Machine.Description} {sides}{Machine.Load}

            {string.Join('\n', lines)}
            """);
    }

    private static string Measure(TrainingCase test, Backend backend, AlternatingRounds alternation, bool alone)
    {
        var architecture = RepVggVariants.Find(test.Network);
        int[] shape = [test.Batch, architecture.InputChannels, test.Size, test.Size];
        var random = new Random(1);
        float[] images = [.. Enumerable.Range(0, shape.Aggregate(1, (product, dimension) => product * dimension)).Select(_ => random.NextSingle() * 2 - 1)];
        int[] labels = [.. Enumerable.Range(0, test.Batch).Select(i => i % Classes)];
        using var network = new TrainingNetwork(architecture, Classes, backend, seed: 1);
        using var optimizer = backend.CreateOptimizer([new ParameterGroup(network.Parameters, WeightDecay)], new SgdOptions(Momentum));
        using var peer = alone ? null : new LibtorchPeer(architecture, network.ExportState(), images, shape, labels, test.Threads);
        double difference = peer is null ? double.NaN : RelativeDifference(peer.Step(), Step());
        if (peer is not null && !(difference <= LargestDifference))
        {
            throw new DeviceUnavailableException(
                $"The losses of {test.Network}'s first step differ by {difference:P2}: the two sides do not compute the same. Where a virtual machine hides the "
                + "processor's caches, libtorch's convolutions are wrong unless ONEDNN_MAX_CPU_ISA=SSE41 is set.");
        }
        var (ours, theirs) = alternation.Run(() => Step(), peer is null ? null : () => peer.Step());
        double own = Speed(ours), other = Speed(theirs);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"| {test.Network} | {test.Size} | {test.Batch} | {test.Threads} | {own:F0} | {other:F0} | {own / other:F2} | {difference:E1} |");

        double Speed(double[] milliseconds) => 1000 * test.Batch / AlternatingRounds.Median(milliseconds);

        float Step()
        {
            float[] value = [0];
            using (backend.BeginStep(training: true))
            {
                var loss = backend.SoftmaxCrossEntropy(network.Forward(backend.CreateInput(shape, images)), labels, 0);
                backend.CopyOut(loss, value);
                backend.Backward(loss);
            }
            optimizer.Step(LearningRate);
            return value[0];
        }
    }

    private static double RelativeDifference(double expected, double actual) => Math.Abs(actual - expected) / Math.Abs(expected);
}
