using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.ML.Data;
using RepVgg.Runtime;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Workflow;

namespace RepVgg.Tool.Classification;

/// <summary>Classifies images with a saved classifier, and prints the most probable classes.</summary>
internal static class PredictCommand
{
    private static readonly JsonSerializerOptions _json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("top", "N", "number of classes to print for each image (default: 5)"),
        new("json", "", "print one JSON object per line and image"),
        new("skip-invalid", "", "report images that cannot be read on the error stream and go on, instead of ending with an error"),
        SavedClassifier.ViewsOption,
        OptionSpec.Threads,
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        int top = arguments.Integer("top", 1) ?? 5;
        bool asJson = arguments.Flag("json");
        var images = arguments.Operands(1).SelectMany(TarFile.Expand).SelectMany(Images).ToList();
        using var model = SavedClassifier.Load(arguments.Operand(0), arguments.Threads, SavedClassifier.Views(arguments));
        var rows = images.Select(image => new ImageFileRow { ImagePath = image.Path, Label = model.Classifier.Labels[0], Content = image.Length is null ? null : image.Read }).ToList();
        var scored = model.Score(rows, arguments.Flag("skip-invalid"), interrupt.Token);
        int index = 0;
        foreach (float[] scores in scored.GetColumn<float[]>(model.Classifier.ScoreColumnName))
        {
            string path = rows[index++].ImagePath;
            var best = model.Best(scores, top);
            if (best.Count == 0)
                continue;
            Console.WriteLine(asJson
                ? JsonSerializer.Serialize(new { path, predictions = best.Select(entry => new { label = entry.Name, probability = entry.Probability }) }, _json)
                : $"{MessageText.WithoutControls(path)}: {string.Join(", ", best.Select(entry => Invariant($"{MessageText.Printable(entry.Name)} {entry.Probability:p1}")))}");
        }
        long skipped = model.Classifier.InvalidRowCount;
        if (skipped > 0)
            Console.Error.WriteLine(Invariant($"Images that cannot be read: {skipped:n0} of {rows.Count:n0}."));
        return skipped < rows.Count ? 0 : 1;
    }

    /// <summary>Gets the images of a folder and its subfolders, those of a tar file, or the file itself.</summary>
    private static IReadOnlyList<ListedImage> Images(string path)
    {
        bool isFolder = Directory.Exists(path);
        if (!isFolder && !File.Exists(path))
            throw new FileNotFoundException($"There is no image or folder '{path}'.");
        if (!isFolder && !TarFile.IsTar(path))
            return [new ListedImage(path)];
        IReadOnlyList<ListedImage> images = isFolder ? [.. ImageDataset.Images(path, SearchOption.AllDirectories).Select(file => new ListedImage(file))] : TarFile.ReadImages(path);
        return images.Count > 0 ? images : throw new InvalidDataException($"'{path}' has no images.");
    }
}
