using System.Globalization;
using System.Reflection;

namespace RepVgg.Conformance;

/// <summary>Writes types, parameters and constants as the surface list does.</summary>
/// <param name="exact">
/// Whether a type nested in a generic one shows the arguments of that one. The list shows its parameters' names instead.
/// </param>
internal sealed class TypeNames(bool exact)
{
    private static readonly Dictionary<string, string> s_keywords = new()
    {
        ["System.Void"] = "void", ["System.Object"] = "object", ["System.Boolean"] = "bool", ["System.Char"] = "char",
        ["System.SByte"] = "sbyte", ["System.Byte"] = "byte", ["System.Int16"] = "short", ["System.UInt16"] = "ushort",
        ["System.Int32"] = "int", ["System.UInt32"] = "uint", ["System.Int64"] = "long", ["System.UInt64"] = "ulong",
        ["System.Single"] = "float", ["System.Double"] = "double", ["System.Decimal"] = "decimal", ["System.String"] = "string",
    };

    /// <summary>A type as it stands in signatures, with its namespace, "Outer.Inner" where it is nested.</summary>
    public string Of(Type type)
    {
        if (type.IsArray)
            return $"{Of(type.GetElementType()!)}[{new string(',', type.GetArrayRank() - 1)}]";
        if (type.IsByRef)
            return "ref " + Of(type.GetElementType()!);
        if (type.IsPointer)
            return Of(type.GetElementType()!) + "*";
        if (type.IsGenericParameter)
            return type.Name;
        if (!type.IsGenericType && s_keywords.TryGetValue(type.FullName ?? "", out string? keyword))
            return keyword;

        // A nested type repeats the parameters of those around it; each level shows its own.
        Type[] arguments = type.GetGenericArguments();
        var levels = new Stack<Type>();
        for (Type? level = type; level is not null; level = level.DeclaringType)
            levels.Push(level);
        int used = 0;
        var parts = new List<string>();
        foreach (Type level in levels)
        {
            Type[] own = level.GetGenericArguments();
            IEnumerable<Type> shown = exact || level == type ? arguments[used..own.Length] : own[used..];
            string name = level.Name.Split('`')[0];
            parts.Add(own.Length > used ? $"{name}<{string.Join(',', shown.Select(Of))}>" : name);
            used = own.Length;
        }
        string text = string.Join('.', parts);
        return string.IsNullOrEmpty(type.Namespace) ? text : $"{type.Namespace}.{text}";
    }

    public string Parameters(MethodBase method) => Parameters(method.GetParameters(), IsExtension(method));

    public string Parameters(ParameterInfo[] parameters, bool extension = false)
        => string.Join(", ", parameters.Select((p, i) => (extension && i == 0 ? "this " : "") + Parameter(p)));

    /// <summary>A constant, a default value for example, in the invariant culture.</summary>
    public static string Constant(object? value)
    {
        return value switch
        {
            null => "default",
            string text => $"\"{text}\"",
            bool truth => truth ? "true" : "false",
            double number => number.ToString(CultureInfo.InvariantCulture),
            float number => number.ToString(CultureInfo.InvariantCulture),
            Enum member => Convert.ToString(Convert.ChangeType(member, Enum.GetUnderlyingType(member.GetType()), CultureInfo.InvariantCulture), CultureInfo.InvariantCulture)!,
            _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
        };
    }

    public static bool IsExtension(MethodBase method)
        => method.IsStatic && Attributes.Has(method.GetCustomAttributesData(), "System.Runtime.CompilerServices.ExtensionAttribute");

    private string Parameter(ParameterInfo parameter)
    {
        string prefix = Attributes.Has(parameter.GetCustomAttributesData(), "System.ParamArrayAttribute") ? "params " : "";
        string type = Of(parameter.ParameterType);
        if (parameter.ParameterType.IsByRef && parameter.IsOut)
            type = "out" + type[3..];
        string text = $"{prefix}{type} {parameter.Name}";
        return parameter.HasDefaultValue ? $"{text} = {Constant(parameter.RawDefaultValue)}" : text;
    }
}
