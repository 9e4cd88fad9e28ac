using System.IO.Compression;
using RepVgg.Weights.PyTorch;

namespace RepVgg.Reliability.Tests.Fuzzing;

/// <summary>Changes of zip files, entry by entry, with sizes and checksums that are right again.</summary>
/// <param name="file">A sound zip file.</param>
internal sealed class ZipMutations(byte[] file)
{
    private static readonly DateTimeOffset _timestamp = new(1980, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly List<(string Name, byte[] Content)> _entries = Read(file);

    /// <summary>Whether the result is written as ML.NET writes it, compressed, and not as PyTorch does.</summary>
    public bool IsCompressed { get; init; }

    /// <summary>The same content, in a file that is the same whenever it is written.</summary>
    public byte[] Unchanged => Write(_entries);

    /// <summary>Changes the content of one entry.</summary>
    /// <param name="name">How the name of the entry ends.</param>
    /// <param name="change">Makes the new content.</param>
    public byte[] Replace(string name, Func<byte[], byte[]> change)
    {
        var entries = new List<(string Name, byte[] Content)>(_entries);
        int at = entries.FindIndex(entry => entry.Name.EndsWith(name, StringComparison.Ordinal));
        entries[at] = (entries[at].Name, change(entries[at].Content));
        return Write(entries);
    }

    /// <summary>Gets the content of an entry.</summary>
    /// <param name="name">How its name ends.</param>
    public byte[] Content(string name) => _entries.First(entry => entry.Name.EndsWith(name, StringComparison.Ordinal)).Content;

    /// <summary>Whether there is an entry.</summary>
    /// <param name="name">How its name ends.</param>
    public bool Has(string name) => _entries.Exists(entry => entry.Name.EndsWith(name, StringComparison.Ordinal));

    /// <summary>Removes, repeats, renames, exchanges, shortens or extends entries.</summary>
    public byte[] Change(Random random)
    {
        var entries = new List<(string Name, byte[] Content)>(_entries);
        for (int changes = 1 + random.Next(2); changes > 0 && entries.Count > 0; changes--)
        {
            int at = random.Next(entries.Count), other = random.Next(entries.Count);
            var (name, content) = entries[at];
            switch (random.Next(8))
            {
                case 0:
                    entries.RemoveAt(at);
                    break;
                case 1:
                    entries.Insert(other, entries[at]);
                    break;
                case 2:
                    entries[at] = (entries[other].Name, content);
                    break;
                case 3:
                    entries[at] = (random.Next(4) switch { 0 => "../" + name, 1 => name.ToUpperInvariant(), 2 => name + "/", _ => name.Length > 1 ? name[1..] : "x" }, content);
                    break;
                case 4:
                    entries[at] = (name, content[..random.Next(content.Length + 1)]);
                    break;
                case 5:
                    entries[at] = (name, [.. content, .. new byte[random.Next(256)]]);
                    break;
                case 6:
                    entries[at] = (name, entries[other].Content);
                    break;
                default:
                    entries[at] = (name, ByteMutations.Change(content, random));
                    break;
            }
        }
        return Write(entries);
    }

    private byte[] Write(List<(string Name, byte[] Content)> entries)
    {
        using var stream = new MemoryStream();
        if (IsCompressed)
        {
            using (var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
            {
                foreach (var (name, content) in entries)
                {
                    var entry = archive.CreateEntry(name, CompressionLevel.Fastest);
                    entry.LastWriteTime = _timestamp;
                    using var target = entry.Open();
                    target.Write(content);
                }
            }
            return stream.ToArray();
        }
        var writer = new ZipWriter(stream);
        foreach (var (name, content) in entries)
            writer.Add(name, content);
        writer.Finish();
        return stream.ToArray();
    }

    private static List<(string Name, byte[] Content)> Read(byte[] file)
    {
        using var archive = new ZipArchive(new MemoryStream(file), ZipArchiveMode.Read);
        var entries = new List<(string, byte[])>();
        foreach (var entry in archive.Entries)
        {
            using var stream = entry.Open();
            using var content = new MemoryStream();
            stream.CopyTo(content);
            entries.Add((entry.FullName, content.ToArray()));
        }
        return entries;
    }
}
