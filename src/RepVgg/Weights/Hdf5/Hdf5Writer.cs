using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace RepVgg.Weights.Hdf5;

/// <summary>Writes an HDF5 file with groups and contiguous datasets of 32-bit floats, in the structure that h5py writes by default: superblock 0, symbol tables, object headers 1.</summary>
/// <remarks>Source: The HDF Group, "HDF5 File Format Specification Version 3.0".</remarks>
internal sealed class Hdf5Writer
{
    // The capacities stand in the superblock: a symbol table has at most 2 * LeafK entries, and a node of a B-tree 2 * NodeK children.
    private const int LeafK = 4, NodeK = 16;
    private const int SuperblockSize = 96, EntrySize = 40;

    private readonly Node _root = new();

    private sealed class Node
    {
        public SortedDictionary<string, Node> Members { get; } = new(StringComparer.Ordinal);

        public TensorData? Values { get; init; }
    }

    /// <summary>Adds a dataset and the groups on its path.</summary>
    /// <param name="path">Names of the groups and of the dataset, separated by slashes, in ASCII.</param>
    /// <param name="values">The values, with their shape.</param>
    public void Add(string path, TensorData values)
    {
        string[] names = path.Split('/');
        var group = _root;
        foreach (string name in names[..^1])
        {
            if (!group.Members.TryGetValue(name, out var child))
                group.Members.Add(name, child = new Node());
            group = child;
        }
        group.Members.Add(names[^1], new Node { Values = values });
    }

    /// <summary>Writes the file from the position of a stream that can seek; addresses are relative to it.</summary>
    public void Write(Stream stream)
    {
        if (!BitConverter.IsLittleEndian)
            throw new PlatformNotSupportedException("HDF5 files are written on little-endian machines only.");
        long start = stream.Position;
        stream.Write(new byte[SuperblockSize]);
        var (header, tree, heap) = WriteGroup(stream, start, _root);
        long end = stream.Position;

        var block = new Block();
        block.Add([0x89, .. "HDF\r\n\x1a\n"u8]);
        block.Add([0, 0, 0, 0, 0, 8, 8, 0]);
        block.UInt16(LeafK);
        block.UInt16(NodeK);
        block.UInt32(0);
        block.UInt64(0); // base address
        block.UInt64(Hdf5File.Undefined); // free space
        block.UInt64((ulong)(end - start));
        block.UInt64(Hdf5File.Undefined); // driver information
        AddEntry(block, 0, header, (tree, heap));
        stream.Position = start;
        stream.Write(block.Bytes);
        stream.Position = end;
    }

    /// <summary>Writes a group after its members.</summary>
    /// <returns>The addresses of its header, its B-tree and the heap with its names.</returns>
    private static (ulong Header, ulong Tree, ulong Heap) WriteGroup(Stream stream, long start, Node group)
    {
        // The heap begins with an empty name, and each name is padded to a multiple of 8 bytes.
        var names = new Block();
        names.Add(new byte[8]);
        var entries = new List<(ulong Name, ulong Header, (ulong Tree, ulong Heap)? Group)>();
        foreach (var (name, member) in group.Members)
        {
            ulong offset = (ulong)names.Length;
            names.Add(Encoding.ASCII.GetBytes(name + '\0'));
            names.Pad(8);
            if (member.Values is { } values)
            {
                entries.Add((offset, WriteDataset(stream, start, values), null));
            }
            else
            {
                var (header, tree, heap) = WriteGroup(stream, start, member);
                entries.Add((offset, header, (tree, heap)));
            }
        }
        ulong data = Append(stream, start, names);
        var heapHeader = new Block();
        heapHeader.Add([.. "HEAP"u8, 0, 0, 0, 0]);
        heapHeader.UInt64((ulong)names.Length);
        heapHeader.UInt64(1); // no free space
        heapHeader.UInt64(data);
        ulong heapAddress = Append(stream, start, heapHeader), treeAddress = WriteTree(stream, start, entries);

        var content = new Block();
        content.UInt64(treeAddress);
        content.UInt64(heapAddress);
        return (WriteHeader(stream, start, [(Hdf5Message.SymbolTable, content)]), treeAddress, heapAddress);
    }

