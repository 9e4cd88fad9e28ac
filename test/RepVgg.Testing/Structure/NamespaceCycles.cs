namespace RepVgg.Testing;

/// <summary>A type of one namespace that uses a type of another.</summary>
internal sealed record NamespaceUse(Type User, Type Used)
{
    public string From => User.Namespace!;

    public string To => Used.Namespace!;

    public override string ToString() => $"{From} -> {To}: {NameOf(User)} uses {NameOf(Used)}";

    private static string NameOf(Type type) => type.DeclaringType is { } outer ? $"{NameOf(outer)}.{type.Name}" : type.Name;
}

/// <summary>Namespaces that depend on each other. A namespace and its parent are two namespaces.</summary>
internal static class NamespaceCycles
{
    /// <summary>For each namespace that is part of a cycle a shortest one, each cycle once.</summary>
    /// <param name="types">The types of an assembly; what they use elsewhere does not count.</param>
    public static IReadOnlyList<IReadOnlyList<NamespaceUse>> Find(IEnumerable<Type> types)
    {
        var known = types.Where(type => type.Namespace is not null).ToHashSet();
        var uses = known.SelectMany(user => TypeUses.Of(user).Where(known.Contains).Select(used => new NamespaceUse(user, used)))
            .Where(use => use.From != use.To)
            .GroupBy(use => (use.From, use.To)).Select(group => group.OrderBy(use => use.ToString(), StringComparer.Ordinal).First())
            .OrderBy(use => use.To, StringComparer.Ordinal).ToLookup(use => use.From);
        var cycles = new Dictionary<string, IReadOnlyList<NamespaceUse>>();
        foreach (string start in uses.Select(group => group.Key).Order(StringComparer.Ordinal))
        {
            if (ShortestCycle(uses, start) is { } cycle)
                cycles.TryAdd(string.Join(' ', cycle.Select(use => use.From).Order(StringComparer.Ordinal)), cycle);
        }
        return [.. cycles.Values];
    }

    /// <summary>The cycles as text: one line for each dependency, with two types as the example.</summary>
    public static string Describe(IReadOnlyList<IReadOnlyList<NamespaceUse>> cycles) =>
        string.Join("\n", cycles.Select((cycle, i) => $"Cycle {i + 1}:\n{string.Join("\n", cycle.Select(use => $"  {use}"))}"));

    /// <summary>Breadth-first search from a namespace back to itself.</summary>
    private static List<NamespaceUse>? ShortestCycle(ILookup<string, NamespaceUse> uses, string start)
    {
        var reachedBy = new Dictionary<string, NamespaceUse>();
        var pending = new Queue<string>([start]);
        while (pending.TryDequeue(out string? current) && !reachedBy.ContainsKey(start))
        {
            foreach (var use in uses[current])
            {
                if (reachedBy.TryAdd(use.To, use))
                    pending.Enqueue(use.To);
            }
        }
        if (!reachedBy.ContainsKey(start))
            return null;
        var cycle = new List<NamespaceUse>();
        string end = start;
        do
        {
            cycle.Insert(0, reachedBy[end]);
            end = reachedBy[end].From;
        }
        while (end != start);
        return cycle;
    }
}
