namespace RepVgg.Weights.Naming;

/// <summary>Formats lists of names for messages.</summary>
internal static class NameList
{
    private const int LastNames = 2;

    /// <summary>Joins the names of a list. Of a long list, it takes the first names and the last two, and says how many are between them.</summary>
    /// <param name="names">The names.</param>
    /// <param name="maximum">Maximum number of names in the text, more than 2.</param>
    /// <param name="separator">Text between two names.</param>
    public static string Join(IReadOnlyList<string> names, int maximum = 8, string separator = "; ") => names.Count <= maximum
        ? string.Join(separator, names)
        : string.Join(separator, [.. names.Take(maximum - LastNames), $"... ({names.Count - maximum} more) ...", .. names.TakeLast(LastNames)]);
}
