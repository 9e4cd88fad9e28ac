using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Finds the folder from which ML.NET's LoadImages or LoadRawImageBytes reads the files of a data view, for error messages.</summary>
/// <remarks>Data views do not tell it, so private fields are looked up by name. If a later ML.NET version does not have them, messages contain less.</remarks>
internal static class ImageFolder
{
    /// <summary>Maximum number of views that are searched.</summary>
    private const int MaximumDepth = 100;

    /// <summary>Finds the folder.</summary>
    /// <param name="view">The data.</param>
    /// <returns>The folder; null if it is unknown.</returns>
    public static string? Find(IDataView view)
    {
        try
        {
            object? current = view;
            for (int depth = 0; depth < MaximumDepth && current is not null; depth++)
            {
                if (Field(Field(current, "_mapper"), "_parent") is ImageLoadingTransformer loading)
                    return loading.ImageFolder;
                current = current.GetType().GetProperty("Source")?.GetValue(current);
            }
        }
        catch (Exception error) when (error is AmbiguousMatchException or TargetInvocationException or NotSupportedException)
        {
            // A view of another library has other members of these names.
        }
        return null;
    }

    private static object? Field(object? instance, string name)
    {
        for (var type = instance?.GetType(); type is not null; type = type.BaseType)
        {
            if (type.GetField(name, BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.DeclaredOnly) is { } field)
                return field.GetValue(instance);
        }
        return null;
    }
}
