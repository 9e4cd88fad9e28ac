using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using RepVgg.Runtime.Files;
using RepVgg.Tool.Workflow;

namespace RepVgg.Tool.Scoring;

/// <summary>An image that could not be scored.</summary>
/// <param name="Row">Number of the image in the list of all images, from 0.</param>
/// <param name="Path">Its path.</param>
/// <param name="Reason">The reason, a clause.</param>
internal sealed record UnreadableImage(long Row, string Path, string Reason);

/// <summary>
/// The folder of the results of all shards: the settings that all of them must have, the parts, a file with the unreadable images of each part that has some, a mark for each complete
/// shard, and a mark for all. Names that are no results begin with an underscore, which Spark and Hadoop leave out.
/// </summary>
/// <param name="folder">Path of the folder.</param>
/// <param name="shard">The shard that writes.</param>
/// <param name="extension">Extension of the parts.</param>
/// <param name="settings">The settings that determine the content of the parts, with their names in messages.</param>
internal sealed class ScoreFolder(string folder, Shard shard, string extension, IReadOnlyDictionary<string, string> settings)
{
    private static readonly JsonSerializerOptions _json = new(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private string SettingsPath => Path.Combine(folder, "_score.json");

    /// <summary>Creates the folder and its settings, or checks that an existing folder has the same.</summary>
    /// <exception cref="InvalidDataException">It has parts that were made with other settings.</exception>
    /// <exception cref="IOException">The folder cannot be read or written.</exception>
    public void Prepare()
    {
        OutputFolder.Prepare(folder);
        if (!File.Exists(SettingsPath))
        {
            if (Directory.EnumerateFiles(folder, "part-*").Any())
                throw new InvalidDataException($"'{folder}' has parts, but no '{Path.GetFileName(SettingsPath)}', so that it is unknown how they were made. Give another folder.");
            AtomicFile.Write(SettingsPath, stream => JsonSerializer.Serialize(stream, settings, _json));
        }
        Check();
    }

    public bool HasPart(int number) => File.Exists(PartPath(number));

    /// <summary>Writes the unreadable images of a part, if there are any, and then the part, whose existence says that it is complete.</summary>
    /// <exception cref="InvalidDataException">A shard with other settings has begun to write to the folder at the same time as this one.</exception>
    /// <exception cref="IOException">A file cannot be written.</exception>
    public void WritePart(int number, ReadOnlyMemory<byte> content, IReadOnlyCollection<UnreadableImage> unreadable)
    {
        Check();
        string errors = ErrorsPath(number);
        if (unreadable.Count == 0)
            File.Delete(errors);
        else
            AtomicFile.Write(errors, stream => stream.Write(JsonLines.Of(unreadable)));
        AtomicFile.Write(PartPath(number), stream => stream.Write(content.Span));
    }

    /// <summary>Counts the unreadable images of a complete part.</summary>
    public long CountUnreadable(int number) => File.Exists(ErrorsPath(number)) ? File.ReadLines(ErrorsPath(number)).LongCount() : 0;

    /// <summary>Marks the shard as complete, and all if every shard is.</summary>
    /// <returns>Whether every shard is complete.</returns>
    public bool Complete(ShardSummary summary)
    {
        Check();
        WriteMark(MarkPath(shard.Index), summary);
        var total = new ShardSummary(0, 0, 0);
        for (int index = 0; index < shard.Count; index++)
        {
            if (!File.Exists(MarkPath(index)))
                return false;
            total += JsonSerializer.Deserialize<ShardSummary>(File.ReadAllText(MarkPath(index)), _json)!;
        }
        WriteMark(Path.Combine(folder, "_SUCCESS"), total);
        return true;
    }

    private static void WriteMark(string path, ShardSummary summary) => AtomicFile.Write(path, stream => JsonSerializer.Serialize(stream, summary, _json));

    private void Check()
    {
        IReadOnlyDictionary<string, string>? existing = null;
        try
        {
            existing = JsonSerializer.Deserialize<Dictionary<string, string>>(File.ReadAllText(SettingsPath), _json);
        }
        catch (JsonException)
        {
            // Reported below.
        }
        if (existing is null)
            throw new InvalidDataException($"'{SettingsPath}' is damaged. Give another folder, or remove it.");
        string[] differences = [.. settings.Keys.Union(existing.Keys).Where(name => existing.GetValueOrDefault(name) != settings.GetValueOrDefault(name))
            .Select(name => $"{name} (there {Short(existing.GetValueOrDefault(name) ?? "none")}, here {Short(settings.GetValueOrDefault(name) ?? "none")})")];
        if (differences.Length > 0)
            throw new InvalidDataException($"'{folder}' has results of other settings, which cannot be mixed: {string.Join(", ", differences)}. Give the same settings or another folder.");

        // Of a hash, the beginning is enough in a message.
        static string Short(string value) => value.Length > 12 ? value[..12] : value;
    }

    private string PartPath(int number) => Path.Combine(folder, $"part-{Number(shard.Index)}-{Number(number)}.{extension}");

    private string ErrorsPath(int number) => Path.Combine(folder, $"_errors-{Number(shard.Index)}-{Number(number)}.jsonl");

    private string MarkPath(int index) => Path.Combine(folder, $"_SUCCESS-{Number(index)}");

    private static string Number(int value) => value.ToString("D5", CultureInfo.InvariantCulture);
}

/// <summary>What a complete shard, or all of them, contain.</summary>
/// <param name="Images">Number of images, with the unreadable ones.</param>
/// <param name="Unreadable">Number of unreadable images.</param>
/// <param name="Parts">Number of parts.</param>
internal sealed record ShardSummary(long Images, long Unreadable, long Parts)
{
    public static ShardSummary operator +(ShardSummary left, ShardSummary right) => new(left.Images + right.Images, left.Unreadable + right.Unreadable, left.Parts + right.Parts);
}
