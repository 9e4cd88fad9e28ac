using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Describes the current row in error messages: its position, the image column, and the image file if a text column contains its path.</summary>
/// <param name="row">The row or cursor. The columns with paths should be active (<see cref="ImageFiles.CandidatesIn"/>).</param>
/// <param name="columnName">Name of the image column.</param>
/// <param name="files">Where the files of the column come from.</param>
internal sealed class RowLocation(DataViewRow row, string columnName, ImageFiles files)
{
    private static readonly string[] _imageExtensions = [".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ico", ".heic", ".avif", ".jfif"];

    private string? _folder = files.Folder;
    private ValueGetter<ReadOnlyMemory<char>>[]? _paths;

    // Index of the column with the path: -1 if it is not known, and null before the first row.
    private int? _pathColumn;

    /// <summary>Where the files of the column come from.</summary>
    public ImageFiles Files => files;

    /// <summary>Position of the row.</summary>
    public long Position => row.Position;

    /// <summary>Finds the path of the image file: the value of the column that is known, or else the first value that has the extension of an image file or is the path of a file.</summary>
    /// <returns>The path as the column contains it; null if there is none.</returns>
    public string? FindPath()
    {
        _paths ??= [.. files.CandidatesIn(row.Schema).Where(row.IsColumnActive).Select(column => row.GetGetter<ReadOnlyMemory<char>>(column))];
        for (int i = 0; i < _paths.Length; i++)
        {
            string text = Read(i);
            if (text.Length > 0 && (files.PathColumn is not null || _imageExtensions.Any(extension => text.EndsWith(extension, StringComparison.OrdinalIgnoreCase)) || File.Exists(text)))
            {
                _pathColumn = i;
                return text;
            }
        }
        return null;
    }

    /// <summary>Notes the file of the current row's image, which tells the folder and the column of the paths of later rows.</summary>
    /// <param name="tag">The image's tag, in which LoadImages stores the path of the file.</param>
    /// <returns>The path; null if the tag is no path of a file.</returns>
    public string? NoteFile(string? tag)
    {
        if (string.IsNullOrEmpty(tag) || !File.Exists(tag))
            return null;
        if (_folder is null && FindPath() is { } path && tag.EndsWith(path, StringComparison.Ordinal))
            _folder = tag[..^path.Length];
        return tag;
    }

    /// <summary>Finds out why the file of the current row's image cannot be decoded.</summary>
    /// <returns>The reason, a clause; null if the file is not found or can be decoded.</returns>
    public string? ExplainFile(ImageDecoding decoding)
    {
        try
        {
            string? path = FindPath();
            return path is null ? null : EncodedImageCheck.Explain(Path.Combine(_folder ?? "", path), decoding);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }

    /// <summary>Explains why the content of an image file has no bytes: the file is empty, or the row has no file.</summary>
    /// <returns>The exception.</returns>
    public InvalidRowException NoContent()
    {
        string? path = FindPath();
        bool isFile = path is not null && (files.PathColumn is not null || File.Exists(path));
        return Invalid(isFile ? "the file is empty" : "there is no image", path);
    }

    /// <summary>Describes the current row, for an error that may be found later. Only the column that had a path in the first row is read.</summary>
    public RowPlace Place()
    {
        if (_pathColumn is null)
        {
            _pathColumn = -1;
            return new RowPlace(Position, columnName, FindPath());
        }
        string path = _pathColumn >= 0 ? Read(_pathColumn.Value) : "";
        return new RowPlace(Position, columnName, path.Length == 0 ? null : path);
    }

    /// <summary>Creates the exception for a row that cannot be used.</summary>
    /// <param name="reason">The reason, a clause.</param>
    /// <param name="path">Path of the image; null finds it by <see cref="FindPath"/>.</param>
    /// <param name="inner">The cause, or null.</param>
    public InvalidRowException Invalid(string reason, string? path = null, Exception? inner = null) =>
        new RowPlace(Position, columnName, path ?? FindPath()).Invalid(reason, inner);

    /// <summary>Reads a text; it is empty if the column cannot be read, because it is wanted for a message only.</summary>
    private string Read(int index)
    {
        try
        {
            ReadOnlyMemory<char> text = default;
            _paths![index](ref text);
            return text.ToString();
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            return "";
        }
    }
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
        new($"Row {Position}, column '{Column}'{(Path is null ? "" : $", file '{Path}'")}: {reason}", inner) { Position = Position, Reason = reason };
}

/// <summary>The image or label of a row is missing or cannot be used.</summary>
internal sealed class InvalidRowException(string message, Exception? inner = null) : InvalidOperationException(message, inner)
{
    /// <summary>Position of the row.</summary>
    public long Position { get; init; }

    /// <summary>The reason, a clause; the message if nothing else is known.</summary>
    public string Reason { get; init; } = message;
}
