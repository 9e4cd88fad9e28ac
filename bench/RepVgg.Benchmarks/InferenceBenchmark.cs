using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Inference;
using RepVgg.Networks;

namespace RepVgg.Benchmarks;

/// <summary>One measured case: the engine against ONNX Runtime on the same network, pixels and threads.</summary>
/// <param name="Network">Variant.</param>
/// <param name="Size">Image height and width.</param>
/// <param name="Batch">Images in one run.</param>
/// <param name="Threads">Threads of both sides.</param>
/// <param name="Goal">Ratio to reach.</param>
internal sealed record InferenceCase(string Network, int Size, int Batch, int Threads, double Goal);

/// <summary>What a case gave.</summary>
/// <param name="Cores">"near" or "far": how far apart the cores were; empty for one thread.</param>
/// <param name="Rounds">Number of rounds in that state.</param>
/// <param name="Ours">Median milliseconds of the engine.</param>
/// <param name="Theirs">Median milliseconds of ONNX Runtime.</param>
/// <param name="Difference">Largest difference of the logits, relative to the largest logit.</param>
internal sealed record InferenceResult(string Cores, int Rounds, double Ours, double Theirs, double Difference)
{
    /// <summary>Images per second, ours over theirs.</summary>
    public double Ratio => Theirs / Ours;
}

/// <summary>Runs the deploy form of a variant with random weights, alternating with ONNX Runtime.</summary>
internal sealed class InferenceBenchmark(AlternatingRounds rounds)
{
    private readonly Dictionary<(string, int), DeployNetwork> _networks = [];

    /// <summary>Runs a case.</summary>
    /// <returns>One result; with several threads, one for each state of the cores that was seen in several rounds, or in all. Rounds in which the state changed are left out.</returns>
    public IReadOnlyList<InferenceResult> Run(InferenceCase test)
    {
        var network = Network(test.Network, test.Size);
        using var engine = new InferenceEngine(network, test.Threads);
        var random = new Random(2);
        float[] pixels = [.. Enumerable.Range(0, test.Batch * engine.InputLength).Select(_ => (float)random.Next(256))];
        var logits = new float[test.Batch * engine.Classes];
        using var peer = new OnnxRuntimePeer(network, pixels, test.Batch, test.Threads);
        engine.Run(pixels, test.Batch, logits);
        peer.Run();
        double difference = Difference(peer.Logits, logits);
        return [.. rounds.RunByCores(test.Threads, () => engine.Run(pixels, test.Batch, logits), peer.Run)
            .Select(group => new InferenceResult(group.Cores, group.Ours.Length, AlternatingRounds.Median(group.Ours), AlternatingRounds.Median(group.Theirs), difference))];
    }

    /// <summary>The largest difference, relative to the largest expected value.</summary>
    internal static double Difference(float[] expected, float[] actual) =>
        expected.Zip(actual, (a, b) => Math.Abs((double)a - b)).Max() / expected.Max(value => Math.Abs((double)value));

    // The weights' values don't matter to the speed, so they are those of a network that was never trained.
    internal static DeployNetwork Untrained(string name, int size)
    {
        var architecture = RepVggVariants.Find(name);
        int classes = architecture.DefaultImageSize >= 224 ? 1000 : 10;
        using var backend = new CpuBackend();
        using var training = new TrainingNetwork(architecture, classes, backend, seed: 1);
        float[] mean = [.. Enumerable.Repeat(127.5f, architecture.InputChannels)], std = [.. Enumerable.Repeat(64f, architecture.InputChannels)];
        var normalization = Normalization.FromMeanStd(mean, std, maxPixelValue: 1);
        return DeployNetwork.FromTrainingForm(architecture, training.ExportState(), size, size, normalization);
    }

    // Cases of one network follow each other.
    private DeployNetwork Network(string name, int size)
    {
        if (!_networks.TryGetValue((name, size), out var network))
        {
            _networks.Clear();
            _networks.Add((name, size), network = Untrained(name, size));
        }
        return network;
    }

    /// <summary>A case and its result on one line.</summary>
    public static string Describe(InferenceCase test, InferenceResult result) => string.Create(
        CultureInfo.InvariantCulture,
        $"| {test.Network} | {test.Size} | {test.Batch} | {test.Threads} | {(result.Cores.Length == 0 ? "" : $"{result.Cores}, {result.Rounds}")} | {result.Ours:F3} | {result.Theirs:F3} | {result.Ratio:F2} | {test.Goal:F1} | {result.Difference:E1} |");
}
