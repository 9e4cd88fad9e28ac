namespace RepVgg.Conformance;

/// <summary>A visible type: what kind it is, what it derives from, and a line for each visible member.</summary>
/// <param name="Name">Full name, "Namespace.Outer.Inner" with generic parameters.</param>
/// <param name="Kind">Such as "sealed class"; for a delegate its whole signature.</param>
/// <param name="Bases">Base class, then the visible interfaces.</param>
/// <param name="Members">One line each.</param>
internal sealed record SurfaceType(string Name, string Kind, IReadOnlyList<string> Bases, IReadOnlyList<string> Members)
{
    /// <summary>The line that the surface list has for the type.</summary>
    public string Header => Kind.StartsWith("delegate ", StringComparison.Ordinal)
        ? Kind
        : $"{Kind} {Name}{(Bases.Count == 0 ? "" : " : " + string.Join(", ", Bases))}";

    public bool IsInterface => Kind == "interface";

    /// <summary>What a class that derives from the type or implements it must bring.</summary>
    public IEnumerable<string> Obligations => Members.Where(
        line => IsInterface || line.StartsWith("abstract ", StringComparison.Ordinal) || line.StartsWith("protected abstract ", StringComparison.Ordinal));
}

/// <summary>The visible types of some assemblies, by name.</summary>
internal sealed class Surface
{
    private readonly Dictionary<string, SurfaceType> _types = [];

    public Surface(IEnumerable<SurfaceType> types)
    {
        foreach (SurfaceType type in types)
            _types[type.Name] = type;
    }

    public IReadOnlyCollection<SurfaceType> Types => _types.Values;

    public SurfaceType? Find(string name) => _types.GetValueOrDefault(name);

    /// <summary>Reads a surface list; its format is described at its top.</summary>
    public static Surface Parse(IEnumerable<string> lines)
    {
        var types = new List<SurfaceType>();
        List<string>? members = null;
        foreach (string line in lines)
        {
            if (line.Length == 0 || line[0] is ';' or '#')
                continue;
            if (line.StartsWith("  ", StringComparison.Ordinal))
            {
                if (members is null)
                    throw new InvalidDataException($"The surface list has a member before the first type: {line}");
                members.Add(line[2..]);
                continue;
            }
            members = [];
            types.Add(ParseHeader(line, members));
        }
        return new Surface(types);
    }

    private static SurfaceType ParseHeader(string line, List<string> members)
    {
        if (line.StartsWith("delegate ", StringComparison.Ordinal))
            return new SurfaceType(line[..line.IndexOf('(')].Split(' ')[^1], line, [], members);
        string[] halves = line.Split(" : ", 2);
        int space = halves[0].LastIndexOf(' ');
        return new SurfaceType(halves[0][(space + 1)..], halves[0][..space], halves.Length > 1 ? halves[1].Split(", ") : [], members);
    }
}
