using System.Globalization;

namespace RepVgg.Weights.Naming;

/// <summary>Formats lists of names for messages.</summary>
internal static class NameList
{
    private const int LastNames = 2;
    private const int MaximumName = 200;

    /// <summary>Joins the names of a list. Of a long list, it takes the first names and the last two, and says how many are between them.</summary>
    /// <param name="names">The names.</param>
    /// <param name="maximum">Maximum number of names in the text, more than 2.</param>
    /// <param name="separator">Text between two names.</param>
    public static string Join(IReadOnlyList<string> names, int maximum = 8, string separator = "; ") => names.Count <= maximum
        ? string.Join(separator, names.Select(Printable))
        : string.Join(separator, [.. names.Take(maximum - LastNames).Select(Printable), $"... ({names.Count - maximum} more) ...", .. names.TakeLast(LastNames).Select(Printable)]);

    /// <summary>Shortens a name from a file, and replaces characters that are not printable, so that it can be part of a message.</summary>
    public static string Printable(string name)
    {
        if (name.Length <= MaximumName && !name.AsSpan().ContainsAnyExceptInRange(' ', '~'))
            return name;
        string text = name.Length > MaximumName ? name[..MaximumName] + "..." : name;
        return string.Concat(text.Select(character => char.IsControl(character) || char.IsSurrogate(character) || char.GetUnicodeCategory(character) == UnicodeCategory.Format ? '?' : character));
    }
}
