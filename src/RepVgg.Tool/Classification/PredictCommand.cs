using System.Globalization;
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
        new("skip-invalid", "", "report images that cannot be read and go on, instead of ending with an error"),
        new("threads", "N", "threads; 0 takes every core (default: 0)"),
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        int top = arguments.Integer("top", 1) ?? 5;
        bool asJson = arguments.Flag("json");
        string[] paths = [.. arguments.Operands(1).SelectMany(Expand)];
        using var model = SavedClassifier.Load(arguments.Operand(0), arguments.Flag("skip-invalid"), Recipe.Threads(arguments));
        var labels = model.Classifier.Labels;
        var rows = paths.Select(path => new ImageFileRow { ImagePath = path, Label = labels[0] }).ToList();
        var scored = model.Classifier.Transform(new ClassifierData(model.Context, labels, interrupt.Token, model.Classifier.FeatureColumnName).Of(rows));
        int index = 0;
        foreach (float[] scores in scored.GetColumn<float[]>(model.Classifier.ScoreColumnName))
        {
            string path = paths[index++];
            var best = model.Best(scores, top);
            Console.WriteLine(asJson
                ? JsonSerializer.Serialize(new { path, predictions = best.Select(entry => new { label = entry.Name, probability = entry.Probability }) }, _json)
                : $"{MessageText.WithoutControls(path)}: {(best.Count == 0 ? "cannot be read" : string.Join(", ", best.Select(entry => Invariant($"{MessageText.Printable(entry.Name)} {entry.Probability:p1}"))))}");
        }
        return model.Classifier.InvalidRowCount > 0 ? 1 : 0;
    }

    /// <summary>Gets the images of a folder and its subfolders, or the file itself.</summary>
    private static IEnumerable<string> Expand(string path)
    {
        if (!Directory.Exists(path))
            return File.Exists(path) ? [path] : throw new FileNotFoundException($"There is no image or folder '{path}'.");
        string[] images = [.. ImageDataset.Images(path, SearchOption.AllDirectories)];
        return images.Length > 0 ? images : throw new InvalidDataException($"The folder '{path}' has no images.");
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
