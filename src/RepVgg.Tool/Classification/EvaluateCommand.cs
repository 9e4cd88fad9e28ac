using System.Diagnostics;
using Microsoft.ML.RepVgg.Reports;
using RepVgg.Runtime;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Workflow;

namespace RepVgg.Tool.Classification;

/// <summary>Evaluates a saved classifier on labelled images.</summary>
internal static class EvaluateCommand
{
    private const int WidestName = 24;

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("output", "DIR", "write metrics.json, predictions.csv and report.html to this folder (default: none)"),
        new("skip-invalid", "", "report images that cannot be read on the error stream and leave them out, instead of ending with an error"),
        SavedClassifier.ViewsOption,
        OptionSpec.Threads,
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string? output = arguments.Text("output") is { } folder ? Path.GetFullPath(folder) : null;
        string path = arguments.Operand(1);
        var files = ImageDataset.ReadForEvaluation(path);
        using var model = SavedClassifier.Load(arguments.Operand(0), arguments.Threads, SavedClassifier.Views(arguments));
        var labels = model.Classifier.Labels;
        if (files.FirstOrDefault(file => !labels.Contains(file.Label, StringComparer.Ordinal)) is { } stranger)
            throw new InvalidDataException($"'{stranger.ImagePath}' is of the class '{MessageText.Printable(stranger.Label)}', which the model does not know. Its classes are: {MessageText.Printable(string.Join(", ", labels))}.");

        if (output is not null)
            OutputFolder.Prepare(output);
        long start = Stopwatch.GetTimestamp();
        var scored = model.Score(files, arguments.Flag("skip-invalid"), interrupt.Token);
        var report = ClassificationReport.FromScoredData(scored, ClassifierData.Label, model.Classifier.ScoreColumnName, ClassifierData.ImagePath);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;

        Console.WriteLine(Invariant($"{report.Predictions.Count:n0} images: top-1 {report.Top1Accuracy:p2}{(report.Top5Accuracy is { } top5 ? Invariant($", top-5 {top5:p2}") : "")}, log-loss {report.LogLoss:f4}, macro F1 {report.MacroF1:f4}, calibration error {report.ExpectedCalibrationError:f4} ({report.Predictions.Count / seconds:n0} images/s)."));
        if (report.MissingPredictions > 0)
            Console.WriteLine(Invariant($"Images that cannot be read and are left out: {report.MissingPredictions:n0}."));
        Console.WriteLine();
        var table = new Table("class", "images", "precision", "recall", "F1");
        foreach (var entry in report.Classes)
            table.Add(Table.Shorten(MessageText.Printable(entry.Name), WidestName), Invariant($"{entry.Support}"), Invariant($"{entry.Precision:f4}"), Invariant($"{entry.Recall:f4}"), Invariant($"{entry.F1:f4}"));
        table.Write(Console.Out);
        if (output is null)
            return 0;
        interrupt.Defer(() =>
        {
            report.WriteMetrics(Path.Combine(output, "metrics.json"));
            report.WritePredictions(Path.Combine(output, "predictions.csv"));
            new TrainingReport { Title = $"{model.Classifier.Architecture.Name}, {Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)))}", Evaluation = report }.Write(Path.Combine(output, "report.html"));
        });
        Console.WriteLine();
        Console.WriteLine($"The report: {Path.Combine(output, "report.html")}");
        return 0;
    }
}
