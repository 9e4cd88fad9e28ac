using System.IO.Compression;

namespace Microsoft.ML.Standin;

/// <summary>Names in the model archive.</summary>
internal static class ModelPaths
{
    internal const ulong Magic = 0x31304E4944545353;
    internal const string Key = "Model.key";
    internal const string Schema = "Schema";
    internal const string TransformerChain = "TransformerChain";

    internal static string Combine(string folder, string name) =>
        string.IsNullOrEmpty(folder) ? name : $"{folder}/{name}";
}

/// <summary>A model file in the making. Entries are kept in memory until the whole is written as a zip archive.</summary>
internal sealed class ModelArchiveWriter
{
    private readonly List<(string Name, MemoryStream Content)> _entries = [];

    /// <summary>A stream for a new entry; it is part of the archive as soon as it is disposed.</summary>
    internal Stream Create(string name)
    {
        if (_entries.Any(entry => entry.Name == name))
        {
            throw new InvalidOperationException($"The model archive has an entry '{name}' already.");
        }

        var content = new MemoryStream();
        _entries.Add((name, content));
        return content;
    }

    internal void WriteTo(Stream destination)
    {
        using var zip = new ZipArchive(destination, ZipArchiveMode.Create, leaveOpen: true);
        foreach ((string name, MemoryStream content) in _entries)
        {
            using Stream entry = zip.CreateEntry(name, CompressionLevel.Fastest).Open();
            entry.Write(content.ToArray());
        }
    }
}

/// <summary>A model file that is being read.</summary>
internal sealed class ModelArchiveReader : IDisposable
{
    private readonly ZipArchive _zip;

    /// <exception cref="FormatException">The stream is no zip archive.</exception>
    internal ModelArchiveReader(Stream source)
    {
        try
        {
            _zip = new ZipArchive(source, ZipArchiveMode.Read, leaveOpen: true);
            _ = _zip.Entries;
        }
        catch (InvalidDataException e)
        {
            throw new FormatException("Failed to open a zip archive", e);
        }
    }

    /// <summary>The content of an entry, or null where there is none.</summary>
    internal byte[] ReadOrNull(string name)
    {
        ZipArchiveEntry entry = _zip.GetEntry(name);
        if (entry is null)
        {
            return null;
        }

        using Stream stream = entry.Open();
        using var content = new MemoryStream();
        stream.CopyTo(content);
        return content.Length == entry.Length
            ? content.ToArray()
            : throw new FormatException($"Corrupt model file: the entry '{name}' is cut off.");
    }

    public void Dispose() => _zip.Dispose();
}
