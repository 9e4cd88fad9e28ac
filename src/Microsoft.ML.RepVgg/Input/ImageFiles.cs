using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Where the files of an image column come from.</summary>
/// <param name="Folder">The folder of relative paths; null if it is unknown, or if paths are relative to the current directory.</param>
/// <param name="PathColumn">Name of the column with the paths; null if it is unknown.</param>
internal sealed record ImageFiles(string? Folder, string? PathColumn)
{
    /// <summary>Maximum number of views that are searched.</summary>
    private const int MaximumDepth = 100;

    private static readonly string[] _pathWords = ["path", "file", "image", "picture", "photo", "url", "uri", "name", "source"];

    /// <summary>Nothing is known.</summary>
    public static ImageFiles Unknown { get; } = new(null, null);

    /// <summary>Whether the image column is exactly what the loading step makes of the path column, so that the files can be read instead of the image column. Otherwise folder and path serve error messages only.</summary>
    public bool AreSource { get; private init; }

    /// <summary>Finds the step that loads the files of a column: ML.NET's LoadImages or LoadRawImageBytes.</summary>
    /// <remarks>Data views do not tell it, so private fields are looked up by name. If a later ML.NET version does not have them, messages contain less, and the image column is read.</remarks>
    /// <param name="view">The data.</param>
    /// <param name="imageColumn">Name of the image column.</param>
    public static ImageFiles Find(IDataView view, string imageColumn)
    {
        try
        {
            var above = new List<(IDataView View, IDataView Source)>();
            object? current = view;
            for (int depth = 0; depth < MaximumDepth && current is not null; depth++)
            {
                object? source = current.GetType().GetProperty("Source")?.GetValue(current);
                if (current is IDataView outer && source is IDataView inner)
                    above.Add((outer, inner));
                if (Field(Field(current, "_mapper"), "_parent") is ImageLoadingTransformer loading
                    && (Field(loading, "ColumnPairs") as (string Output, string Input)[])?.FirstOrDefault(pair => pair.Output == imageColumn) is { Input: { } path })
                {
                    bool areSource = above.Count == depth + 1 && above[..^1].All(step => Keeps(step, imageColumn) && Keeps(step, path)) && Keeps(above[^1], path);
                    return new ImageFiles(loading.ImageFolder, path) { AreSource = areSource };
                }
                current = source;
            }
        }
        catch (Exception error) when (error is AmbiguousMatchException or TargetInvocationException or NotSupportedException)
        {
            // A view of another library has other members of these names.
        }
        return Unknown;
    }

    /// <summary>The columns that may contain the path of a row's image: the one that is known, or else the scalar text columns that are named like paths.</summary>
    /// <param name="schema">The columns of the rows.</param>
    public IEnumerable<DataViewSchema.Column> CandidatesIn(DataViewSchema schema)
    {
        if (PathColumn is not null && schema.GetColumnOrNull(PathColumn) is { Type: TextDataViewType } known)
            return [known];
        return schema.Where(column => column.Type is TextDataViewType && !column.IsHidden && _pathWords.Any(word => column.Name.Contains(word, StringComparison.OrdinalIgnoreCase)));
    }

    /// <summary>Gets the getter that reads the files, if they <see cref="AreSource"/>. The files are read when their row is current, because a source may write the next one to the same file.</summary>
    /// <param name="row">The row or cursor, in which the column of paths is active.</param>
    /// <returns>Gets the content of the current row's file; empty if the row has no path.</returns>
    public ValueGetter<VBuffer<byte>> GetContentGetter(DataViewRow row)
    {
        var getPath = row.GetGetter<ReadOnlyMemory<char>>(row.Schema[PathColumn!]);
        return (ref VBuffer<byte> content) =>
        {
            ReadOnlyMemory<char> text = default;
            getPath(ref text);
            if (text.IsEmpty)
                content = new VBuffer<byte>(0, []);
            else
                Read(string.IsNullOrWhiteSpace(Folder) ? text.ToString() : Path.Combine(Folder, text.ToString()), ref content);
        };
    }

    /// <summary>Reads a file into the memory of a vector, because allocating arrays of this size takes time.</summary>
    private static void Read(string path, ref VBuffer<byte> content)
    {
        using var file = File.OpenHandle(path, options: FileOptions.SequentialScan);
        long length = RandomAccess.GetLength(file);
        if (length is 0 or > int.MaxValue)
        {
            // Some special files have the length 0, but content. Too long a file is an error.
            byte[] bytes = File.ReadAllBytes(path);
            content = new VBuffer<byte>(bytes.Length, bytes);
            return;
        }
        var editor = VBufferEditor.Create(ref content, (int)length);
        int filled = 0;
        while (filled < editor.Values.Length && RandomAccess.Read(file, editor.Values[filled..], filled) is > 0 and var read)
            filled += read;
        content = editor.CommitTruncated(filled);
    }

    /// <summary>
    /// Whether a column is that of the source: the step is one of ML.NET's and has the source's columns, as filters have, or it maps rows, adds random numbers or selects columns, and there are as many columns of
    /// the name as before.
    /// </summary>
    private static bool Keeps((IDataView View, IDataView Source) step, string column)
    {
        var type = step.View.GetType();
        return type.Assembly == typeof(DataOperationsCatalog).Assembly
            && (ReferenceEquals(step.View.Schema, step.Source.Schema)
            || (type.Name is "RowToRowMapperTransform" or "SelectColumnsDataTransform" or "GenerateNumberTransform" && Count(step.View.Schema, column) == Count(step.Source.Schema, column)));
    }

    private static int Count(DataViewSchema schema, string name) => schema.Count(column => column.Name == name);

    private static object? Field(object? instance, string name)
    {
        for (var type = instance?.GetType(); type is not null; type = type.BaseType)
        {
            if (type.GetField(name, BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public | BindingFlags.DeclaredOnly) is { } field)
                return field.GetValue(instance);
        }
        return null;
    }
}
