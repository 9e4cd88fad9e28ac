namespace RepVgg.Weights.Naming;

/// <summary>Formats lists of names for messages.</summary>
internal static class NameList
{
    /// <summary>Joins the first names of a list, and says how many more there are.</summary>
    /// <param name="names">The names.</param>
    /// <param name="maximum">Maximum number of names in the text.</param>
    /// <param name="separator">Text between two names.</param>
    public static string Join(IReadOnlyList<string> names, int maximum = 8, string separator = "; ") => names.Count <= maximum
        ? string.Join(separator, names)
        : $"{string.Join(separator, names.Take(maximum))}{separator}... and {names.Count - maximum} more";
}
