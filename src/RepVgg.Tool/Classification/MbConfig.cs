using System.Text.Json;

namespace RepVgg.Tool.Classification;

/// <summary>What a configuration of Model Builder (.mbconfig) says about an image classifier. Paths in it may be relative to its folder.</summary>
/// <param name="DataPath">The folder with the images.</param>
/// <param name="ValidationFraction">Share of the validation images; null if the file does not say it.</param>
/// <param name="Epochs">Number of epochs of the best trial; null if the file does not say it.</param>
/// <param name="BatchSize">Batch size of the best trial; null if the file does not say it.</param>
internal sealed record MbConfig(string DataPath, double? ValidationFraction, int? Epochs, int? BatchSize)
{
    /// <summary>Reads a file of any version: the names that are needed have not changed.</summary>
    /// <exception cref="InvalidDataException">The file is no such configuration, is for another scenario, or has no folder of images.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static MbConfig Read(string path)
    {
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(path), new JsonDocumentOptions { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip });
            var root = document.RootElement;
            string? scenario = Find(root, "Scenario")?.GetString();
            if (scenario != "ImageClassification")
                throw new InvalidDataException($"'{path}' is for the scenario '{scenario}'; only ImageClassification can be trained.");
            if (Find(root, "DataSource", "FolderPath")?.GetString() is not { Length: > 0 } folder)
                throw new InvalidDataException($"'{path}' has no DataSource.FolderPath, the folder with the images.");
            folder = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path))!, folder.Replace('\\', Path.DirectorySeparatorChar));
            double? split = Find(root, "TrainingOption", "ValidationOption", "SplitRatio")?.GetDouble();
            int? batchSize = Parameter(root, "BatchSize");
            if (split is not (null or (>= 0 and < 1)))
                throw new InvalidDataException(FormattableString.Invariant($"'{path}' has the SplitRatio {split}; it must be 0 or more and less than 1."));
            if (batchSize == 1)
                throw new InvalidDataException($"'{path}' has the BatchSize 1; at least 2 images are needed for the statistics of a batch. Correct the file.");
            return new MbConfig(folder, split, Parameter(root, "Epoch"), batchSize);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException)
        {
            throw new InvalidDataException($"'{path}' is not a configuration of Model Builder: {error.Message}", error);
        }
    }

    private static JsonElement? Find(JsonElement element, params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (element.ValueKind != JsonValueKind.Object || !element.TryGetProperty(name, out element))
                return null;
        }
        return element;
    }

    /// <summary>Finds a parameter of the trainer: in the trials of newer files (RunHistory.Trials), or in the pipeline of older ones (RunHistory.Pipeline).</summary>
    private static int? Parameter(JsonElement root, string name)
    {
        if (Find(root, "RunHistory", "Trials") is { ValueKind: JsonValueKind.Array } trials)
        {
            var best = trials.EnumerateArray().OrderByDescending(trial => Find(trial, "Score") is { ValueKind: JsonValueKind.Number } score ? score.GetDouble() : double.MinValue).FirstOrDefault();
            return In(Find(best, "Parameter"));
        }
        return In(Find(root, "RunHistory", "Pipeline", "parameter"));

        int? In(JsonElement? parameters)
        {
            if (parameters is not { ValueKind: JsonValueKind.Object } steps)
                return null;
            foreach (var step in steps.EnumerateObject())
            {
                if (Find(step.Value, name) is { ValueKind: JsonValueKind.Number } value && value.TryGetInt32(out int number) && number > 0)
                    return number;
            }
            return null;
        }
    }
}
