using RepVgg.Weights.Files;

namespace RepVgg.Benchmarks;

/// <summary>The whole table of inference figures, printed and, if asked, written to a file.</summary>
internal static class InferenceTable
{
    private const string Header = """
        | network | size | batch | threads | cores, rounds | ours, ms | ONNX Runtime, ms | ratio | goal | logits differ |
        |---|---|---|---|---|---|---|---|---|---|
        """;

    private static IEnumerable<InferenceCase> Cases(int cores)
    {
        int[] threads = cores > 1 ? [1, 2] : [1];
        foreach (string network in (string[])["A0", "B0"])
        {
            foreach (int batch in (int[])[1, 8])
            {
                foreach (int count in threads)
                    yield return new(network, 224, batch, count, 2.0);
            }
        }
        yield return new("A0", 160, 1, threads[^1], 1.6);
        yield return new("A0", 320, 1, threads[^1], 1.6);
        foreach (var (network, size) in ((string, int)[])[("S0", 28), ("S1", 28), ("S2", 64)])
        {
            foreach (int batch in (int[])[1, 64])
            {
                foreach (int count in threads)
                    yield return new(network, size, batch, count, 1.6);
            }
        }
        yield return new("B1g4", 224, 1, threads[^1], 1.6);
        yield return new("D2se", 320, 1, threads[^1], 1.6);
    }

    public static void Run(CommandLine options)
    {
        int rounds = options.Number("rounds", 7);
        var benchmark = new InferenceBenchmark(new AlternatingRounds(rounds, options.Number("milliseconds", 1000) / 1000.0, options.Text("clock", "wall") == "processor"));
        var cases = options.Text("network") is { } network
            ? [new InferenceCase(network, options.Number("size", 224), options.Number("batch", 1), options.Number("threads", 1), 0)]
            : Cases(Environment.ProcessorCount);
        ResultsFile.Report(options, "Inference against ONNX Runtime", $"""
            Medians of {rounds} rounds in which both sides alternate, with the same network, pixels and number of threads; ratio
            is images per second, ours over theirs. Two threads are slower where their cores are far apart, which a virtual machine can change
            at any time: rounds before and after which a cache line's round trip took less than {CoreDistance.FarRoundTrip:F0} ns are near, others far.
            Made by `bench/run` on {Machine.Today}.
            """, Header, cases.SelectMany(test => benchmark.Run(test).Select(result => InferenceBenchmark.Describe(test, result))));
    }
}
