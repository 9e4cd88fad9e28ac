using System.Diagnostics;
using System.Globalization;
using RepVgg.Inference;

namespace RepVgg.Benchmarks;

/// <summary>Several threads that call one engine with one image each, as in a web server, against as many threads that call one session of ONNX Runtime.</summary>
internal static class CallersBenchmark
{
    private const string Header = """
        | network | size | callers | side | images/s | ratio | median, ms | 99 %, ms | ratio |
        |---|---|---|---|---|---|---|---|---|
        """;

    public static void Run(CommandLine options)
    {
        int rounds = options.Number("rounds", 5), callers = options.Number("callers", 8), cores = Environment.ProcessorCount;
        double seconds = options.Number("milliseconds", 2000) / 1000.0;
        (string Network, int Size)[] cases = options.Text("network") is { } name ? [(name, options.Number("size", 224))] : [("A0", 224), ("S1", 28)];
        ResultsFile.Report(options, "Several callers of one engine", $"""
            {callers} threads that each call the same engine, or the same session of ONNX Runtime, with one image, without a pause: images per second of all
            together, and the time of a call. ONNX Runtime with one thread for an operation, and with as many as there are cores. Medians of {rounds} rounds
            in which the sides alternate; ratios are ours over theirs for images per second, and theirs over ours for times. Made by `bench/run` on {Machine.Today}.
            """, Header, cases.SelectMany(test => Measure(test.Network, test.Size, callers, cores, rounds, seconds)));
    }

    private static IEnumerable<string> Measure(string name, int size, int callers, int cores, int rounds, double seconds)
    {
        var network = InferenceBenchmark.Untrained(name, size);
        using var engine = new InferenceEngine(network, cores);
        var random = new Random(2);
        float[] pixels = [.. Enumerable.Range(0, engine.InputLength).Select(_ => (float)random.Next(256))];
        var own = Enumerable.Range(0, callers).Select(_ => new float[engine.Classes]).ToArray();
        using var one = new Session(network, pixels, callers, 1);
        using var all = new Session(network, pixels, callers, cores);
        (string Name, Action<int> Call)[] sides =
        [
            ("ours", caller => engine.Run(pixels, 1, own[caller])),
            ("ONNX Runtime, 1 thread", one.Run),
            (string.Create(CultureInfo.InvariantCulture, $"ONNX Runtime, {cores} threads"), all.Run),
        ];
        var results = sides.Select(_ => new List<Round>()).ToArray();
        for (int round = -1; round < rounds; round++)
        {
            for (int i = 0; i < sides.Length; i++)
            {
                // Each side goes first in turn.
                int side = (i + Math.Max(round, 0)) % sides.Length;
                Thread.Sleep(AlternatingRounds.Pause);
                var result = Time(sides[side].Call, callers, round < 0 ? seconds / 4 : seconds);
                if (round >= 0)
                    results[side].Add(result);
            }
        }
        for (int side = 0; side < sides.Length; side++)
        {
            double speed = Median(results[side], result => result.ImagesPerSecond), late = Median(results[side], result => result.Percentile99);
            string ratio = side == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"{Median(results[0], result => result.ImagesPerSecond) / speed:F2}");
            string lateRatio = side == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"{late / Median(results[0], result => result.Percentile99):F2}");
            yield return string.Create(
                CultureInfo.InvariantCulture,
                $"| {name} | {size} | {callers} | {sides[side].Name} | {speed:F0} | {ratio} | {Median(results[side], result => result.Median):F2} | {late:F2} | {lateRatio} |");
        }
    }

    private static double Median(List<Round> rounds, Func<Round, double> figure) => AlternatingRounds.Median([.. rounds.Select(figure)]);

    private static Round Time(Action<int> call, int callers, double seconds)
    {
        var times = new List<double>[callers];
        using var start = new Barrier(callers + 1);
        var threads = Enumerable.Range(0, callers).Select(caller => new Thread(() =>
        {
            var own = times[caller] = new List<double>(100_000);
            start.SignalAndWait();
            long begin = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(begin).TotalSeconds < seconds)
            {
                long before = Stopwatch.GetTimestamp();
                call(caller);
                own.Add(Stopwatch.GetElapsedTime(before).TotalMilliseconds);
            }
        })).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        start.SignalAndWait();
        long first = Stopwatch.GetTimestamp();
        Array.ForEach(threads, thread => thread.Join());
        double elapsed = Stopwatch.GetElapsedTime(first).TotalSeconds;
        double[] sorted = [.. times.SelectMany(list => list).Order()];
        return new Round(sorted.Length / elapsed, sorted[sorted.Length / 2], sorted[(int)(sorted.Length * 0.99)]);
    }

    /// <summary>What a side did in one round.</summary>
    private sealed record Round(double ImagesPerSecond, double Median, double Percentile99);

    /// <summary>A session of ONNX Runtime with an input and an output for each caller.</summary>
    private sealed class Session : IDisposable
    {
        private readonly OnnxRuntimePeer[] _peers;

        public Session(Networks.DeployNetwork network, float[] pixels, int callers, int threads)
        {
            var first = new OnnxRuntimePeer(network, pixels, 1, threads);
            _peers = [first, .. Enumerable.Range(1, callers - 1).Select(_ => first.ForAnotherCaller())];
        }

        public void Run(int caller) => _peers[caller].Run();

        public void Dispose()
        {
            foreach (var peer in _peers.Reverse())
                peer.Dispose();
        }
    }
}
