using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Hdf5;

/// <summary>A dataset of numbers.</summary>
internal sealed class Hdf5Dataset
{
    private const int Compact = 0, Contiguous = 1, Chunked = 2, Virtual = 3;

    // Deflate compresses at most 1,032 bytes to one.
    private const long MaximumCompression = 1032;

    private readonly Hdf5Object _object;
    private readonly string _path;
    private readonly Hdf5Type _type;

    /// <param name="dataset">The dataset's header.</param>
    /// <param name="path">Its path for messages.</param>
    public Hdf5Dataset(Hdf5Object dataset, string path)
    {
        (_object, _path) = (dataset, path);
        if (dataset.Find(Hdf5Message.Datatype) is not { } type || dataset.Find(Hdf5Message.Dataspace) is not { } space || !dataset.IsDataset)
            throw new InvalidDataException($"'{path}' is not a dataset");
        _type = Hdf5Type.Read(new Hdf5Cursor(type.Content, 0));
        Shape = [.. Hdf5Type.ReadShape(new Hdf5Cursor(space.Content, 0)).Select(size => size <= int.MaxValue ? (int)size : throw new InvalidDataException($"'{path}' is too large"))];
        Count = Hdf5Type.CountOf([.. Shape.Select(size => (long)size)]);
    }

    /// <summary>The dimensions.</summary>
    public int[] Shape { get; }

    /// <summary>Number of values.</summary>
    public long Count { get; }

    /// <summary>Reads all values.</summary>
    /// <exception cref="InvalidDataException">The values are damaged, of a type that is not supported, or not in this file.</exception>
    public float[] Read()
    {
        if (_type.Scalar(_object.Texts("dtype") is ["bfloat16"]) is not { } scalar)
            throw new InvalidDataException($"'{_path}' holds values of {_type}, not floating-point numbers");
        if (_object.Find(Hdf5Message.ExternalFiles) is not null)
            throw new InvalidDataException($"the values of '{_path}' are in other files, which are not read; copy the data into the file");
        if (Count > Array.MaxLength / _type.Size)
            throw new InvalidDataException($"'{_path}' has {Count} values, more than can be read");
        byte[] stored = ReadBytes();
        if (_type.IsBigEndian)
        {
            for (int i = 0; i < stored.Length; i += _type.Size)
                stored.AsSpan(i, _type.Size).Reverse();
        }
        var values = new float[Count];
        StorageDecoder.Decode(stored, scalar, values);
        return values;
    }

    private byte[] ReadBytes()
    {
        long bytes = Count * _type.Size;
        if (bytes == 0)
            return [];
        var cursor = new Hdf5Cursor(_object.Find(Hdf5Message.Layout)!.Content, 0);
        int version = cursor.Byte(), kind = cursor.Byte();
        if (version is not (3 or 4))
            throw new InvalidDataException($"the layout of '{_path}' has version {version}; 3 and 4 are supported");
        switch (kind)
        {
            case Compact:
                int size = cursor.UInt16();
                return size == bytes ? cursor.Bytes(size) : throw Damaged();
            case Contiguous:
                var (address, length) = (cursor.UInt64(), cursor.UInt64());
                if (address == Hdf5File.Undefined)
                    throw new InvalidDataException($"'{_path}' has no stored values");
                return length == (ulong)bytes ? ReadRange(address, (int)bytes) : throw Damaged();
            case Chunked when version == 3:
                return ReadChunks(cursor, bytes);
            case Virtual:
                throw new InvalidDataException($"'{_path}' is a virtual dataset, whose values are in other datasets, which are not read");
            default:
                throw new InvalidDataException($"'{_path}' has a layout of version {version} and kind {kind}, as files written with libver='latest' do, which is not supported; write the file with the default libver");
        }
    }

    private byte[] ReadRange(ulong address, int length)
    {
        long position = _object.File.Position(address, (ulong)length);
        return _object.File.Source.Read(position, length);
    }