    /// <summary>Writes the symbol tables of a group and the B-tree over them.</summary>
    private static ulong WriteTree(Stream stream, long start, List<(ulong Name, ulong Header, (ulong Tree, ulong Heap)? Group)> entries)
    {
        // The children of the next level: address, and the last name in them.
        var children = new List<(ulong Address, ulong LastName)>();
        foreach (var chunk in entries.Chunk(2 * LeafK))
        {
            var table = new Block();
            table.Add([.. "SNOD"u8, 1, 0]);
            table.UInt16(chunk.Length);
            foreach (var (name, header, group) in chunk)
                AddEntry(table, name, header, group);
            table.Add(new byte[EntrySize * (2 * LeafK - chunk.Length)]);
            children.Add((Append(stream, start, table), chunk[^1].Name));
        }
        for (int level = 0; level == 0 || children.Count > 1; level++)
        {
            var nodes = new List<(ulong Address, ulong LastName)>();
            // A node has the key of the name before its children, and after each child that of its last name.
            ulong before = 0;
            var chunks = children.Count == 0 ? [[]] : children.Chunk(2 * NodeK).ToList();
            const int NodeSize = 24 + 8 * (2 * NodeK + 1) + 8 * 2 * NodeK;
            ulong first = (ulong)(stream.Position - start);
            foreach (var (i, chunk) in chunks.Index())
            {
                var node = new Block();
                node.Add([.. "TREE"u8, 0, (byte)level]);
                node.UInt16(chunk.Length);
                node.UInt64(i == 0 ? Hdf5File.Undefined : first + NodeSize * (ulong)(i - 1));
                node.UInt64(i == chunks.Count - 1 ? Hdf5File.Undefined : first + NodeSize * (ulong)(i + 1));
                node.UInt64(before);
                foreach (var (address, last) in chunk)
                {
                    node.UInt64(address);
                    node.UInt64(last);
                    before = last;
                }
                node.Add(new byte[NodeSize - node.Length]);
                nodes.Add((Append(stream, start, node), before));
            }
            children = nodes;
        }
        return children[0].Address;
    }

    /// <summary>Adds the entry of a member to a symbol table, or that of the root group to the superblock.</summary>
    private static void AddEntry(Block block, ulong name, ulong header, (ulong Tree, ulong Heap)? group)
    {
        block.UInt64(name);
        block.UInt64(header);
        block.UInt32(group is null ? 0u : 1u); // whether the addresses of a group are cached in the entry
        block.UInt32(0);
        block.UInt64(group?.Tree ?? 0);
        block.UInt64(group?.Heap ?? 0);
    }

    private static ulong WriteDataset(Stream stream, long start, TensorData tensor)
    {
        float[] values = tensor.Read();
        ulong data = Hdf5File.Undefined;
        if (values.Length > 0)
        {
            data = (ulong)(stream.Position - start);
            stream.Write(MemoryMarshal.AsBytes(values.AsSpan()));
            if (stream.Position % 8 != 0)
                stream.Write(new byte[8 - stream.Position % 8]);
        }
        var space = new Block();
        space.Add([1, (byte)tensor.Shape.Count, 0, 0, 0, 0, 0, 0]);
        foreach (int size in tensor.Shape)
            space.UInt64((ulong)size);
        // A little-endian IEEE float of 32 bits: sign at bit 31, exponent of 8 bits at 23 with bias 127, mantissa of 23 bits at 0 with an implied bit.
        var type = new Block();
        type.Add([0x11, 0x20, 31, 0]);
        type.UInt32(4);
        type.UInt16(0);
        type.UInt16(32);
        type.Add([23, 8, 0, 23]);
        type.UInt32(127);
        var fill = new Block();
        fill.Add([2, 2, 2, 1, 0, 0, 0, 0]);
        var layout = new Block();
        layout.Add([3, 1]);
        layout.UInt64(data);
        layout.UInt64(4 * (ulong)values.Length);
        const int FillValue = 5;
        return WriteHeader(stream, start, [(Hdf5Message.Dataspace, space), (Hdf5Message.Datatype, type), (FillValue, fill), (Hdf5Message.Layout, layout)]);
    }

    private static ulong WriteHeader(Stream stream, long start, (int Type, Block Content)[] messages)
    {
        var content = new Block();
        foreach (var (type, message) in messages)
        {
            message.Pad(8);
            content.UInt16(type);
            content.UInt16(message.Length);
            content.UInt32(0);
            content.Add(message.Bytes);
        }
        var header = new Block();
        header.Add([1, 0]);
        header.UInt16(messages.Length);
        header.UInt32(1); // references to the object
        header.UInt32((uint)content.Length);
        header.UInt32(0);
        header.Add(content.Bytes);
        return Append(stream, start, header);
    }

    private static ulong Append(Stream stream, long start, Block block)
    {
        ulong address = (ulong)(stream.Position - start);
        stream.Write(block.Bytes);
        return address;
    }

    /// <summary>Bytes of a structure, all multiples of 8 in the file.</summary>
    private sealed class Block
    {
        private readonly MemoryStream _bytes = new();

        public int Length => (int)_bytes.Length;

        public ReadOnlySpan<byte> Bytes => _bytes.GetBuffer().AsSpan(0, Length);

        public void Add(ReadOnlySpan<byte> bytes) => _bytes.Write(bytes);

        public void UInt16(int value)
        {
            Span<byte> bytes = stackalloc byte[2];
            BinaryPrimitives.WriteUInt16LittleEndian(bytes, checked((ushort)value));
            _bytes.Write(bytes);
        }

        public void UInt32(uint value)
        {
            Span<byte> bytes = stackalloc byte[4];
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
            _bytes.Write(bytes);
        }

        public void UInt64(ulong value)
        {
            Span<byte> bytes = stackalloc byte[8];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
            _bytes.Write(bytes);
        }

        public void Pad(int multiple) => _bytes.Write(new byte[(multiple - Length % multiple) % multiple]);
    }
}
