using System.Buffers;
using System.Runtime.InteropServices;

namespace RepVgg.Training.Data;

/// <summary>Stores labelled images that are added one at a time and reads them by index. Images beyond a memory limit are stored in a temporary file.</summary>
/// <remarks>
/// An image whose values are all integers of 0..255 is stored as bytes, any other as floats. The temporary file
/// is deleted by <see cref="Dispose"/>. On Unix its directory entry is removed right after creation, so the file does
/// not remain if the process is killed. Only one thread may add images; reading is thread-safe after the last image
/// was added.
/// </remarks>
internal sealed class SampleCache : ISampleSource, IDisposable
{
    /// <summary>The default memory limit: 1 GiB.</summary>
    public const long DefaultMemoryLimit = 1L << 30;

    private const int ChunkSize = 4 << 20;

    private readonly List<byte[]> _chunks = [];
    private readonly List<Entry> _entries = [];
    private readonly int _length;
    private readonly int _maxBytes;
    private readonly long _memoryLimit;
    private readonly string _folder;
    private readonly byte[] _narrowed;
    private int _chunkUsed;
    private SpillFile? _spill;
    private bool _disposed;

    /// <summary>Creates an empty cache.</summary>
    /// <param name="channels">1 or 3.</param>
    /// <param name="height">Height of every image in pixels.</param>
    /// <param name="width">Width of every image in pixels.</param>
    /// <param name="classes">Number of classes.</param>
    /// <param name="memoryLimit">Maximum bytes of pixels in memory; further images are written to the temporary file. 0 writes every image to the file.</param>
    /// <param name="temporaryFolder">Folder of the temporary file; null for the system's folder for temporary files.</param>
    public SampleCache(int channels, int height, int width, int classes, long memoryLimit = DefaultMemoryLimit, string? temporaryFolder = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(memoryLimit);
        _length = SampleShape.Length(channels, height, width, classes);
        _maxBytes = checked(_length * sizeof(float));
        _memoryLimit = memoryLimit;
        _narrowed = new byte[_length];
        _folder = temporaryFolder ?? Path.GetTempPath();
        (Channels, Height, Width, Classes) = (channels, height, width, classes);
    }

    /// <inheritdoc/>
    public int Count => _entries.Count;

    /// <inheritdoc/>
    public int Channels { get; }

    /// <inheritdoc/>
    public int Height { get; }

    /// <inheritdoc/>
    public int Width { get; }

    /// <inheritdoc/>
    public int Classes { get; }

    /// <summary>Bytes written to the temporary file.</summary>
    public long SpilledBytes => _spill?.Length ?? 0;

    /// <summary>Bytes of memory allocated for pixels.</summary>
    public long MemoryBytes => _chunks.Sum(chunk => (long)chunk.Length);

    /// <summary>Appends one image.</summary>
    /// <param name="pixels">Channels * Height * Width finite values, CHW; copied.</param>
    /// <param name="label">0 .. Classes - 1.</param>
    /// <param name="row">Row number for messages; by default the index of the sample.</param>
    /// <param name="weight">Weight of the image in the training loss, more than 0.</param>
    /// <exception cref="ArgumentException">Wrong length, a value that is not finite, or a label out of range; the row is named.</exception>
    /// <exception cref="IOException">The temporary file cannot be written; the folder is named.</exception>
    public void Add(ReadOnlySpan<float> pixels, int label, long? row = null, float weight = 1)
    {
        long name = row ?? _entries.Count;
        Check(pixels.Length, label, name);
        if (SampleShape.TryNarrow(pixels, _narrowed))
        {
            Store(_narrowed, label, name, weight, bytes: true);
            return;
        }
        SampleShape.CheckPixels(pixels, name);
        Store(MemoryMarshal.AsBytes(pixels), label, name, weight, bytes: false);
    }

