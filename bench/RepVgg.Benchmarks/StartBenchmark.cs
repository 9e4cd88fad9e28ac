using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using RepVgg.Formats.Onnx;

namespace RepVgg.Benchmarks;

/// <summary>Time from process start to the first result, and peak resident memory, against ONNX Runtime in Node.</summary>
internal static class StartBenchmark
{
    private const double TimeGoal = 0.6;
    private const double MemoryGoal = 1.0;

    private const string Header = """
        | threads | ours, run as | ours, ms | ONNX Runtime, ms | ratio | goal | ours, MiB | ONNX Runtime, MiB | ratio | goal | logits differ |
        |---|---|---|---|---|---|---|---|---|---|---|
        """;

    public static void Run(CommandLine options)
    {
        string network = options.Text("network", "A0");
        int size = options.Number("size", 224), rounds = options.Number("rounds", 15);
        var deploy = InferenceBenchmark.Untrained(network, size);
        string peers = Path.GetFullPath(options.Text("peers", "bench/peers"));
        string program = options.Text("program") ?? throw new ArgumentException("--program needs the folder where RepVgg.FirstResult was built.");
        string folder = Directory.CreateTempSubdirectory("repvgg-start-").FullName;
        try
        {
            string model = Path.Combine(folder, "model.onnx"), input = Path.Combine(folder, "pixels");
            OnnxWriter.Write(deploy, model);
            var random = new Random(2);
            float[] pixels = [.. Enumerable.Range(0, deploy.Architecture.InputChannels * size * size).Select(_ => (float)random.Next(256))];
            File.WriteAllBytes(input, MemoryMarshal.AsBytes(pixels.AsSpan()));

            var lines = new List<string>(Header.Split('\n', StringSplitOptions.TrimEntries));
            foreach (int threads in (int[])(Environment.ProcessorCount > 1 ? [1, 2] : [1]))
            {
                string[] arguments = [model, input, threads.ToString(CultureInfo.InvariantCulture)];
                var theirs = new FirstResultProcess(
                    "ONNX Runtime", ["node", Path.Combine(AppContext.BaseDirectory, "onnxruntime_first_result.mjs"), .. arguments, $"{deploy.Architecture.InputChannels}", $"{size}", $"{size}"],
                    ("PEERS", peers));
                var ours = new List<FirstResultProcess> { new("`dotnet app.dll`", ["dotnet", Path.Combine(program, "RepVgg.FirstResult.dll"), .. arguments]) };
                if (options.Text("ready") is { } ready)
                    ours.Insert(0, new("published, ReadyToRun", [Path.Combine(ready, OperatingSystem.IsWindows() ? "RepVgg.FirstResult.exe" : "RepVgg.FirstResult"), .. arguments]));
                lines.AddRange(Compare(threads, rounds, deploy.Classes, theirs, ours));
            }
            lines.ForEach(Console.WriteLine);
            if (options.Text("write") is { } path)
            {
                ResultsFile.Replace(path, "Start-up and memory against ONNX Runtime in Node", $"""
                    {network} at {size}x{size}, batch 1, the same .onnx file on disk (in the page cache), pixels and number of threads. Time from
                    the start of the process to its first logits; peak resident memory of the process until then. Medians of {rounds}
                    process starts of each, in turn; ratios are ours over theirs. Made by `bench/peers/run` on {Machine.Today}.

                    {Machine.Description} {Peer(peers)}.{Machine.Load}

                    {string.Join('\n', lines)}
                    """);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Peer(string peers)
    {
        using var package = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(peers, "node_modules", "onnxruntime-node", "package.json")));
        return $"ONNX Runtime {package.RootElement.GetProperty("version").GetString()} in Node";
    }

    /// <summary>Starts every program once to warm the caches, then in turn.</summary>
    private static IEnumerable<string> Compare(int threads, int rounds, int classes, FirstResultProcess theirs, List<FirstResultProcess> ours)
    {
        FirstResultProcess[] all = [theirs, .. ours];
        var results = all.ToDictionary(side => side, _ => new List<FirstResult>());
        for (int round = -1; round < rounds; round++)
        {
            foreach (var side in all)
            {
                var result = side.Run(classes);
                if (round >= 0)
                    results[side].Add(result);
            }
        }
        double theirTime = Median(theirs, result => result.Milliseconds), theirPeak = Median(theirs, result => result.PeakMebibytes);
        float[] expected = results[theirs][0].Logits;
        foreach (var side in ours)
        {
            double time = Median(side, result => result.Milliseconds), peak = Median(side, result => result.PeakMebibytes);
            double difference = expected.Zip(results[side][0].Logits, (a, b) => Math.Abs((double)a - b)).Max() / expected.Max(value => Math.Abs((double)value));
            yield return string.Create(
                CultureInfo.InvariantCulture,
                $"| {threads} | {side.Name} | {time:F0} | {theirTime:F0} | {time / theirTime:F2} | {TimeGoal:F1} | {peak:F0} | {theirPeak:F0} | {peak / theirPeak:F2} | {MemoryGoal:F1} | {difference:E1} |");
        }

        double Median(FirstResultProcess side, Func<FirstResult, double> value) => results[side].Select(value).Order().ElementAt(rounds / 2);
    }
}
