using System.Reflection;
using System.Reflection.Emit;

namespace RepVgg.Testing;

/// <summary>The types that a type uses: in its declaration, in its members' declarations and in the instructions of its methods.</summary>
/// <remarks>What the compiler copies leaves no trace in an assembly and is not found: values of constants, and <c>nameof</c>.</remarks>
internal static class TypeUses
{
    private const BindingFlags AllDeclared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly Dictionary<short, OpCode> _opCodes = typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!).ToDictionary(code => code.Value);

    /// <summary>Definitions of the types that a type uses, some of them more than once. Nested types are not looked into.</summary>
    public static IEnumerable<Type> Of(Type type) => Named(type).SelectMany(Definitions);

    /// <summary>The methods that a type declares, those of its nested types not included.</summary>
    public static IEnumerable<MethodBase> Methods(Type type) => type.GetMethods(AllDeclared).Cast<MethodBase>().Concat(type.GetConstructors(AllDeclared));

    /// <summary>The methods that a method calls and the texts that it loads, in the order of its instructions.</summary>
    public static IEnumerable<object> CallsAndTexts(MethodBase method)
    {
        if (method.GetMethodBody() is not { } body)
            yield break;
        var generic = method.IsGenericMethod ? method.GetGenericArguments() : [];
        foreach (var (kind, token) in Operands(body.GetILAsByteArray()!))
        {
            if (kind == OperandType.InlineString)
                yield return method.Module.ResolveString(token);
            else if (kind == OperandType.InlineMethod)
                yield return method.Module.ResolveMethod(token, method.DeclaringType!.GetGenericArguments(), generic)!;
        }
    }

    /// <summary>The types as they are named: arrays and constructed generic types too.</summary>
    private static IEnumerable<Type?> Named(Type type)
    {
        IEnumerable<Type?> own = [type.BaseType, .. type.GetInterfaces(), .. Attributes(type), .. Constraints(type.GetGenericArguments())];
        var fields = type.GetFields(AllDeclared).SelectMany(field => Attributes(field).Prepend(field.FieldType));
        var attributes = type.GetProperties(AllDeclared).Cast<MemberInfo>().Concat(type.GetEvents(AllDeclared)).SelectMany(Attributes);
        var methods = type.GetMethods(AllDeclared).Cast<MethodBase>().Concat(type.GetConstructors(AllDeclared)).SelectMany(Named);
        return own.Concat(fields).Concat(attributes).Concat(methods);
    }

    private static IEnumerable<Type?> Named(MethodBase method)
    {
        var generic = method.IsGenericMethod ? method.GetGenericArguments() : [];
        IEnumerable<Type?> declared = [(method as MethodInfo)?.ReturnType, .. method.GetParameters().Select(parameter => parameter.ParameterType), .. Attributes(method), .. Constraints(generic)];
        if (method.GetMethodBody() is not { } body)
            return declared;
        return declared.Concat(body.LocalVariables.Select(local => local.LocalType))
            .Concat(body.ExceptionHandlingClauses.Where(clause => clause.Flags == ExceptionHandlingClauseOptions.Clause).Select(clause => clause.CatchType))
            .Concat(Tokens(body.GetILAsByteArray()!).SelectMany(token => Members(method, generic, token)));
    }

    private static IEnumerable<Type?> Attributes(MemberInfo member) =>
        member.GetCustomAttributesData().SelectMany(attribute => attribute.ConstructorArguments.Select(argument => argument.Value)
            .Concat(attribute.NamedArguments.Select(argument => argument.TypedValue.Value)).OfType<Type>().Prepend(attribute.AttributeType));

    private static IEnumerable<Type> Constraints(Type[] parameters) =>
        parameters.Where(parameter => parameter.IsGenericParameter).SelectMany(parameter => parameter.GetGenericParameterConstraints());

    /// <summary>The types that an instruction's operand names: a type, or a member's declaring type and generic arguments.</summary>
    private static IEnumerable<Type?> Members(MethodBase method, Type[] generic, int token)
    {
        var typeArguments = method.DeclaringType!.GetGenericArguments();
        return method.Module.ResolveMember(token, typeArguments, generic) switch
        {
            Type type => [type],
            MethodBase { IsGenericMethod: true } called => [called.DeclaringType, .. called.GetGenericArguments()],
            MemberInfo member => [member.DeclaringType],
            null => [],
        };
    }

    /// <summary>The operands that are tokens of types, fields and methods.</summary>
    private static IEnumerable<int> Tokens(byte[] instructions) =>
        Operands(instructions).Where(operand => operand.Kind != OperandType.InlineString).Select(operand => operand.Token);

    /// <summary>The operands that are tokens of types, fields, methods and texts.</summary>
    private static IEnumerable<(OperandType Kind, int Token)> Operands(byte[] instructions)
    {
        for (int position = 0; position < instructions.Length;)
        {
            // Instructions of two bytes start with 0xFE.
            short value = instructions[position++];
            if (value == 0xFE)
                value = (short)(0xFE00 | instructions[position++]);
            var operand = _opCodes[value].OperandType;
            if (operand is OperandType.InlineField or OperandType.InlineMethod or OperandType.InlineTok or OperandType.InlineType or OperandType.InlineString)
                yield return (operand, BitConverter.ToInt32(instructions, position));
            position += operand switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + 4 * BitConverter.ToInt32(instructions, position),
                _ => 4,
            };
        }
    }

    private static IEnumerable<Type> Definitions(Type? type)
    {
        if (type is null || type.IsGenericParameter)
            return [];
        if (type.IsFunctionPointer)
            return type.GetFunctionPointerParameterTypes().Append(type.GetFunctionPointerReturnType()).SelectMany(Definitions);
        if (type.HasElementType)
            return Definitions(type.GetElementType());
        return type.IsConstructedGenericType ? type.GetGenericArguments().SelectMany(Definitions).Prepend(type.GetGenericTypeDefinition()) : [type];
    }
}
