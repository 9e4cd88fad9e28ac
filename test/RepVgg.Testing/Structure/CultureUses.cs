using System.Reflection;
using System.Runtime.CompilerServices;

namespace RepVgg.Testing;

/// <summary>Finds conversions of numbers to text that depend on the culture of the thread and that the analyzers do not find: interpolated strings and string.Join.</summary>
internal static class CultureUses
{
    private static readonly HashSet<Type> _fractional = [typeof(float), typeof(double), typeof(decimal), typeof(Half)];

    /// <summary>Formats that give the same text in every culture for numbers that are not negative.</summary>
    private static readonly string _invariantFormats = "xXdDbB";

    /// <summary>Describes the conversions of a method.</summary>
    public static IEnumerable<string> Of(MethodBase method)
    {
        // The interpolated strings that are being built, from the outermost to the innermost: whether each has a format provider.
        var handlers = new Stack<bool>();
        string format = "";
        foreach (object item in TypeUses.CallsAndTexts(method))
        {
            if (item is string text)
            {
                format = text;
                continue;
            }
            var called = (MethodBase)item;
            bool hasProvider = called.GetParameters().Any(parameter => parameter.ParameterType == typeof(IFormatProvider));
            if (called.DeclaringType == typeof(DefaultInterpolatedStringHandler))
            {
                if (called.IsConstructor)
                    handlers.Push(hasProvider);
                else if (called.Name == nameof(DefaultInterpolatedStringHandler.ToStringAndClear))
                    handlers.Pop();
                else if (called.Name == nameof(DefaultInterpolatedStringHandler.AppendFormatted) && !handlers.Peek() && called.IsGenericMethod && Depends(called, format))
                    yield return $"an interpolated string with a {NumberOf(called).Name}";
            }
            else if (called.DeclaringType == typeof(string) && called.Name == nameof(string.Create) && hasProvider)
            {
                handlers.Pop();
            }
            else if (called.DeclaringType == typeof(string) && called.IsGenericMethod && _fractional.Contains(NumberOf(called)))
            {
                yield return $"string.{called.Name} of {NumberOf(called).Name}";
            }
            else if (called.Name == nameof(ToString) && called.DeclaringType is { } type && _fractional.Contains(type) && !hasProvider)
            {
                yield return $"{type.Name}.ToString";
            }
        }
    }

    private static bool Depends(MethodBase append, string format)
    {
        var type = NumberOf(append);
        bool isFormatted = append.GetParameters().Any(parameter => parameter.ParameterType == typeof(string));
        return _fractional.Contains(type) || (isFormatted && type.IsPrimitive && !_invariantFormats.Contains(format[0]));
    }

    private static Type NumberOf(MethodBase method)
    {
        var type = method.GetGenericArguments()[0];
        return Nullable.GetUnderlyingType(type) ?? type;
    }
}
