using System.Buffers.Binary;
using System.Text;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Hdf5;

/// <summary>Reads groups, attributes and datasets of an HDF5 file.</summary>
/// <remarks>
/// It reads what h5py writes by default and what Keras needs: superblocks 0 to 3, groups as symbol tables or lists of links, object headers 1 and 2, numbers and strings, and datasets that are contiguous, compact, or in
/// chunks with deflate, shuffle and Fletcher-32. Links to other files are never followed. A damaged file is an error and cannot make the reader loop, recurse or allocate without bound: every part of the file is
/// counted, and sizes are compared with the length of the file. Messages of exceptions contain only the reason. Source: The HDF Group, "HDF5 File Format Specification Version 3.0".
/// </remarks>
internal sealed class Hdf5File
{
    public const ulong Undefined = ulong.MaxValue;

    private const int MaximumParts = 1 << 20;
    private const int MaximumHeader = 1 << 26;

    private static readonly byte[] _signature = [0x89, .. "HDF\r\n\x1a\n"u8];

    private readonly long _base;
    private int _parts;

    private Hdf5File(ByteSource source)
    {
        Source = source;
        byte[] start = source.Read(0, (int)Math.Min(source.Length, 128));
        if (!IsLikely(start))
            throw new InvalidDataException("it does not start with the signature of HDF5");
        var block = new Hdf5Cursor(start, _signature.Length);
        int version = block.Byte();
        ulong root;
        switch (version)
        {
            case 0 or 1:
                block.Skip(4);
                CheckSizes(block.Byte(), block.Byte());
                block.Skip(1 + 2 + 2 + 4 + (version == 1 ? 4 : 0));
                _base = (long)block.UInt64();
                block.Skip(8);
                CheckEnd(block.UInt64());
                block.Skip(8 + 8);
                root = block.UInt64();
                break;
            case 2 or 3:
                CheckSizes(block.Byte(), block.Byte());
                block.Skip(1);
                _base = (long)block.UInt64();
                block.Skip(8);
                CheckEnd(block.UInt64());
                root = block.UInt64();
                break;
            default:
                throw new InvalidDataException($"its superblock has version {version}; 0 to 3 are supported");
        }
        Root = new Hdf5Group(ReadObject(root), "");

        static void CheckSizes(int offsets, int lengths)
        {
            if (offsets != 8 || lengths != 8)
                throw new InvalidDataException($"its offsets have {offsets} bytes and its lengths {lengths}; 8 are supported");
        }

        void CheckEnd(ulong end)
        {
            if (end > (ulong)source.Length)
                throw new InvalidDataException($"it has {source.Length} bytes of {end}, so that it was cut off");
        }
    }

    /// <summary>The bytes of the file.</summary>
    public ByteSource Source { get; }

    /// <summary>The root group.</summary>
    public Hdf5Group Root { get; }

    /// <summary>Whether a file starts with the signature of HDF5.</summary>
    /// <param name="start">The first bytes of the file.</param>
    public static bool IsLikely(ReadOnlySpan<byte> start) => start.StartsWith(_signature);

    /// <summary>Opens a file, which must stay open while it is used.</summary>
    /// <exception cref="InvalidDataException">The file is damaged, or has a structure that is not supported.</exception>
    public static Hdf5File Open(ByteSource source) => new(source);

    /// <summary>Reads bytes at an address of the file.</summary>
    /// <exception cref="InvalidDataException">The bytes are not all within the file.</exception>
    public byte[] Read(ulong address, ulong count)
    {
        if (count > MaximumHeader)
            throw new InvalidDataException($"it has a structure of {count} bytes, more than {MaximumHeader}");
        return Source.Read(Position(address, count), (int)count);
    }

    /// <summary>Converts an address to a position in the file.</summary>
    /// <param name="address">The address.</param>
    /// <param name="count">Number of bytes that must be within the file.</param>
    public long Position(ulong address, ulong count)
    {
        long position = unchecked((long)address + _base);
        return address <= long.MaxValue && position >= 0 && count <= (ulong)Source.Length && position <= Source.Length - (long)count
            ? position
            : throw new InvalidDataException($"an address in it, {address}, lies outside the file, so that it is damaged or was cut off");
    }