    /// <summary>Appends one image whose pixels are bytes.</summary>
    /// <param name="pixels">Channels * Height * Width values, CHW; copied.</param>
    /// <param name="label">0 .. Classes - 1.</param>
    /// <param name="row">Row number for messages; by default the index of the sample.</param>
    /// <param name="weight">Weight of the image in the training loss, more than 0.</param>
    /// <exception cref="ArgumentException">Wrong length, or a label out of range; the row is named.</exception>
    /// <exception cref="IOException">The temporary file cannot be written; the folder is named.</exception>
    public void Add(ReadOnlySpan<byte> pixels, int label, long? row = null, float weight = 1)
    {
        long name = row ?? _entries.Count;
        Check(pixels.Length, label, name);
        Store(pixels, label, name, weight, bytes: true);
    }

    /// <inheritdoc/>
    public int Read(int index, Span<float> pixels)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var entry = _entries[index];
        int size = entry.Bytes ? _length : _maxBytes;
        pixels = pixels[.._length];
        if (entry.Chunk >= 0)
        {
            Decode(_chunks[entry.Chunk].AsSpan((int)entry.Offset, size), entry.Bytes, pixels);
            return entry.Label;
        }
        byte[] buffer = ArrayPool<byte>.Shared.Rent(size);
        try
        {
            _spill!.Read(buffer.AsSpan(0, size), entry.Offset);
            Decode(buffer.AsSpan(0, size), entry.Bytes, pixels);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
        return entry.Label;
    }

    /// <inheritdoc/>
    public ReadOnlySpan<byte> ReadBytes(int index, Span<byte> buffer)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var entry = _entries[index];
        if (!entry.Bytes)
            return [];
        if (entry.Chunk >= 0)
            return _chunks[entry.Chunk].AsSpan((int)entry.Offset, _length);
        buffer = buffer[.._length];
        _spill!.Read(buffer, entry.Offset);
        return buffer;
    }

    /// <inheritdoc/>
    public int LabelOf(int index) => _entries[index].Label;

    /// <inheritdoc/>
    public bool HasWeights { get; private set; }

    /// <inheritdoc/>
    public float WeightOf(int index) => _entries[index].Weight;

    /// <inheritdoc/>
    public long RowOf(int index) => _entries[index].Row;

    /// <summary>Releases the memory and deletes the temporary file.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _chunks.Clear();
        _spill?.Dispose();
    }

    /// <summary>
    /// Reserves bytes in a memory chunk; returns null if the memory limit would be exceeded. After the first image was
    /// written to the file, all later images are written to it too.
    /// </summary>
    private (int Chunk, long Offset)? Reserve(int size)
    {
        if (_spill is not null)
            return null;
        if (_chunks.Count == 0 || _chunkUsed + size > _chunks[^1].Length)
        {
            int capacity = (int)Math.Min(Math.Max(ChunkSize, size), _memoryLimit - MemoryBytes);
            if (capacity < size)
                return null;
            _chunks.Add(new byte[capacity]);
            _chunkUsed = 0;
        }
        var place = (_chunks.Count - 1, (long)_chunkUsed);
        _chunkUsed += size;
        return place;
    }

    private void Check(int length, int label, long row)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (length != _length)
            throw new ArgumentException($"Row {row}: the image has {length} values; {Channels} x {Height} x {Width} = {_length} are expected.");
        SampleShape.CheckLabel(label, Classes, row);
    }

    private void Store(ReadOnlySpan<byte> content, int label, long row, float weight, bool bytes)
    {
        HasWeights |= weight != 1;
        if (Reserve(content.Length) is { } place)
        {
            content.CopyTo(_chunks[place.Chunk].AsSpan((int)place.Offset));
            _entries.Add(new Entry(label, row, weight, bytes, place.Chunk, place.Offset));
            return;
        }
        _spill ??= new SpillFile(_folder);
        _entries.Add(new Entry(label, row, weight, bytes, -1, _spill.Append(content)));
    }

    private static void Decode(ReadOnlySpan<byte> source, bool bytes, Span<float> pixels)
    {
        if (bytes)
            SampleShape.Widen(source, pixels);
        else
            source.CopyTo(MemoryMarshal.AsBytes(pixels));
    }

    /// <summary>Label, row, weight and location of one image: the index of a memory chunk, or -1 for the temporary file, and the byte offset in it.</summary>
    private readonly record struct Entry(int Label, long Row, float Weight, bool Bytes, int Chunk, long Offset);
}
