using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace RepVgg.Tool.Scoring;

/// <summary>The rows of a part as text, as CSV or as JSON lines.</summary>
internal abstract class PartContent
{
    private readonly StringBuilder _text = new();

    /// <summary>Creates an empty part.</summary>
    /// <param name="asJson">Whether the rows are JSON objects instead of lines of CSV.</param>
    /// <param name="top">Number of classes of each row.</param>
    public static PartContent Create(bool asJson, int top) => asJson ? new JsonContent() : new CsvContent(top);

    /// <summary>Adds a row with the most probable classes of an image.</summary>
    public void Add(long row, string path, IReadOnlyList<(string Name, float Probability)> best) => Add(_text, row, path, best);

    public byte[] ToBytes() => Encoding.UTF8.GetBytes(_text.ToString());

    protected abstract void Add(StringBuilder text, long row, string path, IReadOnlyList<(string Name, float Probability)> best);

    private sealed class CsvContent : PartContent
    {
        public CsvContent(int top)
        {
            _text.Append("row,path");
            for (int i = 1; i <= top; i++)
                _text.Append(CultureInfo.InvariantCulture, $",label{i},probability{i}");
            _text.Append('\n');
        }

        protected override void Add(StringBuilder text, long row, string path, IReadOnlyList<(string Name, float Probability)> best)
        {
            text.Append(CultureInfo.InvariantCulture, $"{row},{Field(path)}");
            foreach (var (name, probability) in best)
                text.Append(CultureInfo.InvariantCulture, $",{Field(name)},{probability}");
            text.Append('\n');
        }

        private static string Field(string value) => value.AsSpan().ContainsAny(",\"\r\n") ? $"\"{value.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : value;
    }

    private sealed class JsonContent : PartContent
    {
        protected override void Add(StringBuilder text, long row, string path, IReadOnlyList<(string Name, float Probability)> best) =>
            text.Append(JsonLines.Line(new { row, path, predictions = best.Select(entry => new { label = entry.Name, probability = entry.Probability }) })).Append('\n');
    }
}

/// <summary>Objects as lines of JSON.</summary>
internal static class JsonLines
{
    private static readonly JsonSerializerOptions _options = new(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static string Line<T>(T value) => JsonSerializer.Serialize(value, _options);

    public static byte[] Of<T>(IEnumerable<T> values) => Encoding.UTF8.GetBytes(string.Concat(values.Select(value => Line(value) + "\n")));
}
