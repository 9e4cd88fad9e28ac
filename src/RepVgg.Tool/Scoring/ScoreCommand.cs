using System.Globalization;
using System.Security.Cryptography;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using RepVgg.Tool.Classification;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Workflow;

namespace RepVgg.Tool.Scoring;

/// <summary>Scores many images with a saved classifier. Any number of processes share the images, and each goes on after its last complete part when it is started again.</summary>
internal static class ScoreCommand
{
    /// <summary>Number of images that are read ahead, so that reading goes on while the network runs.</summary>
    private const int ReadAhead = 64;

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("input", "PATH...", "folders, tar files, text files with one path per line, CSV files with a column 'path'; shard-{000..009}.tar stands for ten files") { HasSeveralValues = true },
        new("output", "DIR", "folder of the results, the same for all shards"),
        new("shard", "I", "number of this process, from 0 (default: from the variables of Kubernetes, Slurm or torchrun, or 0)"),
        new("shards", "N", "number of processes that share the images (default: likewise, or 1)"),
        new("part-size", "K", "images of one file of results (default: 10000)"),
        new("format", "NAME", "csv or jsonl (default: csv)"),
        new("top", "N", "number of classes for each image (default: 5)"),
        SavedClassifier.ViewsOption,
        OptionSpec.Threads,
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        var inputs = arguments.RequiredTexts("input");
        string modelPath = arguments.Operand(0), output = Path.GetFullPath(arguments.Required("output"));
        var shard = Shard.Of(arguments.Integer("shard", 0), arguments.Integer("shards", 1), Environment.GetEnvironmentVariable);
        int partSize = arguments.Integer("part-size", 1) ?? 10_000, top = arguments.Integer("top", 1) ?? 5;
        string format = arguments.Choice("format", ("csv", "csv"), ("jsonl", "jsonl"));
        var views = SavedClassifier.Views(arguments);
        using var model = SavedClassifier.Load(modelPath, arguments.Threads, views);
        top = Math.Min(top, model.Classifier.Labels.Count);

        var images = ImageList.Read(inputs);
        var settings = new Dictionary<string, string>
        {
            ["the model"] = HashOf(modelPath),
            ["the list of images"] = ImageList.Hash(images),
            ["the number of images"] = Text(images.Count),
            ["--shards"] = Text(shard.Count),
            ["--part-size"] = Text(partSize),
            ["--format"] = format,
            ["--top"] = Text(top),
        };
        // Absent without the option, so that folders of earlier versions can be completed.
        if (views != TestTimeAugmentation.None)
            settings["--tta"] = arguments.Text("tta")!;
        var folder = new ScoreFolder(output, shard, format, settings);
        interrupt.Defer(folder.Prepare);

        var (first, count) = shard.BlockOf(images.Count).GetOffsetAndLength(images.Count);
        int parts = (int)(((long)count + partSize - 1) / partSize);
        int[] missing = [.. Enumerable.Range(0, parts).Where(number => !folder.HasPart(number))];
        long toScore = missing.Sum(number => (long)SizeOf(number));
        Console.WriteLine(Invariant($"Shard {shard.Index} of {shard.Count}: {count:n0} of {images.Count:n0} images, from number {first} on; {parts} parts, {parts - missing.Length} of them complete."));
        var progress = new ScoreProgress(count, count - toScore);
        foreach (int number in missing)
        {
            var content = PartContent.Create(format == "jsonl", top);
            var unreadable = ScorePart(model, images, first + number * partSize, SizeOf(number), content, top, progress);
            interrupt.Defer(() => folder.WritePart(number, content.ToBytes(), unreadable));
        }
        double speed = progress.Speed;
        progress.End();
        var summary = new ShardSummary(count, Enumerable.Range(0, parts).Sum(folder.CountUnreadable), parts);
        bool isLast = interrupt.Defer(() => folder.Complete(summary));
        Console.WriteLine(Invariant($"Shard {shard.Index} of {shard.Count} is complete: {summary.Images:n0} images, {summary.Unreadable:n0} of them unreadable{(summary.Unreadable > 0 ? " (_errors-*.jsonl)" : "")}; {toScore:n0} images in this run, {speed:n0} images/s.{(isLast ? " All shards are complete." : "")}"));
        if (count == 0 || summary.Unreadable < count)
            return 0;
        Console.Error.WriteLine("None of the images of the shard can be read. If that is repaired, delete its parts, and run the command again.");
        return 1;

        int SizeOf(int number) => (int)Math.Min(partSize, count - (long)number * partSize);
    }

    /// <summary>Scores the images of a part.</summary>
    /// <returns>The images that cannot be read.</returns>
    private static List<UnreadableImage> ScorePart(SavedClassifier model, IReadOnlyList<ListedImage> images, int first, int count, PartContent content, int top, ScoreProgress progress)
    {
        var reasons = new Dictionary<int, string>();
        model.Classifier.InvalidRowSkipped = row => reasons.TryAdd((int)row.Position, row.Reason);
        var schema = SchemaDefinition.Create(typeof(ImageRow));
        schema[nameof(ImageRow.Image)].ColumnName = model.Classifier.FeatureColumnName;
        var scored = model.Classifier.Transform(model.Context.Data.LoadFromEnumerable(Read(images, first, count, reasons), schema));
        var unreadable = new List<UnreadableImage>();
        int index = 0;
        foreach (float[] scores in scored.GetColumn<float[]>(model.Classifier.ScoreColumnName))
        {
            int row = first + index;
            if (float.IsNaN(scores[0]))
                unreadable.Add(new UnreadableImage(row, images[row].Path, reasons.GetValueOrDefault(index, "the scores are not numbers")));
            else
                content.Add(row, images[row].Path, model.Best(scores, top));
            index++;
            progress.Add();
        }
        return unreadable;
    }

    /// <summary>Reads the content of images, several at the same time and ahead of the network.</summary>
    private static IEnumerable<ImageRow> Read(IReadOnlyList<ListedImage> images, int first, int count, Dictionary<int, string> reasons)
    {
        var ahead = new Queue<Task<byte[]>>();
        int started = 0;
        for (int index = 0; index < count; index++)
        {
            for (; started < Math.Min(count, index + ReadAhead); started++)
            {
                var image = images[first + started];
                ahead.Enqueue(Task.Run(image.Read));
            }
            byte[] content = [];
            try
            {
                content = ahead.Dequeue().GetAwaiter().GetResult();
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
            {
                // An image without content has a missing prediction.
                reasons[index] = error.Message;
            }
            yield return new ImageRow { Image = content };
        }
    }

    private static string HashOf(string path)
    {
        using var file = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private sealed class ImageRow
    {
        public byte[] Image { get; set; } = [];
    }
}
