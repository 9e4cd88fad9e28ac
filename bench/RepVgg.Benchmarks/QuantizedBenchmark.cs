using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Quantizers;
using static System.FormattableString;

namespace RepVgg.Benchmarks;

/// <summary>Quantized networks: the engine against ONNX Runtime on the same file, and against the engine in floating point.</summary>
internal static class QuantizedBenchmark
{
    private const string Header = """
        | network | size | batch | threads | cores, rounds | ours, ms | ONNX Runtime, ms | ratio | ours in float32, ms | ratio | logits differ |
        |---|---|---|---|---|---|---|---|---|---|---|
        """;

    private static IEnumerable<InferenceCase> Cases(int cores)
    {
        foreach (var (network, size) in ((string, int)[])[("A0", 224), ("B0", 224), ("S1", 28), ("S2", 64)])
        {
            foreach (int batch in (int[])[1, 8])
            {
                foreach (int threads in cores > 1 ? (int[])[1, 2] : [1])
                    yield return new(network, size, batch, threads, 1.2);
            }
        }
    }

    public static void Run(CommandLine options)
    {
        int count = options.Number("rounds", 5);
        var rounds = new AlternatingRounds(count, options.Number("milliseconds", 1000) / 1000.0, options.Text("clock", "wall") == "processor");
        var cases = options.Text("network") is { } name
            ? [new InferenceCase(name, options.Number("size", 224), options.Number("batch", 1), options.Number("threads", 1), 0)]
            : Cases(Environment.ProcessorCount);
        ResultsFile.Report(options, "Quantized inference against ONNX Runtime", $"""
            Medians of {count} rounds in which two sides alternate: the engine and ONNX Runtime on the same file of 8-bit integers, and the engine with integers and with floats. Ratios are images per
            second, those of integers in the engine over the others. The classifier is in floating point. Made by `bench/run` on {Machine.Today}.
            """, Header, cases.SelectMany(test => Measure(test, rounds)));
    }

    private static IEnumerable<string> Measure(InferenceCase test, AlternatingRounds rounds)
    {
        var network = InferenceBenchmark.Untrained(test.Network, test.Size);
        using var floats = new InferenceEngine(network, test.Threads);
        var random = new Random(2);
        float[] pixels = [.. Enumerable.Range(0, test.Batch * floats.InputLength).Select(_ => (float)random.Next(256))];
        // The ranges do not matter to the speed.
        var quantized = Quantization.Calibrate(network, [.. pixels.Chunk(floats.InputLength).Take(4)], new QuantizationOptions { Calibrator = Calibrator.MinMax, BiasCorrection = false });
        using var integers = new InferenceEngine(quantized, test.Threads);
        using var peer = new OnnxRuntimePeer(quantized, pixels, test.Batch, test.Threads);
        float[] logits = new float[test.Batch * integers.Classes], other = new float[logits.Length];
        integers.Run(pixels, test.Batch, logits);
        peer.Run();
        double difference = InferenceBenchmark.Difference(peer.Logits, logits);
        var own = rounds.RunByCores(test.Threads, RunIntegers, () => floats.Run(pixels, test.Batch, other)).ToDictionary(group => group.Cores, AlternatingRounds.Medians);
        foreach (var group in rounds.RunByCores(test.Threads, RunIntegers, peer.Run))
        {
            var (ours, theirs) = AlternatingRounds.Medians(group);
            string cores = group.Cores.Length == 0 ? "" : Invariant($"{group.Cores}, {group.Ours.Length}");
            string compared = own.TryGetValue(group.Cores, out var pair) ? Invariant($"{pair.Theirs:F3} | {pair.Theirs / pair.Ours:F2}") : "- | -";
            yield return Invariant($"| {test.Network} | {test.Size} | {test.Batch} | {test.Threads} | {cores} | {ours:F3} | {theirs:F3} | {theirs / ours:F2} | {compared} | {difference:E1} |");
        }

        void RunIntegers() => integers.Run(pixels, test.Batch, logits);
    }
}