    private byte[] ReadChunks(Hdf5Cursor cursor, long bytes)
    {
        int rank = cursor.Byte() - 1;
        ulong tree = cursor.UInt64();
        if (rank != Shape.Length || bytes / MaximumCompression > _object.File.Source.Length)
            throw Damaged();
        int[] chunk = new int[rank];
        long chunkBytes = _type.Size;
        for (int axis = 0; axis < rank; axis++)
        {
            uint size = cursor.UInt32();
            if (size is 0 or > int.MaxValue || (chunkBytes *= size) > Array.MaxLength)
                throw Damaged();
            chunk[axis] = (int)size;
        }
        if (tree == Hdf5File.Undefined || chunkBytes / MaximumCompression > _object.File.Source.Length)
            throw new InvalidDataException($"'{_path}' has no stored values");
        var filters = Hdf5Filters.Read(_object.Find(Hdf5Message.Filters));
        byte[] values = new byte[bytes];
        long chunks = Shape.Select((size, axis) => (size + (long)chunk[axis] - 1) / chunk[axis]).Aggregate(1L, (product, count) => product * count);
        var written = new HashSet<long>();
        ReadChunkTree(tree, int.MaxValue);
        return written.Count == chunks ? values : throw new InvalidDataException($"'{_path}' has {written.Count} of {chunks} chunks, so that values are missing");

        void ReadChunkTree(ulong address, int below)
        {
            _object.File.CountPart();
            var start = new Hdf5Cursor(_object.File.Read(address, 24), 0);
            bool isTree = start.Bytes(4).AsSpan().SequenceEqual("TREE"u8);
            int type = start.Byte(), level = start.Byte(), count = start.UInt16();
            if (!isTree || type != 1 || level >= below)
                throw Damaged();
            ulong entry = 8 + 8 * (ulong)(rank + 1) + 8;
            var entries = new Hdf5Cursor(_object.File.Read(address + 24, entry * (ulong)count), 0);
            var at = new long[rank];
            for (int i = 0; i < count; i++)
            {
                var (stored, skipped) = (entries.UInt32(), entries.UInt32());
                for (int axis = 0; axis < rank; axis++)
                    at[axis] = (long)entries.UInt64();
                entries.Skip(8);
                ulong child = entries.UInt64();
                if (level > 0)
                {
                    ReadChunkTree(child, level);
                    continue;
                }
                _object.File.CountPart();
                if (stored > int.MaxValue)
                    throw Damaged();
                byte[] content = filters.Decode(ReadRange(child, (int)stored), skipped, (int)chunkBytes, _type.Size, _path);
                long index = 0;
                for (int axis = 0; axis < rank; axis++)
                {
                    if (at[axis] < 0 || at[axis] >= Shape[axis] || at[axis] % chunk[axis] != 0)
                        throw Damaged();
                    index = index * ((Shape[axis] + (long)chunk[axis] - 1) / chunk[axis]) + at[axis] / chunk[axis];
                }
                if (!written.Add(index))
                    throw Damaged();
                Copy(content, at, chunk, values);
            }
        }
    }

    /// <summary>Copies a chunk to its place, row by row. Chunks at the edges reach beyond the dataset.</summary>
    private void Copy(byte[] content, long[] at, int[] chunk, byte[] values)
    {
        int rank = Shape.Length, last = rank - 1, rowBytes = (int)Math.Min(chunk[last], Shape[last] - at[last]) * _type.Size;
        long rows = chunk[..last].Aggregate(1L, (product, size) => product * size);
        for (long row = 0; row < rows; row++)
        {
            long rest = row, target = 0, pitch = Shape[last];
            bool isInside = true;
            for (int axis = last - 1; axis >= 0; axis--)
            {
                long position = at[axis] + rest % chunk[axis];
                rest /= chunk[axis];
                isInside &= position < Shape[axis];
                target += position * pitch;
                pitch *= Shape[axis];
            }
            if (isInside)
                Buffer.BlockCopy(content, checked((int)(row * chunk[last] * _type.Size)), values, checked((int)((target + at[last]) * _type.Size)), rowBytes);
        }
    }

    private InvalidDataException Damaged() => new($"the values of '{_path}' are damaged");
}
