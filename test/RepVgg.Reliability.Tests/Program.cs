using System.Globalization;
using RepVgg.Reliability.Tests.Faults;
using RepVgg.Reliability.Tests.Fuzzing;
using RepVgg.Reliability.Tests.Kills;
using RepVgg.Reliability.Tests.Soak;
using RepVgg.Testing;

namespace RepVgg.Reliability.Tests;

/// <summary>This assembly as a program: long runs by hand, and the child processes of the tests.</summary>
internal static class Program
{
    private const string Help = """
        fuzz [--reader NAME] [--count N] [--seed N] [--first N] [--threads N]   damaged files; without --reader, N for each reader
        kill [--count N] [--seed N] [--at-rename]                               processes that are killed while they write
        soak [--seconds N] [--threads N] [--seed N] [--interval MILLISECONDS]   many engines and short runs; is memory flat?
        """;

    private static int Main(string[] arguments)
    {
        var options = new Options(arguments);
        switch (arguments.FirstOrDefault())
        {
            case "fuzz":
                return Fuzz(options);
            case "kill":
                Kill(options);
                return 0;
            case "soak":
                new SoakRun((int)options.Number("threads", 64), (int)options.Number("seed", 1), Console.WriteLine)
                    .Run(TimeSpan.FromSeconds(options.Number("seconds", 600)), TimeSpan.FromMilliseconds(options.Number("interval", 10_000)));
                return 0;
            case "child" when arguments[1] == "faults":
                return Faults();
            case "child":
                return ChildPrograms.Run(arguments.AsSpan(1));
            default:
                Console.Error.WriteLine(Help);
                return 2;
        }
    }

    private static int Fuzz(Options options)
    {
        bool failed = false;
        string? reader = options.Text("reader");
        var targets = FuzzTargets.All.Where(target => reader is null || target.Name == reader).ToArray();
        if (targets.Length == 0)
            throw new ArgumentException($"There is no reader '{reader}'. There are {string.Join(", ", FuzzTargets.All.Select(target => target.Name))}.");
        foreach (var target in targets)
        {
            using var folder = new TemporaryFolder();
            var run = new FuzzRun(target, (int)options.Number("seed", 1), folder.Path, Path.GetFullPath("fuzz-failures"));
            try
            {
                Console.WriteLine(run.Run(options.Number("first", 0), options.Number("count", 100_000), (int)options.Number("threads", Environment.ProcessorCount)));
            }
            catch (FuzzException error)
            {
                Console.WriteLine($"{target.Name} FAILED\n{error.Message}");
                failed = true;
            }
        }
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        Console.WriteLine($"Peak memory of the process: {process.PeakWorkingSet64 >> 20} MiB");
        return failed ? 1 : 0;
    }

    private static void Kill(Options options)
    {
        int count = (int)options.Number("count", 50);
        var run = new KillRun((int)options.Number("seed", 1), Console.WriteLine);
        run.Train(count - count * 3 / 10 * 2, options.Has("at-rename"));
        run.SaveModel(count * 3 / 10);
        run.WriteWeights(count * 3 / 10);
        Console.WriteLine($"{count} of {count} kills survived");
    }

    private static int Faults()
    {
        var wrong = FaultRun.Run(Console.WriteLine);
        foreach (string what in wrong)
            Console.Error.WriteLine(what);
        return wrong.Count == 0 ? 0 : 1;
    }

    /// <summary>Options of the form <c>--name value</c>.</summary>
    private sealed class Options(string[] arguments)
    {
        public string? Text(string name) => Array.IndexOf(arguments, $"--{name}") is >= 0 and var at ? arguments[at + 1] : null;

        public bool Has(string name) => arguments.Contains($"--{name}");

        public long Number(string name, long otherwise) => Text(name) is { } text ? long.Parse(text, CultureInfo.InvariantCulture) : otherwise;
    }
}
