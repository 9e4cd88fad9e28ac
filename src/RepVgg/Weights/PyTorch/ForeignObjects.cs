namespace RepVgg.Weights.PyTorch;

/// <summary>Describes the objects of a pickle that are not weights, and were not built.</summary>
internal static class ForeignObjects
{
    private const int MaximumNames = 100;

    /// <summary>Lists classes with the number of objects, such as <c>argparse.Namespace (1)</c>; of many classes the first ones and their number.</summary>
    /// <param name="foreign">The classes, as <see cref="PickleMachine.Foreign"/>.</param>
    public static IEnumerable<string> List(IReadOnlyDictionary<string, int> foreign)
    {
        var names = foreign.Take(MaximumNames).Select(pair => $"{pair.Key} ({Math.Max(pair.Value, 1)})");
        return foreign.Count > MaximumNames ? names.Append($"{foreign.Count - MaximumNames} more classes") : names;
    }

    /// <summary>Returns the list as one text.</summary>
    public static string Describe(IReadOnlyDictionary<string, int> foreign) => string.Join(", ", List(foreign));
}
