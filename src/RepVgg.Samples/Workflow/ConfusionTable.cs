using System.Globalization;

namespace RepVgg.Samples.Workflow;

/// <summary>Prints a confusion matrix with one row per true class and one column per predicted class.</summary>
internal static class ConfusionTable
{
    private const string Corner = "true \\ predicted";

    public static void Write(TextWriter writer, IReadOnlyList<string> names, IReadOnlyList<IReadOnlyList<double>> counts)
    {
        int nameWidth = names.Append(Corner).Max(name => name.Length);
        int cell = Math.Max(3, counts.SelectMany(row => row).Max(count => Text(count).Length));
        writer.WriteLine($"   {Corner.PadRight(nameWidth)} {string.Join(" ", names.Select((_, i) => Text(i).PadLeft(cell)))}  recall");
        for (int i = 0; i < names.Count; i++)
        {
            double total = counts[i].Sum();
            string recall = total == 0 ? "-" : (counts[i][i] / total).ToString("p1", CultureInfo.InvariantCulture);
            writer.WriteLine($"{i,2} {names[i].PadRight(nameWidth)} {string.Join(" ", counts[i].Select(count => (count == 0 ? "." : Text(count)).PadLeft(cell)))}  {recall}");
        }
    }

    private static string Text(double count) => count.ToString("f0", CultureInfo.InvariantCulture);

    private static string Text(int index) => index.ToString(CultureInfo.InvariantCulture);
}
