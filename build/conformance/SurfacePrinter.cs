using System.Reflection;

namespace RepVgg.Conformance;

/// <summary>Reads the visible types and members of assemblies by reflection.</summary>
internal sealed class SurfacePrinter
{
    private const BindingFlags Declared =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private readonly bool _details;
    private readonly TypeNames _names;
    private readonly MemberPrinter _members;

    /// <param name="details">
    /// Whether to add what the surface list does not show: generic constraints, variance, attributes that change how callers
    /// compile, readonly structs and custom modifiers, the type behind an enum.
    /// </param>
    public SurfacePrinter(bool details)
    {
        _details = details;
        _names = new TypeNames(exact: details);
        _members = new MemberPrinter(_names, details);
    }

    public Surface Print(params IEnumerable<Assembly> assemblies)
        => new(assemblies.SelectMany(assembly => assembly.GetTypes()).Where(IsVisible)
            .OrderBy(type => type.FullName, StringComparer.Ordinal).Select(Print));

    /// <summary>Whether code outside the assembly can name the type, as a derived class at least.</summary>
    public static bool IsVisible(Type type)
    {
        if (type.HasElementType)
            return IsVisible(type.GetElementType()!);
        if (type.IsGenericParameter)
            return true;
        if (type.IsConstructedGenericType && !type.GetGenericArguments().All(IsVisible))
            return false;
        return type.IsNested
            ? (type.IsNestedPublic || type.IsNestedFamily || type.IsNestedFamORAssem) && IsVisible(type.DeclaringType!)
            : type.IsPublic;
    }

    /// <summary>One type, visible or not.</summary>
    public SurfaceType Print(Type type)
    {
        string name = _names.Of(type);
        if (typeof(Delegate).IsAssignableFrom(type))
        {
            MethodInfo invoke = type.GetMethod("Invoke")!;
            string signature = $"delegate {_names.Of(invoke.ReturnType)} {name}({_names.Parameters(invoke)}){Details(type)}";
            return new SurfaceType(name, signature, [], []);
        }

        var bases = new List<string>();
        if (type.BaseType is { } parent && parent != typeof(object) && parent != typeof(ValueType) && parent != typeof(Enum))
            bases.Add(_names.Of(parent));
        bases.AddRange(type.GetInterfaces().Where(IsVisible).Select(_names.Of).Order(StringComparer.Ordinal));
        return new SurfaceType(name, Kind(type) + Details(type), bases, type.IsEnum ? EnumMembers(type) : Members(type));
    }

    private static string Kind(Type type)
    {
        if (type.IsInterface)
            return "interface";
        if (type.IsEnum)
            return "enum";
        if (type.IsValueType)
            return "struct";
        return type switch
        {
            { IsAbstract: true, IsSealed: true } => "static class",
            { IsAbstract: true } => "abstract class",
            { IsSealed: true } => "sealed class",
            _ => "class",
        };
    }

    private string Details(Type type)
    {
        if (!_details)
            return "";
        string underlying = type.IsEnum ? " " + _names.Of(Enum.GetUnderlyingType(type)) : "";
        return underlying + Attributes.Of(type.GetCustomAttributesData()) + _members.Generics(type.GetGenericArguments());
    }

    private static List<string> EnumMembers(Type type)
        => [.. Enum.GetNames(type).Select(name => $"{name} = {TypeNames.Constant(type.GetField(name)!.GetRawConstantValue())}")];

    private List<string> Members(Type type)
        => [.. type.GetMembers(Declared).Select(_members.Print).OfType<string>().Order(StringComparer.Ordinal)];
}
