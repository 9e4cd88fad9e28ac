namespace RepVgg.Weights.PyTorch;

/// <summary>A dictionary of named tensors in a checkpoint.</summary>
/// <param name="Path">The keys that lead to it, joined by dots; empty if it is the whole checkpoint.</param>
/// <param name="Values">The dictionary.</param>
internal sealed record PthEntry(string Path, OrderedDictionary<string, object?> Values);

/// <summary>Finds the weights among the objects of a checkpoint.</summary>
internal sealed class PthEntries
{
    private const int MaximumDepth = 5;
    private const int MaximumEntries = 100;

    // The plain weights come before their moving average.
    private static readonly string[] _wrappers =
    [
        "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "backbone", "params", "weights",
        "state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema", "params_ema",
    ];

    private readonly List<PthEntry> _entries = [];
    private readonly HashSet<PickleDictionary> _visited = [];

    /// <param name="root">The unpickled object.</param>
    public PthEntries(object? root)
    {
        if (root is PickleDictionary dictionary)
            Add(dictionary, "", 0);
    }

    /// <summary>Every dictionary that holds tensors, outer ones first.</summary>
    public IReadOnlyList<PthEntry> All => _entries;

    /// <summary>Finds the entry that is read by default.</summary>
    /// <returns>At each level, the weights in the first known wrapper, such as <c>state_dict</c>; else the tensors there; else what is in the only dictionary that holds tensors. Null if there are several.</returns>
    public PthEntry? Default() => Choose(_entries, "");

    /// <summary>Finds the entry at a path, or at the longest start of the path, whose rest may be a prefix of names.</summary>
    /// <returns>The entry; null if there are no tensors, or several dictionaries of tensors and none of them is a wrapper.</returns>
    public PthEntry? FindOrParent(string? path)
    {
        for (string? at = path; at is not null; at = at.LastIndexOf('.') is >= 0 and var dot ? at[..dot] : null)
        {
            if (Choose(_entries.FindAll(entry => entry.Path == at || IsWithin(entry.Path, at)), at) is { } found)
                return found;
        }
        return null;
    }

    private static PthEntry? Choose(List<PthEntry> entries, string path)
    {
        foreach (string wrapper in _wrappers)
        {
            // Tensors beside a wrapper, such as the best accuracy, are not the weights.
            string inner = path.Length == 0 ? wrapper : $"{path}.{wrapper}";
            var wrapped = entries.FindAll(entry => entry.Path == inner || IsWithin(entry.Path, inner));
            if (wrapped.Count > 0)
                return Choose(wrapped, inner);
        }
        if (entries.Find(entry => entry.Path == path) is { } here)
            return here;
        string[] keys = [.. entries.Select(entry => Key(entry.Path, path)).Distinct(StringComparer.Ordinal)];
        return keys.Length == 1 ? Choose(entries, path.Length == 0 ? keys[0] : $"{path}.{keys[0]}") : null;
    }

    /// <summary>The first key of a path after an outer path. A key with dots counts as several.</summary>
    private static string Key(string path, string outer)
    {
        string rest = outer.Length == 0 ? path : path[(outer.Length + 1)..];
        int dot = rest.IndexOf('.');
        return dot < 0 ? rest : rest[..dot];
    }

    private static bool IsWithin(string path, string outer) => outer.Length == 0 ? path.Length > 0 : path.StartsWith(outer + ".", StringComparison.Ordinal);

    private void Add(PickleDictionary dictionary, string path, int depth)
    {
        if (depth > MaximumDepth || _entries.Count >= MaximumEntries || !_visited.Add(dictionary))
            return;
        if (dictionary.Entries.Values.Any(value => value is PickleTensor))
            _entries.Add(new PthEntry(path, dictionary.Entries));
        foreach (var (key, value) in dictionary.Entries)
        {
            if (value is PickleDictionary inner && key.Length is > 0 and <= 200)
                Add(inner, path.Length == 0 ? key : $"{path}.{key}", depth + 1);
        }
    }
}