    /// <summary>Counts a part of the file that is visited, so that parts that refer to each other cannot be visited without end.</summary>
    public void CountPart()
    {
        if (++_parts > MaximumParts)
            throw new InvalidDataException($"it has more than {MaximumParts} parts, or parts that refer to each other");
    }

    /// <summary>Reads the header of an object: its messages.</summary>
    public Hdf5Object ReadObject(ulong address)
    {
        CountPart();
        byte[] start = Read(address, 6);
        var messages = new List<Hdf5Message>();
        var blocks = new Queue<(ulong Address, ulong Length)>();
        bool isSecondVersion = start.AsSpan().StartsWith("OHDR"u8), tracksOrder = false;
        if (isSecondVersion)
        {
            int version = start[4], flags = start[5];
            if (version != 2)
                throw new InvalidDataException($"an object header has version {version}; 1 and 2 are supported");
            tracksOrder = (flags & 4) != 0;
            ulong prefix = 6u + ((flags & 32) != 0 ? 16u : 0) + ((flags & 16) != 0 ? 4u : 0);
            var size = new Hdf5Cursor(Read(address + prefix, 1u << (flags & 3)), 0);
            blocks.Enqueue((address + prefix + (1u << (flags & 3)), size.Unsigned(1 << (flags & 3))));
        }
        else
        {
            if (start[0] != 1)
                throw new InvalidDataException($"an object header has version {start[0]}; 1 and 2 are supported");
            blocks.Enqueue((address + 16, new Hdf5Cursor(Read(address + 8, 4), 0).UInt32()));
        }
        while (blocks.TryDequeue(out var block))
        {
            CountPart();
            var cursor = new Hdf5Cursor(Read(block.Address, block.Length), 0);
            int headerSize = isSecondVersion ? (tracksOrder ? 6 : 4) : 8;
            while (cursor.Remaining >= headerSize)
            {
                CountPart();
                int type, size, flags;
                if (isSecondVersion)
                {
                    (type, size, flags) = (cursor.Byte(), cursor.UInt16(), cursor.Byte());
                    cursor.Skip(tracksOrder ? 2 : 0);
                }
                else
                {
                    (type, size, flags) = (cursor.UInt16(), cursor.UInt16(), cursor.Byte());
                    cursor.Skip(3);
                }
                byte[] content = cursor.Bytes(size);
                if (type != Hdf5Message.Continuation)
                {
                    messages.Add(new Hdf5Message(type, (flags & 2) != 0, content));
                    continue;
                }
                var next = new Hdf5Cursor(content, 0);
                var (nextAddress, length) = (next.UInt64(), next.UInt64());
                // Blocks of version 2 have a signature at the start and a checksum at the end.
                blocks.Enqueue(isSecondVersion ? (nextAddress + 4, length >= 8 ? length - 8 : 0) : (nextAddress, length));
            }
        }
        return new Hdf5Object(this, messages);
    }
}

/// <summary>A message of an object header: a property of a group or dataset.</summary>
/// <param name="Type">What it describes, one of the constants.</param>
/// <param name="IsShared">Whether the content is a reference to another object that has the message.</param>
/// <param name="Content">The content.</param>
internal sealed record Hdf5Message(int Type, bool IsShared, byte[] Content)
{
    public const int Dataspace = 1, LinkInfo = 2, Datatype = 3, Link = 6, ExternalFiles = 7, Layout = 8, Filters = 11, Attribute = 12, Continuation = 16, SymbolTable = 17, AttributeInfo = 21;
}

/// <summary>A group or a dataset with its messages.</summary>
/// <param name="File">The file.</param>
/// <param name="Messages">The messages of its header.</param>
internal sealed record Hdf5Object(Hdf5File File, IReadOnlyList<Hdf5Message> Messages)
{
    /// <summary>Whether the object is a dataset.</summary>
    public bool IsDataset => Messages.Any(message => message.Type == Hdf5Message.Layout);

