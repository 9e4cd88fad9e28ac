using System.Globalization;
using System.Net;
using System.Text;

namespace Microsoft.ML.RepVgg.Reports;

/// <summary>Builds HTML and SVG that is also well-formed XML. Inserted texts are encoded, so that names from files cannot become markup; inserted numbers have the invariant culture's format.</summary>
internal sealed class Markup : IFormatProvider, ICustomFormatter
{
    private readonly StringBuilder _text = new();

    /// <summary>Adds a line.</summary>
    public void Add(FormattableString line) => _text.Append(line.ToString(this)).Append('\n');

    public override string ToString() => _text.ToString();

    object? IFormatProvider.GetFormat(Type? formatType) => formatType == typeof(ICustomFormatter) ? this : null;

    string ICustomFormatter.Format(string? format, object? arg, IFormatProvider? formatProvider) => arg switch
    {
        Literal literal => literal.Text,
        IFormattable value => Encode(value.ToString(format, CultureInfo.InvariantCulture)),
        _ => Encode(arg?.ToString() ?? ""),
    };

    private static string Encode(string text) => WebUtility.HtmlEncode(
        text.Any(IsForbidden) ? string.Concat(text.Select(character => IsForbidden(character) ? '\uFFFD' : character)) : text);

    /// <summary>Whether XML cannot contain a character, even encoded. Surrogates are left to the encoder, which replaces single ones.</summary>
    private static bool IsForbidden(char character) => character is < ' ' and not ('\t' or '\n' or '\r') or '\uFFFE' or '\uFFFF';

    /// <summary>Markup that is inserted as it is.</summary>
    internal readonly record struct Literal(string Text);
}
