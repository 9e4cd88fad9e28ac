using System.Globalization;
using System.Runtime.InteropServices;
using RepVgg.Weights.Onnx;

namespace RepVgg.Benchmarks;

/// <summary>Time from process start to the first result, and peak resident memory: a program on the engine and one on ONNX Runtime.</summary>
internal static class StartBenchmark
{
    private const double TimeGoal = 0.6;
    private const double MemoryGoal = 1.0;
    private const string OurProgram = "RepVgg.FirstResult";
    private const string TheirProgram = "RepVgg.FirstResult.OnnxRuntime";

    private const string Header = """
        | threads | both run as | ours, ms | ONNX Runtime, ms | ratio | goal | ours, MiB | ONNX Runtime, MiB | ratio | goal | logits differ |
        |---|---|---|---|---|---|---|---|---|---|---|
        """;

    public static void Run(CommandLine options)
    {
        string network = options.Text("network", "A0");
        int size = options.Number("size", 224), rounds = options.Number("rounds", 15);
        string programs = options.Text("programs") ?? throw new ArgumentException("--programs needs the folder where bench/run put the programs.");
        string plain = Path.Combine(programs, "plain"), ready = Path.Combine(programs, "ready");
        var deploy = InferenceBenchmark.Untrained(network, size);
        string folder = Directory.CreateTempSubdirectory("repvgg-start-").FullName;
        try
        {
            string model = Path.Combine(folder, "model.onnx"), input = Path.Combine(folder, "pixels");
            OnnxWriter.Write(deploy, model);
            var random = new Random(2);
            float[] pixels = [.. Enumerable.Range(0, deploy.Architecture.InputChannels * size * size).Select(_ => (float)random.Next(256))];
            File.WriteAllBytes(input, MemoryMarshal.AsBytes(pixels.AsSpan()));

            var lines = new List<string>(Header.Split('\n', StringSplitOptions.TrimEntries));
            lines.ForEach(Console.WriteLine);
            foreach (int threads in (int[])(Environment.ProcessorCount > 1 ? [1, 2] : [1]))
            {
                string[] arguments = [model, input, threads.ToString(CultureInfo.InvariantCulture)];
                if (Directory.Exists(ready))
                    Compare("published, ReadyToRun", program => new([Path.Combine(ready, OperatingSystem.IsWindows() ? $"{program}.exe" : program), .. arguments]));
                Compare("`dotnet app.dll`", program => new(["dotnet", Path.Combine(plain, $"{program}.dll"), .. arguments]));

                void Compare(string name, Func<string, FirstResultProcess> make)
                {
                    lines.Add($"| {threads} | {name} | {StartBenchmark.Compare(rounds, deploy.Classes, make(OurProgram), make(TheirProgram))} |");
                    Console.WriteLine(lines[^1]);
                }
            }
            Console.WriteLine();
            Console.WriteLine($"{Machine.Description} {OnnxRuntimePeer.Version}. {Machine.Cores}");
            if (options.Text("write") is { } path)
            {
                ResultsFile.Replace(path, "Start-up and memory against ONNX Runtime", $"""
                    {network} at {size}x{size}, batch 1: two .NET programs with the same .onnx file on disk (in the page cache), pixels and number
                    of threads, one on this library, the other on the package Microsoft.ML.OnnxRuntime. Time from the start of the
                    process to its first logits; peak resident memory of the process until then. Medians of {rounds} process starts of each, in
                    turn; ratios are ours over theirs. Made by `bench/run` on {Machine.Today}.

                    {Machine.Description} {OnnxRuntimePeer.Version}.{Machine.Load} {Machine.Cores}

                    {string.Join('\n', lines)}
                    """);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Starts both programs once to warm the caches, then in turn.</summary>
    private static string Compare(int rounds, int classes, FirstResultProcess ours, FirstResultProcess theirs)
    {
        List<FirstResult> own = [], other = [];
        for (int round = -1; round < rounds; round++)
        {
            FirstResult first = ours.Run(classes), second = theirs.Run(classes);
            if (round < 0)
                continue;
            own.Add(first);
            other.Add(second);
        }
        var (time, peak) = Medians(own);
        var (theirTime, theirPeak) = Medians(other);
        double difference = InferenceBenchmark.Difference(other[0].Logits, own[0].Logits);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{time:F0} | {theirTime:F0} | {time / theirTime:F2} | {TimeGoal:F1} | {peak:F0} | {theirPeak:F0} | {peak / theirPeak:F2} | {MemoryGoal:F1} | {difference:E1}");

        static (double Time, double Peak) Medians(List<FirstResult> results) =>
            (AlternatingRounds.Median([.. results.Select(result => result.Milliseconds)]), AlternatingRounds.Median([.. results.Select(result => result.PeakMebibytes)]));
    }
}
