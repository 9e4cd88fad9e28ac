using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.RepVgg.Reports;
using RepVgg.Runtime;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Workflow;
using RepVgg.Training.Data;

namespace RepVgg.Tool.Classification;

/// <summary>Evaluates a saved classifier on labelled images.</summary>
internal static class EvaluateCommand
{
    private const int WidestName = 24;

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("output", "DIR", "write metrics.json, predictions.csv and report.html to this folder (default: none)"),
        new("skip-invalid", "", "leave out images that cannot be read, instead of ending with an error"),
        new("threads", "N", "threads; 0 takes every core (default: 0)"),
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string? output = arguments.Text("output") is { } folder ? Path.GetFullPath(folder) : null;
        string path = arguments.Operand(1);
        // Of a data set that is divided, the validation images.
        bool isDivided = Directory.Exists(path) && (IdxFiles.IsFolder(path) || ImageDataset.FindSets(path) is not null);
        var files = isDivided ? ImageDataset.Read(path, null, 0, 1).Validation : ImageDataset.ReadFiles(path);
        using var model = SavedClassifier.Load(arguments.Operand(0), arguments.Flag("skip-invalid"), Recipe.Threads(arguments));
        var labels = model.Classifier.Labels;
        if (files.FirstOrDefault(file => !labels.Contains(file.Label, StringComparer.Ordinal)) is { } stranger)
            throw new InvalidDataException($"'{stranger.ImagePath}' is of the class '{MessageText.Printable(stranger.Label)}', which the model does not know. Its classes are: {MessageText.Printable(string.Join(", ", labels))}.");

        if (output is not null)
            OutputFolder.Prepare(output);
        long start = Stopwatch.GetTimestamp();
        var scored = model.Classifier.Transform(new ClassifierData(model.Context, labels, interrupt.Token, model.Classifier.FeatureColumnName).Of(files));
        var report = ClassificationReport.FromScoredData(scored, ClassifierData.Label, model.Classifier.ScoreColumnName, ClassifierData.ImagePath);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;

        Console.WriteLine(Invariant($"{report.Predictions.Count:n0} images: top-1 {report.Top1Accuracy:p2}, top-5 {report.Top5Accuracy:p2}, log-loss {report.LogLoss:f4}, macro F1 {report.MacroF1:f4}, calibration error {report.ExpectedCalibrationError:f4} ({report.Predictions.Count / seconds:n0} images/s)."));
        if (report.MissingPredictions > 0)
            Console.WriteLine(Invariant($"{report.MissingPredictions:n0} more images cannot be read and are left out."));
        Console.WriteLine();
        int width = Math.Min(WidestName, Math.Max("class".Length, report.Classes.Max(entry => entry.Name.Length)));
        Console.WriteLine($"{"class".PadRight(width)}  images  precision  recall      F1");
        foreach (var entry in report.Classes)
        {
            string name = MessageText.Printable(entry.Name.Length > width ? entry.Name[..width] : entry.Name);
            Console.WriteLine(Invariant($"{name.PadRight(width)}  {entry.Support,6}  {entry.Precision,9:f4}  {entry.Recall,6:f4}  {entry.F1,6:f4}"));
        }
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

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
