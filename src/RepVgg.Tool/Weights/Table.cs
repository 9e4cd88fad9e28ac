using System.Globalization;

namespace RepVgg.Tool.Weights;

/// <summary>Formats rows of text as a table. The first column is aligned to the left, all others to the right.</summary>
internal sealed class Table(params string[] head)
{
    private readonly List<string[]> _rows = [head];

    public void Add(params string[] row) => _rows.Add(row);

    public void Write(TextWriter writer)
    {
        int[] widths = [.. Enumerable.Range(0, _rows[0].Length).Select(column => _rows.Max(row => row[column].Length))];
        foreach (string[] row in _rows)
            writer.WriteLine(string.Join("  ", row.Select((text, column) => column == 0 ? text.PadRight(widths[column]) : text.PadLeft(widths[column]))));
    }

    public static string Millions(long value) => (value / 1e6).ToString("f2", CultureInfo.InvariantCulture);

    public static string Billions(long value) => (value / 1e9).ToString("f2", CultureInfo.InvariantCulture);

    public static string Number(long value) => value.ToString("n0", CultureInfo.InvariantCulture);

    public static string Error(double value) => value.ToString("0.0e-00", CultureInfo.InvariantCulture);
}
