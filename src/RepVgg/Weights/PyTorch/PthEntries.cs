using RepVgg.Runtime;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.PyTorch;

/// <summary>A dictionary of named tensors in a checkpoint.</summary>
/// <param name="Keys">The keys that lead to it; empty if it is the whole checkpoint.</param>
/// <param name="Values">The dictionary.</param>
/// <param name="HoldsNetwork">Whether it holds tensors under the names of a RepVGG network, with any prefix.</param>
internal sealed record PthEntry(string[] Keys, OrderedDictionary<string, object?> Values, bool HoldsNetwork)
{
    /// <summary>The keys, joined by dots.</summary>
    public string Path => string.Join('.', Keys);
}

/// <summary>Finds the weights among the objects of a checkpoint.</summary>
internal sealed class PthEntries
{
    private const int MaximumDepth = 5, MaximumVisits = 8;

    // The plain weights come before their moving average.
    private static readonly string[] _wrappers =
    [
        "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "backbone", "params", "weights",
        "state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema", "params_ema",
    ];

    private readonly List<PthEntry> _entries = [];
    private readonly Dictionary<PickleDictionary, bool> _holdsNetwork = [];

    // How often a dictionary was visited: it can be in many others, also in itself.
    private readonly Dictionary<PickleDictionary, int> _visits = [];

    /// <param name="root">The unpickled object.</param>
    public PthEntries(object? root)
    {
        if (root is PickleDictionary dictionary)
            Add(dictionary, []);
    }

    /// <summary>Every dictionary that holds tensors and is not the state of an optimizer, outer ones first.</summary>
    public IReadOnlyList<PthEntry> All => _entries;

    /// <summary>Finds the entry that is read by default, among those that hold a network, or among all if none does.</summary>
    /// <returns>
    /// At each level, the network there; else the weights in the first known wrapper, such as <c>state_dict</c>; else the tensors there; else what is in the
    /// only dictionary that holds tensors. Null if there are several.
    /// </returns>
    public PthEntry? Default() => Choose(Networks(_entries), 0);

    /// <summary>Finds the entry at a path, or at the longest start of the path, whose rest may be a prefix of names.</summary>
    /// <returns>The entry; null if there are no tensors, or several dictionaries of tensors and none of them is a wrapper.</returns>
    public PthEntry? FindOrParent(string? path)
    {
        for (string? at = path; at is not null; at = at.LastIndexOf('.') is >= 0 and var dot ? at[..dot] : null)
        {
            for (int depth = 1; depth <= MaximumDepth; depth++)
            {
                var inside = _entries.FindAll(entry => entry.Keys.Length >= depth && string.Join('.', entry.Keys, 0, depth) == at);
                if (Choose(Networks(inside), depth) is { } found)
                    return found;
            }
        }
        return null;
    }

    /// <summary>Returns the entries that hold a network; all, if none does.</summary>
    private static List<PthEntry> Networks(List<PthEntry> entries) =>
        entries.FindAll(entry => entry.HoldsNetwork) is { Count: > 0 } networks ? networks : entries;

    /// <summary>Chooses one of the entries in a dictionary.</summary>
    /// <param name="entries">The entries.</param>
    /// <param name="depth">The number of keys that lead to the dictionary.</param>
    private static PthEntry? Choose(List<PthEntry> entries, int depth)
    {
        var here = entries.Find(entry => entry.Keys.Length == depth);
        if (here is { HoldsNetwork: true })
            return here;
        foreach (string wrapper in _wrappers)
        {
            // Tensors beside a wrapper, such as the best accuracy, are not the weights.
            if (entries.FindAll(entry => entry.Keys.Length > depth && entry.Keys[depth] == wrapper) is { Count: > 0 } wrapped)
                return Choose(wrapped, depth + 1);
        }
        return entries.Count == 0 || here is not null ? here
            : entries.TrueForAll(entry => entry.Keys[depth] == entries[0].Keys[depth]) ? Choose(entries, depth + 1) : null;
    }

    private void Add(PickleDictionary dictionary, string[] keys)
    {
        if (IsOptimizer(dictionary))
            return;
        _visits[dictionary] = _visits.GetValueOrDefault(dictionary) + 1;
        if (dictionary.Entries.Values.Any(value => value is PickleTensor))
            _entries.Add(new PthEntry(keys, dictionary.Entries, HoldsNetwork(dictionary)));
        if (keys.Length == MaximumDepth)
            return;
        foreach (var (key, value) in dictionary.Entries)
        {
            if (value is PickleDictionary inner && _visits.GetValueOrDefault(inner) < MaximumVisits && key.Length > 0 && MessageText.Printable(key) == key)
                Add(inner, [.. keys, key]);
        }
    }

    /// <summary>Whether a dictionary is the state_dict of an optimizer, which can have a dictionary of tensors for every weight.</summary>
    private static bool IsOptimizer(PickleDictionary dictionary) => dictionary.Entries.ContainsKey("state") && dictionary.Entries.ContainsKey("param_groups");

    private bool HoldsNetwork(PickleDictionary dictionary)
    {
        if (!_holdsNetwork.TryGetValue(dictionary, out bool holds))
            _holdsNetwork[dictionary] = holds = dictionary.Entries.Any(pair => pair.Value is PickleTensor && StatePrefixes.IsOfStage(pair.Key));
        return holds;
    }
}
