using System.Text.RegularExpressions;
using RepVgg.Runtime;

namespace RepVgg.Weights.Naming;

/// <summary>Removes the prefixes that wrapping modules put before the names of a network, such as <c>module.</c>, <c>_orig_mod.</c> or <c>backbone.</c></summary>
/// <remarks>
/// A prefix is what stands before the name of a stage, in any of the known name styles. Blocks of one network have the same prefix; its classifier
/// may have a part of it, as <c>head.fc</c> beside <c>backbone.stem</c>.
/// </remarks>
internal static partial class StatePrefixes
{
    private const int MaximumName = 1000;

    /// <summary>Removes the prefixes.</summary>
    /// <param name="state">Weights under the names in a file.</param>
    /// <param name="prefix">The prefix of the stages, as <see cref="Choose"/> returns it.</param>
    /// <returns>The same weights in the same order, without those of networks under other prefixes; names that belong to no stage or classifier are not changed.</returns>
    /// <exception cref="ArgumentException">Two tensors would get the same name.</exception>
    public static StateDict Remove(StateDict state, string prefix)
    {
        string[] others = [.. Prefixes(state).Where(other => other != prefix && !prefix.StartsWith(other, StringComparison.Ordinal))];
        if (prefix.Length == 0 && others.Length == 0)
            return state;
        var renamed = new StateDict();
        foreach (var (name, tensor) in state)
        {
            if (Array.Exists(others, other => name.StartsWith(other, StringComparison.Ordinal)))
                continue;
            int start = OwnStart(name);
            if (start > 0 && !prefix.StartsWith(name[..start], StringComparison.Ordinal) && Array.Exists(others, other => other.StartsWith(name[..start], StringComparison.Ordinal)))
                continue; // the classifier of another network, such as teacher.head.fc beside teacher.backbone.stem
            // The prefix of the classifier is the whole prefix or its first parts.
            string own = start > 0 && prefix.StartsWith(name[..start], StringComparison.Ordinal) ? name[start..] : name;
            if (renamed.Contains(own))
                throw new ArgumentException($"Two tensors have the name '{own}' after the prefix '{prefix}' is removed; '{name}' is one of them.", nameof(state));
            renamed[own] = tensor;
        }
        return renamed;
    }

    /// <summary>Chooses the prefix of the plain weights.</summary>
    /// <param name="prefixes">The prefixes of stages, as <see cref="Prefixes"/> returns them.</param>
    /// <returns>The only prefix, or the only one that is not that of a moving average; empty without any.</returns>
    /// <exception cref="ArgumentException">There are several.</exception>
    public static string Choose(string[] prefixes)
    {
        string[] plain = prefixes.Length > 1 ? Array.FindAll(prefixes, prefix => !IsAverage(prefix)) : prefixes;
        return plain.Length switch
        {
            0 when prefixes.Length == 0 => "",
            1 => plain[0],
            _ => throw new ArgumentException(
                $"The weights hold stages of several networks, under the prefixes '{MessageText.Join(prefixes, separator: "', '")}': give the one that is to be read as the option Entry, or save only its weights.", nameof(prefixes)),
        };
    }

    /// <summary>Selects the tensors under a prefix, and removes it from their names.</summary>
    /// <param name="state">Weights under the names in a file.</param>
    /// <param name="prefix">The prefix, without the dot at its end.</param>
    /// <returns>The selected weights; null if there are none.</returns>
    public static StateDict? Select(StateDict state, string prefix)
    {
        var selected = new StateDict();
        foreach (var (name, tensor) in state)
        {
            if (name.Length > prefix.Length + 1 && name[prefix.Length] == '.' && name.StartsWith(prefix, StringComparison.Ordinal))
                selected[name[(prefix.Length + 1)..]] = tensor;
        }
        return selected.Count > 0 ? selected : null;
    }

    /// <summary>Selects the tensors of the network under a prefix of stages, and its classifier, which may have a part of the prefix. Names are not changed.</summary>
    public static StateDict SelectNetwork(StateDict state, string prefix)
    {
        var selected = new StateDict();
        foreach (var (name, tensor) in state)
        {
            bool isClassifier = OwnStart(name) is >= 0 and var start && IsClassifier(name[start..]) && prefix.StartsWith(name[..start], StringComparison.Ordinal);
            if (isClassifier || name.StartsWith(prefix, StringComparison.Ordinal))
                selected[name] = tensor;
        }
        return selected;
    }

    /// <summary>Returns the different prefixes of stages, in the order of the weights, each with the dot at its end.</summary>
    public static string[] Prefixes(StateDict state) =>
        [.. state.Names.Where(IsOfStage).Select(name => name[..OwnStart(name)]).Distinct(StringComparer.Ordinal)];

    /// <summary>Returns the different parts of names before their last stage, without the dot at the end, which can contain the names of stages themselves.</summary>
    public static string[] Parts(StateDict state) =>
        [.. state.Names.Where(IsOfStage).Select(name => name[..LastStart(name)].TrimEnd('.')).Where(part => part.Length > 0).Distinct(StringComparer.Ordinal)];

    /// <summary>Whether a name is that of a tensor in a stage of a network, after any prefix.</summary>
    public static bool IsOfStage(string name) => OwnStart(name) is >= 0 and var start && !IsClassifier(name[start..]);

    private static bool IsAverage(string prefix) => prefix.Split('.', '_').Any(part => part is "ema" or "averaged" or "average" or "swa" or "teacher");

    private static bool IsClassifier(string own) => own.StartsWith("linear.", StringComparison.Ordinal) || own.StartsWith("head.", StringComparison.Ordinal);

    /// <summary>Finds where the name that a network gives to a tensor begins; -1 if the name belongs to no stage or classifier.</summary>
    private static int OwnStart(string name)
    {
        if (name.Length > MaximumName)
            return -1;
        for (int start = 0; start < name.Length;)
        {
            if (OwnName().IsMatch(name.AsSpan(start)))
                return start;
            int dot = name.IndexOf('.', start);
            if (dot < 0)
                break;
            start = dot + 1;
        }
        return -1;
    }

    /// <summary>Finds where the last stage in a name begins.</summary>
    private static int LastStart(string name)
    {
        int last = 0;
        for (int start = 0, next; (next = OwnStart(name[start..])) >= 0 && !IsClassifier(name[(start + next)..]); start = last + 1)
            last = start + next;
        return last;
    }

    // Names of the RepVGG authors, timm and MMPretrain.
    [GeneratedRegex(@"\A(stage[0-9]{1,4}(_[a-z]+)?\.|stem\.|stages\.[0-9]|stage_[0-9]|((linear|head\.fc)\.(weight|bias)\z))")]
    private static partial Regex OwnName();
}
