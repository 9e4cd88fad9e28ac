using System.Globalization;
using System.Text;

namespace RepVgg.Tool.Ablation;

/// <summary>Draws the results as SVG: for each row the accuracy of every seed and their mean, and beside it the speed of training.</summary>
internal static class AblationChart
{
    private const int NameWidth = 150, AccuracyWidth = 420, Gap = 40, SpeedWidth = 230, Margin = 20, Top = 54, RowHeight = 26;

    private const string TextColour = "#1f2328", GridColour = "#d0d7de", SeedColour = "#6e9fd6", MeanColour = "#0b3d7a", BarColour = "#7fb58a";

    /// <summary>Draws the rows that have a successful run. The axis of accuracies ends at grid lines and does not start at 0; that of speeds does.</summary>
    public static string Draw(AblationTable table)
    {
        var rows = table.Rows.Where(row => row.Runs.Count > 0).ToList();
        int left = Margin + NameWidth, speedLeft = left + AccuracyWidth + Gap;
        int width = speedLeft + SpeedWidth + 60 + Margin, bottom = Top + rows.Count * RowHeight, height = bottom + 30;
        var svg = new StringBuilder();
        Add($"""<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" fill="{TextColour}">""");
        Add($"""<rect width="{width}" height="{height}" fill="#ffffff"/>""");
        if (rows.Count == 0)
            return svg.Append("</svg>\n").ToString();

        double[] accuracies = [.. rows.SelectMany(row => row.Runs).Select(run => 100 * run.Accuracy)];
        double step = Step(Math.Max(accuracies.Max() - accuracies.Min(), 0.5)), low = Math.Floor(accuracies.Min() / step) * step, high = Math.Max(Math.Ceiling(accuracies.Max() / step), low / step + 1) * step;
        double fastest = rows.Max(row => AblationTable.Speed(row.Runs)), speedStep = Step(fastest);

        Add($"""<text x="{left}" y="20" font-weight="bold">Test accuracy, %</text>""");
        Add($"""<circle cx="{left + 130}" cy="16" r="4" fill="{SeedColour}"/><text x="{left + 140}" y="20">one seed</text>""");
        Add($"""<path d="M{left + 222} 8v16" stroke="{MeanColour}" stroke-width="3"/><text x="{left + 232}" y="20">mean</text>""");
        Add($"""<text x="{speedLeft}" y="20" font-weight="bold">Training images/s</text>""");
        for (double value = low; value <= high + step / 2; value += step)
            Grid(X(value), value);
        for (double value = 0; value <= fastest; value += speedStep)
            Grid(speedLeft + value / fastest * SpeedWidth, value);

        foreach (var ((entry, runs), i) in rows.Select((row, i) => (row, i)))
        {
            double y = Top + (i + 0.5) * RowHeight, speed = AblationTable.Speed(runs);
            Add($"""<text x="{left - 10}" y="{y + 4:f1}" text-anchor="end">{entry.Name}{(entry.Fuses ? "" : " *")}</text>""");
            foreach (var run in runs)
                Add($"""<circle cx="{X(100 * run.Accuracy):f1}" cy="{y:f1}" r="4" fill="{SeedColour}"/>""");
            Add($"""<path d="M{X(100 * AblationTable.MeanAccuracy(runs)):f1} {y - 8:f1}v16" stroke="{MeanColour}" stroke-width="3"/>""");
            Add($"""<rect x="{speedLeft}" y="{y - 8:f1}" width="{speed / fastest * SpeedWidth:f1}" height="16" fill="{BarColour}"/>""");
            Add($"""<text x="{speedLeft + speed / fastest * SpeedWidth + 6:f1}" y="{y + 4:f1}">{speed:n0}</text>""");
        }
        if (rows.Any(row => !row.Case.Fuses))
            Add($"""<text x="{left}" y="{bottom + 22}" font-size="12">* does not fuse into plain convolutions</text>""");
        return svg.Append("</svg>\n").ToString();

        double X(double percent) => left + (percent - low) / (high - low) * AccuracyWidth;

        void Grid(double x, double value)
        {
            Add($"""<path d="M{x:f1} {Top - 6}V{bottom}" stroke="{GridColour}"/>""");
            Add($"""<text x="{x:f1}" y="{Top - 12}" text-anchor="middle" font-size="12">{value:0.##}</text>""");
        }

        void Add(FormattableString line) => svg.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    /// <summary>Gets the distance of grid lines for a range of values: 1, 2 or 5 times a power of ten, so that there are three to seven.</summary>
    private static double Step(double range)
    {
        double power = Math.Pow(10, Math.Floor(Math.Log10(range / 3)));
        return power * new[] { 5.0, 2.0, 1.0 }.First(factor => range / (factor * power) >= 3);
    }
}
