using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace RepVgg.Samples;

/// <summary>
/// Trains ML.NET's linear classifier LbfgsMaximumEntropy on the pixels of the images that a run of the tool was trained on, and evaluates it on the images that the run was validated on: what a network
/// must be better than.
/// </summary>
internal static class LinearBaseline
{
    /// <exception cref="InvalidDataException">The folder is not that of a run with validation images, its images are not in subfolders, or they are others than those of the run.</exception>
    public static void Run(string run)
    {
        string argumentsPath = Path.Combine(run, "args.json"), predictionsPath = Path.Combine(run, "predictions.csv");
        if (!File.Exists(argumentsPath) || !File.Exists(predictionsPath))
            throw new InvalidDataException($"'{run}' is not the folder of a run with validation images: it needs args.json and predictions.csv. Train with: repvgg train DIR.");
        using var settings = JsonDocument.Parse(File.ReadAllText(argumentsPath));
        string data = settings.RootElement.GetProperty("data").GetString()!;
        int height = settings.RootElement.GetProperty("image_height").GetInt32(), width = settings.RootElement.GetProperty("image_width").GetInt32();

        var context = new MLContext(seed: 1);
        var predictions = context.Data.LoadFromTextFile(predictionsPath, [new TextLoader.Column("path", DataKind.String, 0), new TextLoader.Column("label", DataKind.String, 1)], ',', hasHeader: true, allowQuoting: true);
        Image[] validation = [.. predictions.GetColumn<string>("path").Zip(predictions.GetColumn<string>("label"), (path, label) => new Image { ImagePath = Path.GetFullPath(path), Label = label })];
        var paths = validation.Select(image => image.ImagePath).ToHashSet(StringComparer.Ordinal);
        var classes = validation.Select(image => image.Label).ToHashSet(StringComparer.Ordinal);
        string training = Directory.Exists(Path.Combine(data, "train")) ? Path.Combine(data, "train") : data;
        Image[] images = [.. classes.Order(StringComparer.Ordinal).SelectMany(label => Files(training, label)).Where(image => !paths.Contains(image.ImagePath))];
        if (settings.RootElement.GetProperty("training_images").GetInt32() is var expected && images.Length != expected)
            throw new InvalidDataException($"The run has {expected} training images, but '{training}' has {images.Length} beside those of '{predictionsPath}'. If the paths of that file are relative, run the sample in the folder in which the run was started.");
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"LbfgsMaximumEntropy on the {3 * height * width:n0} values of {images.Length:n0} images of {classes.Count} classes"));

        long start = Stopwatch.GetTimestamp();
        var pipeline = context.Transforms.Conversion.MapValueToKey("Label")
            .Append(context.Transforms.LoadImages("Image", imageFolder: "", nameof(Image.ImagePath)))
            .Append(context.Transforms.ResizeImages("Image", width, height))
            .Append(context.Transforms.ExtractPixels("Features", "Image", scaleImage: 1f / 255))
            .AppendCacheCheckpoint(context)
            .Append(context.MulticlassClassification.Trainers.LbfgsMaximumEntropy());
        var model = pipeline.Fit(context.Data.LoadFromEnumerable(images));
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var metrics = context.MulticlassClassification.Evaluate(model.Transform(context.Data.LoadFromEnumerable(validation)));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Trained in {seconds:f1} s. {validation.Length:n0} validation images: accuracy {metrics.MicroAccuracy:f4}, log-loss {metrics.LogLoss:f4}"));
    }

    private static IEnumerable<Image> Files(string data, string label)
    {
        string folder = Path.Combine(data, label);
        return Directory.Exists(folder)
            ? Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Select(path => new Image { ImagePath = path, Label = label })
            : throw new InvalidDataException($"There is no folder '{folder}': the images of the run are not in folders with the names of their classes.");
    }

    private sealed class Image
    {
        public string ImagePath { get; set; } = "";

        public string Label { get; set; } = "";
    }
}
