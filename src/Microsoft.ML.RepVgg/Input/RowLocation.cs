using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Describes the current row in error messages: its position, the image column, and the image file if a text column contains its path.</summary>
/// <param name="row">The row or cursor. Its text columns should be active (<see cref="TextColumns"/>).</param>
/// <param name="columnName">Name of the image column.</param>
/// <param name="imageFolder">The folder of relative paths; null if it is unknown.</param>
internal sealed class RowLocation(DataViewRow row, string columnName, string? imageFolder = null)
{
    private static readonly string[] _imageExtensions = [".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ico", ".heic", ".avif", ".jfif"];

    private string? _imageFolder = imageFolder;
    private ValueGetter<ReadOnlyMemory<char>>[]? _paths;

    // Index of the column with the path: -1 if no row had one, and null before the first row.
    private int? _pathColumn;

    /// <summary>Position of the row.</summary>
    public long Position => row.Position;

    /// <summary>The columns that may contain the path of the row's image: all scalar text columns that are not hidden.</summary>
    public static IEnumerable<DataViewSchema.Column> TextColumns(DataViewSchema schema) =>
        schema.Where(column => column.Type is TextDataViewType && !column.IsHidden);

    /// <summary>Finds the path of the image file among the values of the text columns: the first value with the extension of an image file.</summary>
    /// <returns>The path as the column contains it; null if there is none.</returns>
    public string? FindPath()
    {
        _paths ??= [.. TextColumns(row.Schema).Where(row.IsColumnActive).Select(column => row.GetGetter<ReadOnlyMemory<char>>(column))];
        for (int i = 0; i < _paths.Length; i++)
        {
            ReadOnlyMemory<char> text = default;
            _paths[i](ref text);
            if (_imageExtensions.Any(extension => text.Span.EndsWith(extension, StringComparison.OrdinalIgnoreCase)))
            {
                _pathColumn = i;
                return text.ToString();
            }
        }
        return null;
    }

    /// <summary>Notes the file of the current row's image, whose folder is used for the files of later rows.</summary>
    /// <param name="tag">The image's tag, in which LoadImages stores the path of the file.</param>
    /// <returns>The path; null if the tag is no path of a file.</returns>
    public string? NoteFile(string? tag)
    {
        if (string.IsNullOrEmpty(tag) || !File.Exists(tag))
            return null;
        if (_imageFolder is null && FindPath() is { } path && tag.EndsWith(path, StringComparison.Ordinal))
            _imageFolder = tag[..^path.Length];
        return tag;
    }

    /// <summary>Finds out why the file of the current row's image cannot be decoded.</summary>
    /// <returns>The reason, a clause; null if the file is not found or can be decoded.</returns>
    public string? ExplainFile(ImageDecoding decoding)
    {
        try
        {
            string? path = FindPath();
            return path is null ? null : EncodedImageCheck.Explain(Path.Combine(_imageFolder ?? "", path), decoding);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }

    /// <summary>Describes the current row, for an error that may be found later. Only the column that had a path in the first row is read.</summary>
    public RowPlace Place()
    {
        if (_pathColumn is null)
        {
            _pathColumn = -1;
            return new RowPlace(Position, columnName, FindPath());
        }
        ReadOnlyMemory<char> text = default;
        if (_pathColumn >= 0)
            _paths![_pathColumn.Value](ref text);
        return new RowPlace(Position, columnName, text.IsEmpty ? null : text.ToString());
    }

    /// <summary>Creates the exception for a row that cannot be used.</summary>
    /// <param name="reason">The reason, a clause.</param>
    /// <param name="path">Path of the image; null finds it by <see cref="FindPath"/>.</param>
    /// <param name="inner">The cause, or null.</param>
    public InvalidRowException Invalid(string reason, string? path = null, Exception? inner = null) =>
        new RowPlace(Position, columnName, path ?? FindPath()).Invalid(reason, inner);
}

/// <summary>Describes a row in error messages.</summary>
/// <param name="Position">Position of the row.</param>
/// <param name="Column">Name of the image column.</param>
/// <param name="Path">Path of the image file; null if it is unknown.</param>
internal readonly record struct RowPlace(long Position, string Column, string? Path)
{
    /// <summary>Creates the exception for the row.</summary>
    /// <param name="reason">The reason, a clause.</param>
    /// <param name="inner">The cause, or null.</param>
    public InvalidRowException Invalid(string reason, Exception? inner = null) =>
        new($"Row {Position}, column '{Column}'{(Path is null ? "" : $", file '{Path}'")}: {reason}", inner);
}

/// <summary>The image or label of a row is missing or cannot be used.</summary>
internal sealed class InvalidRowException(string message, Exception? inner = null) : InvalidOperationException(message, inner);
