using System.Globalization;
using Spectre.Console.Rendering;

namespace RepVgg.Tool.Weights;

/// <summary>Formats rows of text as a table. The first column is aligned to the left, all others to the right.</summary>
internal sealed class Table(params string[] head)
{
    private readonly List<string[]> _rows = [head];

    public void Add(params string[] row) => _rows.Add(row);

    public void Write(TextWriter writer)
    {
        int[] widths = [.. Enumerable.Range(0, _rows[0].Length).Select(column => _rows.Max(row => Width(row[column])))];
        foreach (string[] row in _rows)
        {
            writer.WriteLine(string.Join("  ", row.Select((text, column) =>
            {
                string space = new(' ', widths[column] - Width(text));
                return column == 0 ? text + space : space + text;
            })));
        }
    }

    /// <summary>Cuts a text off that is wider than a number of columns of a terminal.</summary>
    public static string Shorten(string text, int width)
    {
        const string Omission = "...";
        if (Width(text) <= width)
            return text;
        int length = 0;
        while (Width(text[..Next()]) + Omission.Length <= width)
            length = Next();
        return text[..length] + Omission;

        // The next position at which no character is divided: those of several code points stay whole.
        int Next() => length + StringInfo.GetNextTextElementLength(text, length);
    }

    /// <summary>Gets the number of columns that a text takes on a terminal: two for an emoji or a Chinese character, none for a combining mark.</summary>
    private static int Width(string text) => new Segment(text).CellCount();

    public static string Millions(long value) => (value / 1e6).ToString("f2", CultureInfo.InvariantCulture);

    public static string Billions(long value) => (value / 1e9).ToString("f2", CultureInfo.InvariantCulture);

    public static string Number(long value) => value.ToString("n0", CultureInfo.InvariantCulture);

    public static string Error(double value) => value.ToString("0.0e-00", CultureInfo.InvariantCulture);
}
