using System.Text;

namespace RepVgg.Weights.Hdf5;

/// <summary>A group: named links to groups and datasets.</summary>
internal sealed class Hdf5Group
{
    private readonly Hdf5Object _object;
    private readonly string _path;
    private readonly Dictionary<string, ulong> _links = new(StringComparer.Ordinal);

    // Links that are not followed, with what they are.
    private readonly Dictionary<string, string> _others = new(StringComparer.Ordinal);

    /// <param name="group">The group's header.</param>
    /// <param name="path">Path of the group for messages; empty for the root.</param>
    public Hdf5Group(Hdf5Object group, string path)
    {
        (_object, _path) = (group, path);
        if (group.IsDataset)
            throw new InvalidDataException($"'{path}' is a dataset, not a group");
        if (group.Find(Hdf5Message.SymbolTable) is { } table)
        {
            var cursor = new Hdf5Cursor(table.Content, 0);
            var (tree, heap) = (cursor.UInt64(), cursor.UInt64());
            ReadTree(tree, ReadHeap(heap), int.MaxValue);
        }
        foreach (var link in group.Messages.Where(message => message.Type == Hdf5Message.Link))
            ReadLink(link);
        if (group.Find(Hdf5Message.LinkInfo) is { } info)
        {
            var cursor = new Hdf5Cursor(info.Content, 1);
            cursor.Skip((cursor.Byte() & 1) != 0 ? 8 : 0);
            if (cursor.UInt64() != Hdf5File.Undefined)
                throw new InvalidDataException($"the group '{path}/' stores its links in a fractal heap, as files written with libver='latest' do, which is not supported; write the file with the default libver");
        }
    }

    /// <summary>The names of the group's members, in no particular order.</summary>
    public IEnumerable<string> Names => _links.Keys.Concat(_others.Keys);

    /// <summary>Whether there is a member.</summary>
    public bool Contains(string name) => _links.ContainsKey(name) || _others.ContainsKey(name);

    /// <inheritdoc cref="Hdf5Object.SplitTexts"/>
    public IReadOnlyList<string>? Texts(string name) => _object.SplitTexts(name);

    /// <summary>Reads a text attribute; null if there is none.</summary>
    public string? Text(string name) => _object.Texts(name) is { Count: 1 } text ? text[0] : null;

    /// <summary>Whether a member is a group.</summary>
    public bool IsGroup(string name) => _links.ContainsKey(name) && !Find(name).IsDataset;

    /// <summary>Gets a member that is a group.</summary>
    /// <exception cref="InvalidDataException">There is no such group.</exception>
    public Hdf5Group Group(string name) => new(Find(name), $"{_path}/{name}");

    /// <summary>Gets a dataset by its path from this group, with slashes.</summary>
    /// <exception cref="InvalidDataException">There is no such dataset, or it cannot be read.</exception>
    public Hdf5Dataset Dataset(string path)
    {
        int slash = path.IndexOf('/');
        return slash >= 0 ? Group(path[..slash]).Dataset(path[(slash + 1)..]) : new Hdf5Dataset(Find(path), $"{_path}/{path}");
    }

    private Hdf5Object Find(string name)
    {
        if (_links.TryGetValue(name, out ulong address))
            return _object.File.ReadObject(address);
        throw new InvalidDataException(_others.TryGetValue(name, out string? kind) ? $"'{_path}/{name}' is {kind}, which is not followed; copy the data into the file" : $"it has no '{_path}/{name}'");
    }

    private byte[] ReadHeap(ulong address)
    {
        var heap = new Hdf5Cursor(_object.File.Read(address, 32), 0);
        if (!heap.Bytes(4).AsSpan().SequenceEqual("HEAP"u8))
            throw new InvalidDataException($"the names of the group '{_path}/' are missing, so that it is damaged");
        heap.Skip(4);
        ulong size = heap.UInt64();
        heap.Skip(8);
        return _object.File.Read(heap.UInt64(), size);
    }

    /// <summary>Reads a B-tree of symbol tables. The level decreases from a node to its children, so that damaged addresses cannot form a cycle.</summary>
    private void ReadTree(ulong address, byte[] names, int below)
    {
        _object.File.CountPart();
        var start = new Hdf5Cursor(_object.File.Read(address, 24), 0);
        bool isTree = start.Bytes(4).AsSpan().SequenceEqual("TREE"u8);
        int type = start.Byte(), level = start.Byte(), count = start.UInt16();
        if (!isTree || type != 0 || level >= below)
            throw new InvalidDataException($"the index of the group '{_path}/' is damaged");
        // Keys, which are not needed, and addresses alternate.
        var entries = new Hdf5Cursor(_object.File.Read(address + 24, 16ul * (ulong)count), 0);
        for (int i = 0; i < count; i++)
        {
            entries.Skip(8);
            ulong child = entries.UInt64();
            if (level > 0)
                ReadTree(child, names, level);
            else
                ReadSymbols(child, names);
        }
    }

    private void ReadSymbols(ulong address, byte[] names)
    {
        const int EntrySize = 40, SoftLink = 2;
        _object.File.CountPart();
        var start = new Hdf5Cursor(_object.File.Read(address, 8), 0);
        if (!start.Bytes(4).AsSpan().SequenceEqual("SNOD"u8))
            throw new InvalidDataException($"the index of the group '{_path}/' is damaged");
        start.Skip(2);
        int count = start.UInt16();
        var entries = new Hdf5Cursor(_object.File.Read(address + 8, EntrySize * (ulong)count), 0);
        for (int i = 0; i < count; i++)
        {
            var (name, header, kind) = (entries.UInt64(), entries.UInt64(), entries.UInt32());
            entries.Skip(20);
            Add(NameAt(names, name), kind == SoftLink ? null : header, "a soft link");
        }
    }

    private string NameAt(byte[] names, ulong offset)
    {
        int end = offset < (ulong)names.Length ? names.AsSpan((int)offset).IndexOf((byte)0) : -1;
        return end > 0 ? Encoding.UTF8.GetString(names, (int)offset, end) : throw new InvalidDataException($"a name in the group '{_path}/' is damaged");
    }

    private void ReadLink(Hdf5Message link)
    {
        const int Hard = 0, Soft = 1, External = 64;
        var cursor = new Hdf5Cursor(link.Content, 1);
        int flags = cursor.Byte(), kind = (flags & 8) != 0 ? cursor.Byte() : Hard;
        cursor.Skip(((flags & 4) != 0 ? 8 : 0) + ((flags & 16) != 0 ? 1 : 0));
        ulong length = cursor.Unsigned(1 << (flags & 3));
        string name = Encoding.UTF8.GetString(cursor.Bytes((int)Math.Min(length, int.MaxValue)));
        Add(name, kind == Hard ? cursor.UInt64() : null, kind switch { Soft => "a soft link", External => "a link to another file", _ => $"a link of kind {kind}" });
    }

    private void Add(string name, ulong? address, string kind)
    {
        _object.File.CountPart();
        if (address is { } known ? !_links.TryAdd(name, known) : !_others.TryAdd(name, kind))
            throw new InvalidDataException($"the group '{_path}/' has two members '{Runtime.MessageText.Printable(name)}'");
    }
}
