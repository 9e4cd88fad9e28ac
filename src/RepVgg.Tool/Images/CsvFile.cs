using System.Text;
using RepVgg.Runtime;

namespace RepVgg.Tool.Images;

/// <summary>Reads CSV files with the paths of images and, in a data set, the names of their classes.</summary>
internal static class CsvFile
{
    // Names of columns in lower case, without underscores, hyphens and blanks. The first one that a file has is taken.
    private static readonly string[] _pathNames = ["path", "imagepath", "filepath", "filename", "file", "image", "imagefile", "imagename", "imagesource", "img", "imgpath", "picture"];
    private static readonly string[] _labelNames = ["label", "class", "classname", "labelname", "category", "categoryname", "target", "tag"];

    /// <summary>Reads the column of the paths; the first line names the columns.</summary>
    /// <exception cref="InvalidDataException">There is no such column, or a line has no path.</exception>
    public static IEnumerable<string> ReadPaths(string path)
    {
        int column = -1;
        foreach (var (number, line, fields) in Lines(path))
        {
            if (column < 0)
            {
                column = Find(fields, _pathNames);
                if (column < 0)
                    throw new InvalidDataException($"'{path}' has no column 'path'. Its first line must name the columns.");
                continue;
            }
            yield return fields.Length > column && fields[column].Length > 0 ? fields[column] : throw Error(path, number, line, "has no path");
        }
    }

    /// <summary>Reads paths, which are relative to the folder of the file, and labels: from the columns with such names, or from the first two if the first line does not name columns.</summary>
    /// <exception cref="InvalidDataException">A line has no path or no label, or two lines give an image different labels.</exception>
    public static IReadOnlyList<ImageFileRow> ReadLabelled(string path)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        var rows = new List<ImageFileRow>();
        var firstLines = new Dictionary<string, (int Number, string Label)>(StringComparer.Ordinal);
        int pathColumn = -1, labelColumn = -1;
        foreach (var (number, line, fields) in Lines(path))
        {
            if (pathColumn < 0)
            {
                (pathColumn, labelColumn) = ImageDataset.IsImage(fields[0]) ? (-1, -1) : (Find(fields, _pathNames), Find(fields, _labelNames));
                if (pathColumn >= 0 && labelColumn >= 0)
                    continue;
                if (pathColumn >= 0 || labelColumn >= 0)
                    throw Error(path, number, line, $"names the column of the {(pathColumn >= 0 ? "paths, but not that of the labels. Name it 'label'" : "labels, but not that of the paths. Name it 'path'")}");
                (pathColumn, labelColumn) = (0, 1);
            }
            if (fields.Length <= Math.Max(pathColumn, labelColumn) || fields[pathColumn].Length == 0 || fields[labelColumn].Length == 0)
                throw Error(path, number, line, "has no path or no label");
            string image = Path.GetFullPath(fields[pathColumn], folder), label = fields[labelColumn];
            if (!firstLines.TryAdd(image, (number, label)) && firstLines[image] is var first && first.Label != label)
                throw new InvalidDataException(FormattableString.Invariant($"Lines {first.Number} and {number} of '{path}' give the image '{MessageText.Printable(fields[pathColumn])}' different labels, '{MessageText.Printable(first.Label)}' and '{MessageText.Printable(label)}'. Remove one of them."));
            rows.Add(new ImageFileRow { ImagePath = image, Label = label });
        }
        return rows.Count > 0 ? rows : throw new InvalidDataException($"'{path}' has no images. Each line needs the path of an image and its label.");
    }

    /// <summary>Reads the lines that are not empty, with their numbers from 1.</summary>
    private static IEnumerable<(int Number, string Line, string[] Fields)> Lines(string path)
    {
        int number = 0;
        bool isFirst = true;
        using var reader = new StreamReader(path, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true));
        while (ReadLine(reader, path) is { } line)
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
                continue;
            if (line.Contains('\0', StringComparison.Ordinal))
                throw new InvalidDataException($"'{path}' is not a text file.");
            string[] fields = Fields(line) ?? throw Error(path, number, line, "has a quotation mark without its counterpart. Put fields with commas or quotation marks into quotation marks, and double those inside");
            if (isFirst && fields is [var only] && only.AsSpan().ContainsAny(';', '\t'))
                throw Error(path, number, line, "has no comma. Separate the fields by commas, not by semicolons or tabs");
            isFirst = false;
            yield return (number, line, fields);
        }
    }

    private static string? ReadLine(StreamReader reader, string path)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (DecoderFallbackException error)
        {
            throw new InvalidDataException($"'{path}' is not text in UTF-8. Save it in this encoding, or give a folder of images.", error);
        }
    }

    /// <summary>Splits a line at its commas. A field can be in quotation marks, in which quotation marks are doubled.</summary>
    /// <returns>The fields without blanks around them; null if a quotation mark is not closed, or text follows it.</returns>
    private static string[]? Fields(string line)
    {
        var fields = new List<string>();
        var field = new StringBuilder();
        int at = 0;
        while (true)
        {
            int end = line.IndexOf(',', at) is >= 0 and var comma ? comma : line.Length;
            string text = line[at..end].Trim();
            if (text.StartsWith('"'))
            {
                field.Clear();
                at = line.IndexOf('"', at) + 1;
                for (; ; at++)
                {
                    int quote = line.IndexOf('"', at);
                    if (quote < 0)
                        return null;
                    field.Append(line, at, quote - at);
                    at = quote + 1;
                    if (at == line.Length || line[at] != '"')
                        break;
                    field.Append('"');
                }
                end = line.IndexOf(',', at) is >= 0 and var next ? next : line.Length;
                if (!line.AsSpan(at, end - at).IsWhiteSpace())
                    return null;
                text = field.ToString().Trim();
            }
            fields.Add(text);
            if (end == line.Length)
                return [.. fields];
            at = end + 1;
        }
    }

    private static int Find(string[] header, string[] names)
    {
        string[] columns = Array.ConvertAll(header, name => name.ToLowerInvariant().Replace("_", "", StringComparison.Ordinal).Replace("-", "", StringComparison.Ordinal).Replace(" ", "", StringComparison.Ordinal));
        return names.Select(name => Array.IndexOf(columns, name)).FirstOrDefault(column => column >= 0, -1);
    }

    private static InvalidDataException Error(string path, int number, string line, string what) =>
        new(FormattableString.Invariant($"Line {number} of '{path}' {what}: '{MessageText.Printable(line)}'."));
}
