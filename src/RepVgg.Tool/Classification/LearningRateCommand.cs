using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Tool.CommandLine;

namespace RepVgg.Tool.Classification;

/// <summary>Searches for a learning rate, prints it, and draws the curve. Only the rate is written to standard output.</summary>
internal static class LearningRateCommand
{
    private static readonly TimeSpan _interval = TimeSpan.FromSeconds(10);

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        .. TrainingSetup.CommandLineOptions,
        new("first-rate", "X", "learning rate of the first step (default: 1e-7)"),
        new("last-rate", "X", "learning rate of the last step (default: 10)") { Replacements = [(@"\bFirstRate\b", "--first-rate")] },
        new("steps", "N", "number of steps, each with one batch; fewer if the loss diverges (default: 100)"),
        new("output", "FILE.svg", "the drawing of the curve (default: lr-find.svg)"),
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string output = Path.GetFullPath(arguments.Text("output") ?? "lr-find.svg");
        if (!Path.GetExtension(output).Equals(".svg", StringComparison.OrdinalIgnoreCase))
            throw new UsageException($"--output is '{arguments.Text("output")}'; the drawing is an SVG file, so its name must end in .svg.");
        var defaults = new LearningRateFinderOptions();
        var rates = defaults with
        {
            FirstRate = arguments.Positive("first-rate") ?? defaults.FirstRate,
            LastRate = arguments.Positive("last-rate") ?? defaults.LastRate,
            Steps = arguments.Integer("steps", 1) ?? defaults.Steps,
        };
        AtomicFile.CheckWritable(output, $"'{output}'");
        var setup = TrainingSetup.Read(arguments, Warn, interrupt.Token);
        Console.Error.WriteLine(Invariant($"{setup.Data.Classes.Count} classes, {setup.Data.Training.Count:n0} training images."));
        long last = Stopwatch.GetTimestamp();
        setup.Options.MetricsCallback = progress =>
        {
            if (Stopwatch.GetElapsedTime(last) < _interval)
                return;
            last = Stopwatch.GetTimestamp();
            Console.Error.WriteLine(Invariant($"batch {progress.Step}/{progress.Steps}  learning rate {progress.LearningRate:g3}  {progress.ImagesPerSecond,7:n0} images/s"));
        };
        var result = setup.Context.MulticlassClassification.Trainers.RepVgg(setup.Options).FindLearningRate(setup.Views.Of(setup.Data.Training), rates);
        interrupt.Defer(() => result.WriteSvg(output));
        Console.Error.WriteLine(result.Describe());
        Console.Error.WriteLine($"The curve: {output}");
        if (result.Suggestion is not { } rate)
            return 1;
        Console.WriteLine(Invariant($"{rate:g3}"));
        return 0;
    }

    private static void Warn(string text) => Console.Error.WriteLine(MessageText.WithoutControls(text));
}
