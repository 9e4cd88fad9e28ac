using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.TorchSharp;

namespace RepVgg.Benchmarks;

/// <summary>One measured case of training.</summary>
/// <param name="Network">Variant.</param>
/// <param name="Size">Image height and width.</param>
/// <param name="Batch">Images in one step.</param>
/// <param name="Threads">Threads of both sides.</param>
internal sealed record TrainingCase(string Network, int Size, int Batch, int Threads)
{
    public RepVggArchitecture Architecture => RepVggVariants.Find(Network);
}

/// <summary>Training steps (forward, cross-entropy, backward, SGD) on one batch of random images: against libtorch, alone, or of one training form against RepVGG's.</summary>
internal static class TrainingBenchmark
{
    /// <summary>How far apart the losses of the first step may be; rounding alone makes a millionth.</summary>
    private const double LargestDifference = 0.001;

    public static void Run(CommandLine options)
    {
        int rounds = options.Number("rounds", 7);
        var alternation = new AlternatingRounds(rounds, options.Number("seconds", 2), options.Text("clock", "wall") == "processor");
        bool alone = options.Text("peer", "libtorch") switch
        {
            "libtorch" => options.Text("backend", "cpu").StartsWith("cuda", StringComparison.Ordinal),
            "none" => true,
            var other => throw new ArgumentException($"There is no peer '{other}': use libtorch or none."),
        };
        (string Network, int Size, int Batch)[] networks = [("S1", 28, 128), ("S2", 64, 32), ("A0", 64, 32), ("A0", 224, 8)];
        int[] threadCounts = [1, Math.Min(2, Environment.ProcessorCount)];
        TrainingCase[] cases = [.. networks.SelectMany(each => threadCounts.Distinct().Select(threads => new TrainingCase(each.Network, each.Size, each.Batch, threads)))];
        if (options.Text("network") is { } name)
        {
            int size = options.Number("size", RepVggVariants.Find(name).DefaultImageSize), given = options.Number("threads", 0);
            cases = [new(name, size, options.Number("batch", 128), given == 0 ? Environment.ProcessorCount : given)];
        }
        var form = options.TrainingForm("form");

        var lines = new List<string>();
        string sides = "";
        foreach (var test in cases)
        {
            using var backend = BackendOption.Create(options, test.Architecture, test.Threads);
            if (form is { } other)
            {
                using var second = BackendOption.Create(options, test.Architecture, test.Threads);
                lines.AddRange(CompareForms(test, other, backend, second, alternation, alone));
            }
            else
            {
                lines.AddRange(Measure(test, backend, alternation, alone));
            }
            sides = alone ? $"{backend.Description}." : $"{backend.Description}; {LibtorchPeer.Version}.";
        }
        string[] header = form is { } compared
            ? [$"| network | size | batch | threads | side | RepVgg, images/s | {compared}, images/s | ratio | RepVgg, MiB | {compared}, MiB | ratio |", "|---|---|---|---|---|---|---|---|---|---|---|"]
            : ["| network | size | batch | threads | cores, rounds | ours, images/s | libtorch, images/s | ratio | first losses differ |", "|---|---|---|---|---|---|---|---|---|"];
        lines.InsertRange(0, header);
        lines.ForEach(Console.WriteLine);
        Console.WriteLine();
        Console.WriteLine($"{Machine.Description} {sides} {Machine.Cores}");
        if (options.Text("write") is not { } path)
            return;
        string content = form is { } written
            ? $"""
                Training steps: forward, cross-entropy, backward, SGD with momentum and weight decay, on the same batch. Images per second by
                the median of {rounds} rounds in which the two forms alternate; ratio is {written} over RepVgg. MiB is what the CPU backend has
                allocated from the system after the steps. Made by `bench/run train --form {written}` on {Machine.Today}.
                """
            : $"""
                Training steps: forward, cross-entropy, backward, SGD with momentum and weight decay, on the same batch from the same
                weights. Images per second by the median of {rounds} rounds in which both sides alternate; ratio is ours over theirs.
                Two threads are slower where their cores are far apart, as in the table of inference.
                The last column is the relative difference of the losses of the first step. Made by `bench/run` on {Machine.Today}.
                """;
        ResultsFile.Replace(path, form is { } named ? $"Training form {named} against RepVgg" : "Training against libtorch", $"""
            {content}

            {Machine.Description} {sides}{Machine.Load} {Machine.Cores}

            {string.Join('\n', lines)}
            """);
    }

