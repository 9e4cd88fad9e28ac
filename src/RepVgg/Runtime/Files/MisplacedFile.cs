using System.Text;

namespace RepVgg.Runtime.Files;

/// <summary>Recognises files that are often found in place of others: what a download or a checkout left, and archives that were not unpacked.</summary>
internal static class MisplacedFile
{
    private const string Unpack = "Unpack it and give the path of the file in it.";
    private const int StartBytes = 512;

    private static readonly (byte[] Start, string Name, string Advice)[] _known =
    [
        ([.. "version https://git-lfs"u8], "a Git LFS pointer in place of the file; fetch the files with 'git lfs pull'", "Or download the file itself."),
        ([.. "%PDF"u8], "a PDF file", ""),
        ([0x1f, 0x8b], "a gzip file", Unpack),
        ([.. "BZh"u8], "a bzip2 file", Unpack),
        ([0xfd, .. "7zXZ\0"u8], "an xz file", Unpack),
        ([0x28, 0xb5, 0x2f, 0xfd], "a Zstandard file", Unpack),
        ([.. "7z"u8, 0xbc, 0xaf, 0x27, 0x1c], "a 7-Zip archive", Unpack),
        ([.. "Rar!"u8], "a RAR archive", Unpack),
    ];

    /// <summary>Recognises a file by its first bytes.</summary>
    /// <param name="start">The first bytes; 512 are enough.</param>
    /// <returns>What the file is, with an article, and what to do, which can be empty; null if it is none of these files.</returns>
    public static (string Name, string Advice)? Recognize(ReadOnlySpan<byte> start)
    {
        foreach (var (known, name, advice) in _known)
        {
            if (start.StartsWith(known))
                return (name, advice);
        }
        string text = Text(start);
        bool isPage = text.StartsWith("<!doctype html", StringComparison.OrdinalIgnoreCase) || (text.StartsWith('<') && text.Contains("<html", StringComparison.OrdinalIgnoreCase));
        return isPage
            ? ("a web page (HTML) in place of the file", "Download the file itself: the link may lead to a page about the file or ask to sign in.")
            : null;
    }

    /// <summary>Says what a folder is that was given in place of a file, and what to do.</summary>
    /// <param name="path">The folder.</param>
    public static string DescribeFolder(string path) => File.Exists(Path.Combine(path, "saved_model.pb"))
        ? $"'{path}' is the folder of a TensorFlow SavedModel. Load it in TensorFlow and save it as .keras, or its weights as .h5."
        : $"'{path}' is a folder. Give the path of a file.";

    /// <summary>Returns the start of a file as text, without a byte order mark and white space before it. Bytes that are not UTF-8 become replacement characters.</summary>
    /// <param name="start">The first bytes; 512 are used.</param>
    public static string Text(ReadOnlySpan<byte> start) =>
        Encoding.UTF8.GetString(start[..Math.Min(StartBytes, start.Length)]).TrimStart('\uFEFF', ' ', '\t', '\r', '\n', '\f');
}
