using System.Diagnostics;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Reports;
using RepVgg.Runtime;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Workflow;

namespace RepVgg.Tool.Segmentation;

/// <summary>Evaluates a saved model on images with masks.</summary>
internal static class SegmentEvaluateCommand
{
    private const int WidestName = 24;

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("output", "DIR", "write metrics.json and report.html to this folder (default: none)"),
        SegmentationData.SlidingWindowOption,
        new("ignored-label", "N", "label of pixels without one (default: 255)"),
        SegmentationData.ColorsOption,
        new("skip-invalid", "", "leave images and masks out that cannot be used, instead of ending with an error"),
        OptionSpec.Threads,
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string? output = arguments.Text("output") is { } folder ? Path.GetFullPath(folder) : null;
        string path = arguments.Operand(1);
        var files = SegmentationDataSet.FromFolder(path);
        var samples = files.Validation.Count > 0 ? files.Validation : files.Training;
        var (model, network) = SegmentationData.LoadModel(arguments.Operand(0), arguments.Threads);
        using var disposed = model;
        if (files.ClassNames.Count > 0 && network.HasClassNames && !files.ClassNames.SequenceEqual(network.Labels, StringComparer.Ordinal))
            throw new InvalidDataException($"The classes of '{path}' are {MessageText.Printable(string.Join(", ", files.ClassNames))}, but those of the model are {MessageText.Printable(string.Join(", ", network.Labels))}. Their order tells the labels; give data with the same classes.");
        if (output is not null)
            OutputFolder.Prepare(output);
        long start = Stopwatch.GetTimestamp();
        var report = network.Evaluate(
            samples,
            new SegmentationReportOptions
            {
                SlidingWindow = arguments.Flag("sliding-window") ? true : null,
                SkipInvalid = arguments.Flag("skip-invalid"),
                MaskColors = SegmentationData.Colors(arguments, files),
                IgnoredLabel = (byte)(arguments.Integer("ignored-label", 0, byte.MaxValue) ?? byte.MaxValue),
                ClassColors = files.ClassColors.Count > 0 ? files.ClassColors : null,
            },
            interrupt.Token)
            ?? throw new InvalidDataException($"No pixel of the masks in '{path}' has a label.");
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Console.WriteLine(Invariant($"{report.Images.Count:n0} images: mean IoU {report.Metrics.MeanIoU:f4}, pixel accuracy {report.Metrics.PixelAccuracy:p2} ({report.Images.Count / seconds:n1} images/s)."));
        if (report.SkippedImages > 0)
            Console.WriteLine(Invariant($"Images that cannot be used and are left out: {report.SkippedImages:n0}."));
        Console.WriteLine();
        var table = new Table("class", "IoU", "labelled pixels");
        for (int label = 0; label < report.Metrics.Classes; label++)
        {
            double value = report.Metrics.PerClassIoU[label];
            table.Add(
                Table.Shorten(MessageText.Printable(report.ClassNames[label]), WidestName), double.IsNaN(value) ? "-" : Invariant($"{value:f4}"),
                Invariant($"{Enumerable.Range(0, report.Metrics.Classes).Sum(prediction => report.Metrics.Count(label, prediction))}"));
        }
        table.Write(Console.Out);
        if (output is null)
            return 0;
        interrupt.Defer(() =>
        {
            report.WriteMetrics(Path.Combine(output, "metrics.json"));
            new TrainingReport { Title = $"PSPNet on {network.Network.Architecture.Backbone.Name}, {Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)))}", Segmentation = report }.Write(Path.Combine(output, "report.html"));
        });
        Console.WriteLine();
        Console.WriteLine($"The report: {Path.Combine(output, "report.html")}");
        return 0;
    }
}
