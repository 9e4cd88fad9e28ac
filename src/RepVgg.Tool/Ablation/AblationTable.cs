using System.Globalization;
using System.Text;
using RepVgg.Tool.CommandLine;

namespace RepVgg.Tool.Ablation;

/// <summary>The results of all runs so far, and their table as Markdown and as CSV.</summary>
/// <param name="description">What was trained, on what images and on which machine: one paragraph.</param>
/// <param name="cases">The rows.</param>
/// <param name="seeds">The seeds of each row.</param>
/// <param name="parameters">Counts the parameters of a row in the training and in the deploy form, which is null for a network that does not fuse. Is called for rows that were trained.</param>
internal sealed class AblationTable(string description, IReadOnlyList<AblationCase> cases, IReadOnlyList<int> seeds, Func<AblationCase, (long Training, long? Deploy)> parameters)
{
    private const string DoesNotFuse = "does not fuse", None = "-";

    private readonly List<AblationRun> _runs = [];

    /// <summary>Number of runs when all seeds of all rows are done.</summary>
    public int Expected => cases.Count * seeds.Count;

    /// <summary>The runs that are done, in their order.</summary>
    public IReadOnlyList<AblationRun> Runs => _runs;

    /// <summary>The rows, each with those of its runs that did not fail.</summary>
    public IEnumerable<(AblationCase Case, IReadOnlyList<AblationRun> Runs)> Rows => cases.Select(entry => (entry, (IReadOnlyList<AblationRun>)[.. _runs.Where(run => run.Case == entry && run.Failure is null)]));

    public void Add(AblationRun run) => _runs.Add(run);

    /// <summary>Writes one row for each form, with the mean and the standard deviation over its seeds.</summary>
    public string ToMarkdown()
    {
        List<string[]> rows =
        [
            ["Form", "Test accuracy, %", "Standard deviation", $"Seeds {string.Join(", ", seeds.Select(seed => Text(seed)))}", "Training images/s", "Processor ms/image", "Parameters in training", "Parameters deployed", "Fused difference"],
            .. Rows.Select(row => Cells(row.Case, row.Runs)),
        ];
        int[] widths = [.. Enumerable.Range(0, rows[0].Length).Select(column => rows.Max(row => row[column].Length))];
        rows.Insert(1, [.. widths.Select((width, column) => column == 0 ? new string('-', width) : new string('-', width - 1) + ":")]);

        var text = new StringBuilder();
        text.Append(description).Append("\n\n");
        if (_runs.Count < Expected)
            text.Append(CultureInfo.InvariantCulture, $"Incomplete: {_runs.Count} of {Expected} runs are done.\n\n");
        foreach (string[] row in rows)
            text.Append("| ").AppendJoin(" | ", row.Select((cell, column) => column == 0 ? cell.PadRight(widths[column]) : cell.PadLeft(widths[column]))).Append(" |\n");
        foreach (var run in _runs.Where(run => run.Failure is not null))
            text.Append(CultureInfo.InvariantCulture, $"\n{run.Case.Name}, seed {run.Seed}, failed: {run.Failure}\n");
        return text.ToString();
    }

    /// <summary>Writes one line for each run, with a header. Accuracies and speeds are numbers with a point; what does not exist is empty.</summary>
    public string ToCsv()
    {
        var text = new StringBuilder("form,seed,accuracy,training_images_per_second,processor_ms_per_image,training_parameters,deploy_parameters,fused_difference,failure\n");
        foreach (var run in _runs)
        {
            (long Training, long? Deploy)? count = run.Failure is null ? parameters(run.Case) : null;
            string[] cells =
            [
                Quoted(run.Case.Name),
                Text(run.Seed),
                run.Failure is null ? run.Accuracy.ToString("f4", CultureInfo.InvariantCulture) : "",
                run.Failure is null ? Median(run.ImagesPerSecond).ToString("f1", CultureInfo.InvariantCulture) : "",
                run.Failure is null ? Median(run.ProcessorMilliseconds).ToString("f3", CultureInfo.InvariantCulture) : "",
                Text(count?.Training),
                Text(count?.Deploy),
                run.FusedDifference is { } difference ? Table.Error(difference) : "",
                Quoted(run.Failure ?? ""),
            ];
            text.AppendJoin(',', cells).Append('\n');
        }
        return text.ToString();
    }

    /// <summary>Gets the mean of the accuracies of some runs.</summary>
    public static double MeanAccuracy(IReadOnlyList<AblationRun> runs) => runs.Average(run => run.Accuracy);

    /// <summary>Gets the median speed over all epochs of some runs, in training images per second.</summary>
    public static double Speed(IEnumerable<AblationRun> runs) => Median([.. runs.SelectMany(run => run.ImagesPerSecond)]);

    private string[] Cells(AblationCase entry, IReadOnlyList<AblationRun> runs)
    {
        string bySeed = string.Join(", ", seeds.Select(seed => _runs.FirstOrDefault(run => run.Case == entry && run.Seed == seed) switch
        {
            null => None,
            { Failure: null } run => Percent(run.Accuracy, 1),
            _ => "failed",
        }));
        if (runs.Count == 0)
            return [entry.Name, None, None, bySeed, None, None, None, None, None];
        var (training, deploy) = parameters(entry);
        double mean = MeanAccuracy(runs);
        return
        [
            entry.Name,
            Percent(mean, 2),
            runs.Count > 1 ? Percent(Math.Sqrt(runs.Sum(run => Math.Pow(run.Accuracy - mean, 2)) / (runs.Count - 1)), 2) : None,
            bySeed,
            Speed(runs).ToString("n0", CultureInfo.InvariantCulture),
            Median([.. runs.SelectMany(run => run.ProcessorMilliseconds)]).ToString("f2", CultureInfo.InvariantCulture),
            Table.Number(training),
            deploy is { } number ? Table.Number(number) : None,
            runs.Max(run => run.FusedDifference) is { } difference ? Table.Error(difference) : DoesNotFuse,
        ];
    }

    private static double Median(IReadOnlyList<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private static string Percent(double share, int decimals) => (100 * share).ToString($"f{decimals}", CultureInfo.InvariantCulture);

    /// <summary>Writes a text as one field of a CSV line: in quotation marks if it contains a comma, a quotation mark or a line break.</summary>
    private static string Quoted(string text) =>
        text.AsSpan().ContainsAny(",\"\r\n") ? $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : text;

    private static string Text(long? value) => value?.ToString(CultureInfo.InvariantCulture) ?? "";
}
