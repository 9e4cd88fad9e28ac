using System.Reflection;

namespace RepVgg.Conformance;

/// <summary>
/// The attributes that change how a caller compiles. They are compared by name: those of real assemblies may be defined
/// elsewhere.
/// </summary>
internal static class Attributes
{
    private static readonly string[] s_compared =
    [
        "System.ObsoleteAttribute", "System.FlagsAttribute", "System.AttributeUsageAttribute",
        "System.Runtime.CompilerServices.IsByRefLikeAttribute",
    ];

    public static bool Has(IEnumerable<CustomAttributeData> attributes, string name)
        => attributes.Any(a => a.AttributeType.FullName == name);

    /// <summary>The compared attributes, each with the constants given to its constructor, in brackets.</summary>
    public static string Of(IEnumerable<CustomAttributeData> attributes)
        => string.Concat(
            from attribute in attributes
            where s_compared.Contains(attribute.AttributeType.FullName)
            let name = attribute.AttributeType.Name
            // The text of a deprecation is not part of the contract, whether it is an error is.
            let values = attribute.ConstructorArguments.Where(value => value.Value is not string)
                .Select(value => value.Value)
                .Concat(attribute.NamedArguments.Where(named => !IsDefault(named)).Select(named => (object?)$"{named.MemberName} {named.TypedValue.Value}"))
            let text = string.Join(' ', values)
            where !(name == "ObsoleteAttribute" && IsCompilersOwn(attribute))
            orderby name
            select text.Length == 0 || text == "False" ? $" [{name[..^9]}]" : $" [{name[..^9]} {text}]");

    /// <summary>Whether an attribute's usage is spelled out where it would be the same anyway.</summary>
    private static bool IsDefault(CustomAttributeNamedArgument named)
        => named is { MemberName: "AllowMultiple", TypedValue.Value: false } or { MemberName: "Inherited", TypedValue.Value: true };

    /// <summary>Compilers mark ref structs as obsolete for older ones.</summary>
    private static bool IsCompilersOwn(CustomAttributeData attribute)
        => attribute.ConstructorArguments.Any(a => a.Value is string text && text.StartsWith("Types with embedded references", StringComparison.Ordinal));
}
