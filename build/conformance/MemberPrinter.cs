using System.Reflection;

namespace RepVgg.Conformance;

/// <summary>Writes one member as a line of the surface list, null where it is not visible.</summary>
internal sealed class MemberPrinter(TypeNames names, bool details)
{
    public string? Print(MemberInfo member)
    {
        string? line = member switch
        {
            ConstructorInfo { IsStatic: false } constructor when IsVisible(constructor) => $"{Access(constructor)}new({names.Parameters(constructor)})",
            MethodInfo { IsSpecialName: false } method when IsVisible(method) => Method(method),
            MethodInfo method when IsVisible(method) && method.Name.StartsWith("op_", StringComparison.Ordinal) => Method(method),
            PropertyInfo property => Property(property),
            EventInfo { AddMethod: { } add } e when IsVisible(add) => $"{Modifiers(add)}event {names.Of(e.EventHandlerType!)} {e.Name}",
            FieldInfo field when IsVisible(field) => Field(field),
            _ => null,
        };
        return line is null || !details ? line : line + Attributes.Of(member.GetCustomAttributesData()) + Modreqs(member);
    }

    /// <summary>Variance and constraints of generic parameters, nothing where there are none.</summary>
    public string Generics(Type[] parameters)
        => string.Concat(parameters.Where(p => p.IsGenericParameter).Select(p =>
        {
            var attributes = p.GenericParameterAttributes;
            var parts = new List<string>();
            if (attributes.HasFlag(GenericParameterAttributes.Covariant))
                parts.Add("out");
            if (attributes.HasFlag(GenericParameterAttributes.Contravariant))
                parts.Add("in");
            if (attributes.HasFlag(GenericParameterAttributes.ReferenceTypeConstraint))
                parts.Add("class");
            if (attributes.HasFlag(GenericParameterAttributes.NotNullableValueTypeConstraint))
                parts.Add("struct");
            parts.AddRange(p.GetGenericParameterConstraints().Where(c => c != typeof(ValueType)).Select(names.Of).Order(StringComparer.Ordinal));
            if (attributes.HasFlag(GenericParameterAttributes.DefaultConstructorConstraint) && !attributes.HasFlag(GenericParameterAttributes.NotNullableValueTypeConstraint))
                parts.Add("new()");
            return parts.Count == 0 ? "" : $" where {p.Name} : {string.Join(", ", parts)}";
        }));

    private string Method(MethodInfo method)
    {
        Type[] parameters = method.IsGenericMethodDefinition ? method.GetGenericArguments() : [];
        string generic = parameters.Length == 0 ? "" : $"<{string.Join(',', parameters.Select(p => p.Name))}>";
        return $"{Modifiers(method)}{names.Of(method.ReturnType)} {method.Name}{generic}({names.Parameters(method)}){(details ? Generics(parameters) : "")}";
    }

    private string? Property(PropertyInfo property)
    {
        MethodInfo? get = Visible(property.GetMethod), set = Visible(property.SetMethod);
        if ((get ?? set) is not { } first)
            return null;
        // The wider access is the property's, the narrower one is shown with the accessor.
        MethodInfo widest = get is not null && set is not null && set.IsPublic ? set : first;
        string accessors = string.Concat(Accessor(get, "get", widest), Accessor(set, "set", widest));
        ParameterInfo[] index = property.GetIndexParameters();
        string parameters = index.Length == 0 ? "" : $"[{names.Parameters(index)}]";
        return $"{Modifiers(widest)}{names.Of(property.PropertyType)} {property.Name}{parameters} {{ {accessors}}}";
    }

    private static string Accessor(MethodInfo? accessor, string word, MethodInfo widest)
        => accessor is null ? "" : $"{(Access(accessor) == Access(widest) ? "" : Access(accessor))}{word}; ";

    private string Field(FieldInfo field)
    {
        string access = field.IsPublic ? "" : "protected ";
        string type = names.Of(field.FieldType);
        if (field.IsLiteral)
            return $"{access}const {type} {field.Name} = {field.GetRawConstantValue()}";
        return $"{access}{(field.IsStatic ? "static " : "")}{(field.IsInitOnly ? "readonly " : "")}{type} {field.Name}";
    }

    private string Modifiers(MethodBase method)
    {
        string text = Access(method) + (method.IsStatic ? "static " : "");
        if (method.DeclaringType!.IsInterface || !method.IsVirtual)
            return text;
        if (method.IsAbstract)
            return text + "abstract ";
        // Overrides that can be overridden again are marked like what they override; the list marks no properties so.
        bool marked = !method.IsFinal && !method.DeclaringType.IsSealed && (details || !method.IsSpecialName);
        return marked ? text + "virtual " : text;
    }

    private static string Access(MethodBase method) => method.IsPublic ? "" : "protected ";

    private static MethodInfo? Visible(MethodInfo? method) => method is not null && IsVisible(method) ? method : null;

    private static bool IsVisible(MethodBase method) => method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;

    private static bool IsVisible(FieldInfo field) => field.IsPublic || field.IsFamily || field.IsFamilyOrAssembly;

    /// <summary>Modifiers that callers must understand: parameters passed by "in", setters that only initialise.</summary>
    private static string Modreqs(MemberInfo member)
    {
        IEnumerable<ParameterInfo> parameters = member switch
        {
            MethodInfo method => [.. method.GetParameters(), method.ReturnParameter],
            ConstructorInfo constructor => constructor.GetParameters(),
            PropertyInfo { SetMethod: { } set } when IsVisible(set) => [set.ReturnParameter],
            _ => [],
        };
        return string.Concat(parameters.SelectMany(p => p.GetRequiredCustomModifiers()).Select(modifier => $" modreq({modifier.Name})").Order(StringComparer.Ordinal));
    }
}