    /// <summary>Finds a message; null if there is none.</summary>
    public Hdf5Message? Find(int type)
    {
        var message = Messages.FirstOrDefault(message => message.Type == type);
        return message is { IsShared: true } ? throw new InvalidDataException($"a message of type {type} in it is shared between objects, which is not supported") : message;
    }

    /// <summary>Reads an attribute as texts; null if there is none. An attribute of numbers gives no texts if it is empty.</summary>
    /// <exception cref="InvalidDataException">The attribute is damaged, or not of strings.</exception>
    public IReadOnlyList<string>? Texts(string name)
    {
        foreach (var message in Messages.Where(message => message.Type == Hdf5Message.Attribute))
        {
            var cursor = new Hdf5Cursor(message.Content, 0);
            int version = cursor.Byte(), flags = cursor.Byte(), nameSize = cursor.UInt16(), typeSize = cursor.UInt16(), spaceSize = cursor.UInt16();
            if (version is < 1 or > 3)
                throw new InvalidDataException($"an attribute has version {version}; 1 to 3 are supported");
            cursor.Skip(version == 3 ? 1 : 0);
            string own = Encoding.UTF8.GetString(Part(nameSize)).TrimEnd('\0');
            if (own != name)
                continue;
            if (message.IsShared || (version > 1 && flags != 0))
                throw new InvalidDataException($"the type of its attribute '{name}' is shared between objects, which is not supported");
            var type = Hdf5Type.Read(new Hdf5Cursor(Part(typeSize), 0));
            long[] shape = Hdf5Type.ReadShape(new Hdf5Cursor(Part(spaceSize), 0));
            return type.ReadTexts(File, cursor.Bytes(cursor.Remaining), Hdf5Type.CountOf(shape), name);

            // Parts of version 1 are padded to multiples of 8 bytes.
            byte[] Part(int size)
            {
                byte[] part = cursor.Bytes(size);
                cursor.Skip(version == 1 ? (8 - size % 8) % 8 : 0);
                return part;
            }
        }
        if (Find(Hdf5Message.AttributeInfo) is { } info)
        {
            var cursor = new Hdf5Cursor(info.Content, 1);
            cursor.Skip((cursor.Byte() & 1) != 0 ? 2 : 0);
            if (cursor.UInt64() != Hdf5File.Undefined)
                throw new InvalidDataException("it stores attributes in a fractal heap, as files written with libver='latest' do, which is not supported; write the file with the default libver");
        }
        return null;
    }

    /// <summary>Reads texts that may be split into several attributes because one was too long: name, or name0, name1, and so on; null if there is none.</summary>
    public IReadOnlyList<string>? SplitTexts(string name)
    {
        if (Texts(name) is { } whole)
            return whole;
        var all = new List<string>();
        for (int i = 0; Texts($"{name}{i}") is { } part; i++)
            all.AddRange(part);
        return all.Count > 0 ? all : null;
    }
}

/// <summary>Reads little-endian values one after the other.</summary>
/// <param name="bytes">The bytes.</param>
/// <param name="position">Index of the first byte.</param>
internal struct Hdf5Cursor(byte[] bytes, int position)
{
    private int _position = position;

    /// <summary>Number of bytes that were not read.</summary>
    public readonly int Remaining => bytes.Length - _position;

    public int Byte() => Take(1)[0];

    public int UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(Take(2));

    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4));

    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8));

    /// <summary>Reads an unsigned number of 1, 2, 4 or 8 bytes.</summary>
    public ulong Unsigned(int size) => size switch
    {
        1 => (ulong)Byte(),
        2 => (ulong)UInt16(),
        4 => UInt32(),
        _ => UInt64(),
    };

    public byte[] Bytes(int count) => Take(count).ToArray();

    public void Skip(int count) => Take(count);

    private ReadOnlySpan<byte> Take(int count)
    {
        if (count < 0 || count > Remaining)
            throw new InvalidDataException("a structure in it ends early, so that it is damaged");
        var taken = bytes.AsSpan(_position, count);
        _position += count;
        return taken;
    }
}
