using System.Collections.Immutable;
using System.Globalization;
using System.Text;

namespace Microsoft.ML.Data;

/// <summary>How often rows of each class (outer index) were predicted to be of each class (inner index).</summary>
public sealed class ConfusionMatrix
{
    private readonly string[] _names;

    internal ConfusionMatrix(double[][] counts, string[] names)
    {
        _names = names;
        NumberOfClasses = counts.Length;
        Counts = [.. counts.Select(row => (IReadOnlyList<double>)row.ToImmutableArray())];
        double[] hits = [.. counts.Select((row, i) => row[i])];
        double[] actual = [.. counts.Select(row => row.Sum())];
        double[] predicted = [.. counts.Select((_, i) => counts.Sum(row => row[i]))];
        PerClassRecall = Shares(hits, actual);
        PerClassPrecision = Shares(hits, predicted);
    }

    public IReadOnlyList<double> PerClassPrecision { get; }

    public IReadOnlyList<double> PerClassRecall { get; }

    public IReadOnlyList<IReadOnlyList<double>> Counts { get; }

    public int NumberOfClasses { get; }

    public double GetCountForClassPair(int predictedClassIndicatorIndex, int actualClassIndicatorIndex)
    {
        CheckIndex(predictedClassIndicatorIndex, nameof(predictedClassIndicatorIndex));
        CheckIndex(actualClassIndicatorIndex, nameof(actualClassIndicatorIndex));
        return Counts[actualClassIndicatorIndex][predictedClassIndicatorIndex];
    }

    public string GetFormattedConfusionTable()
    {
        // Names go into the header where all of them fit; else numbers do, and the rows show both.
        int cell = NumberOfClasses == 2 ? 8 : 5;
        int longest = _names.Max(name => name.Length);
        bool numbered = longest > cell;
        int digits = (NumberOfClasses - 1).ToString(CultureInfo.InvariantCulture).Length;
        int side = Math.Max("PREDICTED".Length, numbered ? longest + digits + 2 : longest);
        string rule = string.Concat(Enumerable.Repeat(new string('=', NumberOfClasses > 2 ? 8 : 11), NumberOfClasses));

        StringBuilder text = new();
        text.AppendLine().AppendLine("Confusion table");
        text.AppendLine($"{Side(string.Empty)}||{rule}");
        text.Append($"{Side("PREDICTED")}||");
        for (int i = 0; i < NumberOfClasses; i++)
        {
            string title = numbered ? i.ToString(CultureInfo.CurrentCulture) : _names[i];
            text.Append($" {title.PadLeft(cell)} |");
        }

        text.AppendLine(" Recall");
        text.AppendLine($"{Side("TRUTH")}||{rule}");
        for (int row = 0; row < NumberOfClasses; row++)
        {
            string number = row.ToString(CultureInfo.CurrentCulture).PadLeft(digits);
            text.Append(numbered
                ? $"{number}. {_names[row].PadLeft(side - digits - 2)} ||"
                : $"{_names[row].PadLeft(side)} ||");
            foreach (double count in Counts[row])
            {
                text.Append($" {count.ToString("N0", CultureInfo.CurrentCulture).PadLeft(cell)} |");
            }

            text.AppendLine($" {PerClassRecall[row],5:F4}");
        }

        text.AppendLine($"{Side(string.Empty)}||{rule}");
        text.Append($"{Side("Precision")}||");
        foreach (double precision in PerClassPrecision)
        {
            text.Append($"{precision.ToString("N4", CultureInfo.CurrentCulture).PadLeft(cell + 1)} |");
        }

        return text.AppendLine().ToString();

        string Side(string heading) => heading.PadRight(side + 1);
    }

    private static ImmutableArray<double> Shares(double[] parts, double[] wholes) =>
        [.. parts.Zip(wholes, (part, whole) => whole > 0 ? part / whole : 0)];

    private void CheckIndex(int index, string name)
    {
        if (index < 0 || index >= NumberOfClasses)
        {
            throw new ArgumentException("Invalid index. Should be non-negative, less than the number of classes.", name);
        }
    }
}
