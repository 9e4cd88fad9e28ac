namespace RepVgg.Conformance;

/// <summary>What of one surface another one does not have.</summary>
internal static class Comparison
{
    /// <summary>
    /// Every way in which code could compile against <paramref name="standin"/> and not against
    /// <paramref name="real"/>: types, members, bases and interfaces that the real one lacks or has otherwise, and abstract
    /// members that the stand-in leaves out. Types and members that the stand-in does not have are no difference.
    /// </summary>
    public static List<string> Differences(Surface standin, Surface real)
    {
        var differences = new List<string>();
        foreach (SurfaceType type in standin.Types)
        {
            SurfaceType? other = real.Find(type.Name);
            if (other is null)
            {
                differences.Add($"surplus type: {type.Header}");
                continue;
            }
            if (type.Kind != other.Kind)
                differences.Add($"another kind of type: {type.Name}: '{type.Kind}', should be '{other.Kind}'");
            differences.AddRange(type.Bases.Except(other.Bases).Select(line => $"wrong base type or interface: {type.Name}: {line}"));
            differences.AddRange(type.Members.Except(other.Members).Select(line => $"surplus member: {type.Name}: {line}{Hint(line, other)}"));
            differences.AddRange(other.Obligations.Except(type.Members).Select(line => $"missing abstract member: {type.Name}: {line}"));
        }
        return differences;
    }

    /// <summary>The real member of the same name, where there is only one.</summary>
    private static string Hint(string line, SurfaceType type)
    {
        string name = NameOf(line);
        string[] same = [.. type.Members.Where(other => NameOf(other) == name)];
        return same.Length == 1 ? $" (the real one: {same[0]})" : "";
    }

    private static string NameOf(string line)
    {
        string start = line.Split('(', '{', '[', '=')[0].TrimEnd();
        return start[(start.LastIndexOf(' ') + 1)..];
    }
}
