using System.Buffers;
using System.Globalization;
using System.Text;

namespace RepVgg.Runtime;

/// <summary>Formats texts from files, and reasons of exceptions, for messages.</summary>
internal static class MessageText
{
    private const int LastNames = 2;
    private const int MaximumName = 200;
    private const int MaximumReason = 2000;
    private const int ZeroWidthNonJoiner = 0x200c, ZeroWidthJoiner = 0x200d, FirstTag = 0xe0020, LastTag = 0xe007f;

    /// <summary>Joins the names of a list. Of a long list, it takes the first names and the last two, and says how many are between them.</summary>
    /// <param name="names">The names.</param>
    /// <param name="maximum">Maximum number of names in the text, more than 2.</param>
    /// <param name="separator">Text between two names.</param>
    public static string Join(IReadOnlyList<string> names, int maximum = 8, string separator = "; ") => names.Count <= maximum
        ? string.Join(separator, names.Select(Printable))
        : string.Join(separator, [.. names.Take(maximum - LastNames).Select(Printable), $"... ({names.Count - maximum} more) ...", .. names.TakeLast(LastNames).Select(Printable)]);

    /// <summary>Shortens a name from a file, and replaces characters that are not printable.</summary>
    public static string Printable(string name) => WithoutControls(name.Length > MaximumName ? name[..MaximumName] + "..." : name);

    /// <summary>Replaces control characters, which a terminal would execute, and other characters that are not printable. Joiners and tags stay: emoji and some scripts need them.</summary>
    public static string WithoutControls(string text)
    {
        if (!text.AsSpan().ContainsAnyExceptInRange(' ', '~'))
            return text;
        var printable = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length;)
        {
            bool isValid = Rune.DecodeFromUtf16(text.AsSpan(i), out var rune, out int length) == OperationStatus.Done;
            if (isValid && IsPrintable(rune))
                printable.Append(text, i, length);
            else
                printable.Append('?');
            i += length;
        }
        return printable.ToString();
    }

    /// <summary>
    /// Gets the message of an exception as a part of another message: without the parameter name that .NET appends to the message of an
    /// <see cref="ArgumentException"/>, without a period at the end, and, since it can contain names from a file, without control characters and without the middle of a very long text.
    /// </summary>
    public static string Reason(Exception error)
    {
        int parameter = error is ArgumentException ? error.Message.LastIndexOf(" (Parameter ", StringComparison.Ordinal) : -1;
        string reason = (parameter < 0 ? error.Message : error.Message[..parameter]).TrimEnd('.');
        return WithoutControls(reason.Length <= MaximumReason ? reason : $"{reason[..(MaximumReason / 2)]} ... {reason[^(MaximumReason / 2)..]}");
    }

    private static bool IsPrintable(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.Control or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator => false,
        UnicodeCategory.Format => rune.Value is ZeroWidthNonJoiner or ZeroWidthJoiner or (>= FirstTag and <= LastTag),
        _ => true,
    };
}