    private static IReadOnlyList<string> Measure(TrainingCase test, Backend backend, AlternatingRounds alternation, bool alone)
    {
        using var own = new TrainingSteps(test, test.Architecture, backend);
        using var peer = alone ? null : new LibtorchPeer(own);
        double difference = peer is null ? double.NaN : RelativeDifference(test, peer.Step(), own.Step());
        return [.. alternation.RunByCores(test.Threads, () => own.Step(), peer is null ? null : () => peer.Step()).Select(group => string.Create(
            CultureInfo.InvariantCulture,
            $"{Columns(test)} {group.Cores}{(group.Cores.Length > 0 ? $", {group.Ours.Length}" : "")} | {Speeds(test, group.Ours, group.Theirs, oursOverTheirs: true)} {difference:E1} |"))];
    }

    private static IEnumerable<string> CompareForms(TrainingCase test, TrainingForm form, Backend first, Backend second, AlternatingRounds alternation, bool alone)
    {
        using var one = new TrainingSteps(test, test.Architecture with { TrainingForm = TrainingForm.RepVgg }, first);
        using var other = new TrainingSteps(test, test.Architecture with { TrainingForm = form }, second);
        using var peerOfOne = alone ? null : new LibtorchPeer(one);
        using var peerOfOther = alone ? null : new LibtorchPeer(other);
        foreach (var (own, peer) in (ReadOnlySpan<(TrainingSteps, LibtorchPeer?)>)[(one, peerOfOne), (other, peerOfOther)])
        {
            if (peer is not null)
                RelativeDifference(test, peer.Step(), own.Step());
        }
        var (times, otherTimes) = alternation.Run(() => one.Step(), () => other.Step());
        string memory = first is Backends.Cpu.CpuBackend cpu && second is Backends.Cpu.CpuBackend otherCpu
            ? string.Create(CultureInfo.InvariantCulture, $"{cpu.AllocatedBytes / 1048576.0:F0} | {otherCpu.AllocatedBytes / 1048576.0:F0} | {(double)otherCpu.AllocatedBytes / cpu.AllocatedBytes:F2} |")
            : "| | |";
        var lines = new List<string> { $"{Columns(test)} ours | {Speeds(test, times, otherTimes, oursOverTheirs: false)} {memory}" };
        if (peerOfOne is not null && peerOfOther is not null)
        {
            var (peerTimes, otherPeerTimes) = alternation.Run(() => peerOfOne.Step(), () => peerOfOther.Step());
            lines.Add($"{Columns(test)} libtorch | {Speeds(test, peerTimes, otherPeerTimes, oursOverTheirs: false)} | | |");
        }
        return lines;
    }

    private static string Columns(TrainingCase test) => string.Create(CultureInfo.InvariantCulture, $"| {test.Network} | {test.Size} | {test.Batch} | {test.Threads} |");

    /// <summary>Images per second of two sides, and their ratio.</summary>
    private static string Speeds(TrainingCase test, double[] times, double[] otherTimes, bool oursOverTheirs)
    {
        double speed = Speed(times), other = Speed(otherTimes);
        return string.Create(CultureInfo.InvariantCulture, $"{speed:F0} | {other:F0} | {(oursOverTheirs ? speed / other : other / speed):F2} |");

        double Speed(double[] milliseconds) => 1000 * test.Batch / AlternatingRounds.Median(milliseconds);
    }

    /// <summary>Compares the losses of the first steps of libtorch and of this library.</summary>
    /// <exception cref="DeviceUnavailableException">They are too far apart.</exception>
    private static double RelativeDifference(TrainingCase test, double expected, double actual)
    {
        double difference = Math.Abs(actual - expected) / Math.Abs(expected);
        if (!(difference <= LargestDifference))
        {
            throw new DeviceUnavailableException(
                $"The losses of {test.Network}'s first step differ by {difference:P2}: the two sides do not compute the same. Where a virtual machine hides the "
                + "processor's caches, libtorch's convolutions are wrong unless ONEDNN_MAX_CPU_ISA=SSE41 is set.");
        }
        return difference;
    }
}
