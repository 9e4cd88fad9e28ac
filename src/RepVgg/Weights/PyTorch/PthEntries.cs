using RepVgg.Runtime;

namespace RepVgg.Weights.PyTorch;

/// <summary>A dictionary of named tensors in a checkpoint.</summary>
/// <param name="Keys">The keys that lead to it; empty if it is the whole checkpoint.</param>
/// <param name="Values">The dictionary.</param>
internal sealed record PthEntry(string[] Keys, OrderedDictionary<string, object?> Values)
{
    /// <summary>The keys, joined by dots.</summary>
    public string Path { get; } = string.Join('.', Keys);
}

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

    // The number of values that may still be visited: a dictionary can be in many others, also in itself.
    private long _budget = 8_000_000;

    /// <param name="root">The unpickled object.</param>
    public PthEntries(object? root)
    {
        if (root is PickleDictionary dictionary)
            Add(dictionary, []);
    }

    /// <summary>Every dictionary that holds tensors, outer ones first.</summary>
    public IReadOnlyList<PthEntry> All => _entries;

    /// <summary>Finds the entry that is read by default.</summary>
    /// <returns>At each level, the weights in the first known wrapper, such as <c>state_dict</c>; else the tensors there; else what is in the only dictionary that holds tensors. Null if there are several.</returns>
    public PthEntry? Default() => Choose(_entries, 0);

    /// <summary>Finds the entry at a path, or at the longest start of the path, whose rest may be a prefix of names.</summary>
    /// <returns>The entry; null if there are no tensors, or several dictionaries of tensors and none of them is a wrapper.</returns>
    public PthEntry? FindOrParent(string? path)
    {
        for (string? at = path; at is not null; at = at.LastIndexOf('.') is >= 0 and var dot ? at[..dot] : null)
        {
            for (int depth = 1; depth <= MaximumDepth; depth++)
            {
                if (Choose(_entries.FindAll(entry => entry.Keys.Length >= depth && string.Join('.', entry.Keys, 0, depth) == at), depth) is { } found)
                    return found;
            }
        }
        return null;
    }

    /// <summary>Chooses one of the entries in a dictionary.</summary>
    /// <param name="entries">The entries.</param>
    /// <param name="depth">The number of keys that lead to the dictionary.</param>
    private static PthEntry? Choose(List<PthEntry> entries, int depth)
    {
        foreach (string wrapper in _wrappers)
        {
            // Tensors beside a wrapper, such as the best accuracy, are not the weights.
            if (entries.FindAll(entry => entry.Keys.Length > depth && entry.Keys[depth] == wrapper) is { Count: > 0 } wrapped)
                return Choose(wrapped, depth + 1);
        }
        if (entries.Count == 0)
            return null;
        if (entries.Find(entry => entry.Keys.Length == depth) is { } here)
            return here;
        return entries.TrueForAll(entry => entry.Keys[depth] == entries[0].Keys[depth]) ? Choose(entries, depth + 1) : null;
    }

    private void Add(PickleDictionary dictionary, string[] keys)
    {
        _budget -= 1 + dictionary.Entries.Count;
        if (keys.Length > MaximumDepth || _entries.Count >= MaximumEntries || _budget < 0)
            return;
        if (dictionary.Entries.Values.Any(value => value is PickleTensor))
            _entries.Add(new PthEntry(keys, dictionary.Entries));
        foreach (var (key, value) in dictionary.Entries)
        {
            if (value is PickleDictionary inner && key.Length > 0 && MessageText.Printable(key) == key)
                Add(inner, [.. keys, key]);
        }
    }
}
