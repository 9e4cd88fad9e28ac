using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Weights.Files;
using static System.FormattableString;

namespace RepVgg.Benchmarks;

/// <summary>PSPNets: the engine against ONNX Runtime on the same file, and against the training form.</summary>
internal static class SegmentationBenchmark
{
    private const string Header = """
        | network | size | dilated blocks | batch | threads | cores, rounds | ours, ms | images/s | ONNX Runtime, ms | ratio | training form, ms | ratio | pixels differ |
        |---|---|---|---|---|---|---|---|---|---|---|---|---|
        """;

    /// <summary>One measured case.</summary>
    /// <param name="Network">Variant.</param>
    /// <param name="Size">Image height and width.</param>
    /// <param name="Dilated">Number of dilated blocks at the end; 0 for all of stride 8.</param>
    /// <param name="Batch">Images in one run.</param>
    /// <param name="Threads">Threads of all sides.</param>
    private sealed record Case(string Network, int Size, int Dilated, int Batch, int Threads);

    public static void Run(CommandLine options)
    {
        int count = options.Number("rounds", 5);
        var rounds = new AlternatingRounds(count, options.Number("milliseconds", 2000) / 1000.0, options.Text("clock", "wall") == "processor");
        int[] threads = Environment.ProcessorCount > 1 ? [1, 2] : [1];
        var cases = options.Text("network") is { } name
            ? [new Case(name, options.Number("size", 473), options.Number("dilated", 0), options.Number("batch", 1), options.Number("threads", 1))]
            : threads.SelectMany(number => (Case[])[new("A0", 473, 0, 1, number), new("A0", 473, 5, 1, number)]);
        ResultsFile.Report(options, "Segmentation against ONNX Runtime", $"""
            Medians of {count} rounds in which two sides alternate: a PSPNet of 21 classes in the engine and in ONNX Runtime, from the same file, both up to the mask of classes; and the engine and the training
            form on the CPU backend, which computes the logits alone. Ratios are images per second, the engine's over the others. Made by `bench/run` on {Machine.Today}.
            """, Header, cases.SelectMany(test => Measure(test, rounds)));
    }

    private static IEnumerable<string> Measure(Case test, AlternatingRounds rounds)
    {
        var architecture = PspNetArchitecture.Create(RepVggVariants.Find(test.Network), classes: 21);
        architecture = architecture with { Backbone = architecture.Backbone with { DilatedBlocks = test.Dilated > 0 ? test.Dilated : null } };
        using var backend = new CpuBackend(test.Threads);
        using var training = new TrainingNetwork(architecture, backend, seed: 1);
        var network = SegmentationNetwork.FromTrainingForm(architecture, training.ExportState(), test.Size, test.Size, Normalization.ImageNet);
        using var engine = new SegmentationEngine(network, test.Threads);
        var random = new Random(2);
        float[] pixels = [.. Enumerable.Range(0, test.Batch * engine.InputLength).Select(_ => (float)random.Next(256))];
        byte[] masks = new byte[test.Batch * engine.MaskLength];
        using var peer = new OnnxRuntimePeer(network, pixels, test.Batch, test.Threads);
        engine.Run(pixels, test.Batch, masks);
        peer.Run();
        double difference = masks.Zip(peer.Masks).Count(pair => pair.First != pair.Second) / (double)masks.Length;
        var forms = rounds.RunByCores(test.Threads, RunEngine, RunTrainingForm).ToDictionary(group => group.Cores, AlternatingRounds.Medians);
        foreach (var group in rounds.RunByCores(test.Threads, RunEngine, peer.Run))
        {
            var (ours, theirs) = AlternatingRounds.Medians(group);
            string cores = group.Cores.Length == 0 ? "" : Invariant($"{group.Cores}, {group.Ours.Length}");
            string form = forms.TryGetValue(group.Cores, out var pair) ? Invariant($"{pair.Theirs:F1} | {pair.Theirs / pair.Ours:F2}") : "- | -";
            yield return Invariant($"| {test.Network} | {test.Size} | {(test.Dilated > 0 ? $"{test.Dilated}" : "all")} | {test.Batch} | {test.Threads} | {cores} | {ours:F1} | {1000 * test.Batch / ours:F2} | {theirs:F1} | {theirs / ours:F2} | {form} | {difference:E1} |");
        }

        void RunEngine() => engine.Run(pixels, test.Batch, masks);

        void RunTrainingForm()
        {
            using var step = backend.BeginStep(training: false);
            _ = training.Forward(backend.CreateInput([test.Batch, architecture.Backbone.InputChannels, test.Size, test.Size], pixels));
        }
    }
}
