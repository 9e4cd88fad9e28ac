using System.Buffers;

namespace RepVgg.Training.Data;

/// <summary>Decodes the content of an image file to pixels of bytes. Implementations must be thread-safe, and give the same pixels for the same content and size.</summary>
/// <param name="encoded">The content of the file.</param>
/// <param name="height">Height of the pixels.</param>
/// <param name="width">Width of the pixels.</param>
/// <param name="pixels">Receives channels * height * width values, CHW.</param>
internal delegate void ImageContentDecoder(ReadOnlySpan<byte> encoded, int height, int width, Span<byte> pixels);

/// <summary>An image of bytes at its own size.</summary>
/// <param name="Pixels">Channels * height * width values, CHW.</param>
/// <param name="Height">Height in pixels.</param>
/// <param name="Width">Width in pixels.</param>
/// <param name="Hash">SHA-256 hash of the pixels; null if it is not needed.</param>
internal readonly record struct WholeImage(byte[] Pixels, int Height, int Width, byte[]? Hash = null);

/// <summary>Stores labelled images of bytes at their own sizes, from which the augmentation cuts parts, and reads them by index.</summary>
/// <remarks>
/// An image is stored as the content of its file, or as pixels if there is none; what exceeds the memory limit is stored in a temporary file (<see cref="SpillFile"/>).
/// Memory that is left has the pixels of the first images, too, so that they need not be decoded whenever they are read. The pixels that are read do
/// not depend on where an image is stored. Only one thread may add images; reading is thread-safe after the last image was added.
/// </remarks>
internal sealed class WholeImageCache : ISampleSource, IDisposable
{
    private readonly List<Entry> _images = [];
    private readonly Stack<Entry> _decoded = [];
    private readonly ImageContentDecoder _decode;
    private readonly long _memoryLimit;
    private readonly string _folder;
    private SpillFile? _spill;
    private bool _isFull, _hasReleased;
    private bool _disposed;

    /// <summary>Creates an empty cache.</summary>
    /// <param name="channels">1 or 3.</param>
    /// <param name="height">Height of the network's input in pixels.</param>
    /// <param name="width">Width of the network's input in pixels.</param>
    /// <param name="classes">Number of classes.</param>
    /// <param name="decode">Decodes the content of image files.</param>
    /// <param name="memoryLimit">Maximum bytes of images in memory; further ones are written to the temporary file.</param>
    /// <param name="temporaryFolder">Folder of the temporary file; null for the system's folder for temporary files.</param>
    public WholeImageCache(int channels, int height, int width, int classes, ImageContentDecoder decode, long memoryLimit = SampleCache.DefaultMemoryLimit, string? temporaryFolder = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(memoryLimit);
        SampleShape.Length(channels, height, width, classes);
        (Channels, Height, Width, Classes) = (channels, height, width, classes);
        (_decode, _memoryLimit, _folder) = (decode, memoryLimit, temporaryFolder ?? Path.GetTempPath());
    }

    /// <inheritdoc/>
    public int Count => _images.Count;

    /// <inheritdoc/>
    public int Channels { get; }

    /// <inheritdoc/>
    public int Height { get; }

    /// <inheritdoc/>
    public int Width { get; }

    /// <inheritdoc/>
    public int Classes { get; }

    /// <inheritdoc/>
    public bool AreBytes => true;

    /// <inheritdoc/>
    public bool HasWeights { get; private set; }

    /// <summary>Bytes of images in memory.</summary>
    public long MemoryBytes { get; private set; }

    /// <summary>Bytes written to the temporary file.</summary>
    public long SpilledBytes => _spill?.Length ?? 0;

    /// <summary>Number of images that are decoded whenever they are read.</summary>
    public int UndecodedCount => _images.Count(image => image is { IsEncoded: true, Pixels: null, IsReleased: false });

    /// <summary>Appends one image.</summary>
    /// <param name="image">The image. Its arrays belong to the cache afterwards.</param>
    /// <param name="encoded">The content of a file that is decoded to these pixels, which is copied; empty if there is none.</param>
    /// <param name="label">0 .. Classes - 1.</param>
    /// <param name="row">Row number for messages.</param>
    /// <param name="weight">Weight of the image in the training loss, more than 0.</param>
    /// <exception cref="ArgumentException">Wrong length, or a label out of range; the row is named.</exception>
    /// <exception cref="IOException">The temporary file cannot be written; the folder is named.</exception>
    public void Add(WholeImage image, ReadOnlySpan<byte> encoded, int label, long row, float weight = 1)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_hasReleased)
            throw new InvalidOperationException("Images were released, so that no image can be added.");
        var (pixels, height, width, _) = image;
        if (height < 1 || width < 1 || pixels.Length != (long)Channels * height * width)
            throw new ArgumentException($"Row {row}: the image has {pixels.Length} values, not {Channels} x {height} x {width}.");
        SampleShape.CheckLabel(label, Classes, row);
        HasWeights |= weight != 1;
        var entry = new Entry(label, row, weight, height, width, image.Hash, !encoded.IsEmpty);
        ReadOnlySpan<byte> content = encoded.IsEmpty ? pixels : encoded;
        while (!Fits(content.Length) && _decoded.TryPop(out var other))
        {
            MemoryBytes -= other.Pixels!.Length;
            other.Pixels = null;
            _isFull = true;
        }
        if (!Fits(content.Length))
        {
            _spill ??= new SpillFile(_folder);
            (entry.Length, entry.Offset) = (content.Length, _spill.Append(content));
            _isFull = true;
        }
        else if (encoded.IsEmpty)
        {
            entry.Pixels = pixels;
            MemoryBytes += pixels.Length;
        }
        else
        {
            entry.Content = encoded.ToArray();
            MemoryBytes += encoded.Length;
            _isFull |= !Fits(pixels.Length);
            if (!_isFull)
            {
                entry.Pixels = pixels;
                MemoryBytes += pixels.Length;
                _decoded.Push(entry);
            }
        }
        _images.Add(entry);
    }

    /// <summary>Releases the memory of images that will not be read again, and fills it with the pixels of images that would be decoded whenever they are read. No image can be added afterwards.</summary>
    /// <param name="indices">Indices of the images that will not be read again.</param>
    /// <param name="cancellation">Checked at every image that is decoded.</param>
    public void Release(IEnumerable<int> indices, CancellationToken cancellation = default)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _hasReleased = true;
        _decoded.Clear();
        foreach (int index in indices)
        {
            var image = _images[index];
            MemoryBytes -= (image.Pixels?.Length ?? 0) + (image.Content?.Length ?? 0);
            (image.Pixels, image.Content, image.IsReleased) = (null, null, true);
        }
        for (int index = 0; index < _images.Count; index++)
        {
            var image = _images[index];
            if (image.IsReleased || !image.IsEncoded || image.Pixels is not null)
                continue;
            cancellation.ThrowIfCancellationRequested();
            int length = Channels * image.Height * image.Width;
            if (!Fits(length))
                break;
            byte[] pixels = new byte[length];
            ReadBytes(index, pixels);
            image.Pixels = pixels;
            MemoryBytes += length;
        }
    }

    /// <inheritdoc/>
    public (int Height, int Width) SizeOf(int index) => (_images[index].Height, _images[index].Width);

    /// <inheritdoc/>
    public int Read(int index, Span<float> pixels)
    {
        var image = _images[index];
        int length = Channels * image.Height * image.Width;
        byte[] buffer = ArrayPool<byte>.Shared.Rent(length);
        SampleShape.Widen(ReadBytes(index, buffer), pixels[..length]);
        ArrayPool<byte>.Shared.Return(buffer);
        return image.Label;
    }

    /// <inheritdoc/>
    public ReadOnlySpan<byte> ReadBytes(int index, Span<byte> buffer)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var image = _images[index];
        if (image.Pixels is { } pixels)
            return pixels;
        if (image.IsReleased)
            throw new InvalidOperationException($"Row {image.Row}: the image was released.");
        buffer = buffer[..(Channels * image.Height * image.Width)];
        if (image.Content is { } content)
        {
            _decode(content, image.Height, image.Width, buffer);
        }
        else if (!image.IsEncoded)
        {
            _spill!.Read(buffer, image.Offset);
        }
        else
        {
            byte[] rented = ArrayPool<byte>.Shared.Rent(image.Length);
            _spill!.Read(rented.AsSpan(0, image.Length), image.Offset);
            _decode(rented.AsSpan(0, image.Length), image.Height, image.Width, buffer);
            ArrayPool<byte>.Shared.Return(rented);
        }
        return buffer;
    }

    /// <summary>Gets the content of the file of one image.</summary>
    /// <param name="index">0 .. Count - 1.</param>
    /// <returns>The content; null if the image was added without one.</returns>
    public byte[]? ReadEncoded(int index)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var image = _images[index];
        if (image.IsReleased)
            throw new InvalidOperationException($"Row {image.Row}: the image was released.");
        if (!image.IsEncoded || image.Content is not null)
            return image.Content;
        byte[] content = new byte[image.Length];
        _spill!.Read(content, image.Offset);
        return content;
    }

    /// <inheritdoc/>
    public ReadOnlySpan<byte> HashOf(int index) => _images[index].Hash;

    /// <inheritdoc/>
    public int LabelOf(int index) => _images[index].Label;

    /// <inheritdoc/>
    public float WeightOf(int index) => _images[index].Weight;

    /// <inheritdoc/>
    public long RowOf(int index) => _images[index].Row;

    /// <summary>Releases the memory and deletes the temporary file.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _images.ForEach(image => (image.Pixels, image.Content) = (null, null));
        _decoded.Clear();
        _spill?.Dispose();
    }

    private bool Fits(int bytes) => MemoryBytes + bytes <= _memoryLimit;

    /// <summary>One image. Its content is in memory, or in the temporary file at an offset; pixels without an encoded content are the content.</summary>
    private sealed class Entry(int label, long row, float weight, int height, int width, byte[]? hash, bool isEncoded)
    {
        public int Label => label;

        public long Row => row;

        public float Weight => weight;

        public int Height => height;

        public int Width => width;

        public byte[]? Hash => hash;

        public bool IsEncoded => isEncoded;

        public bool IsReleased { get; set; }

        public byte[]? Pixels { get; set; }

        public byte[]? Content { get; set; }

        public long Offset { get; set; }

        public int Length { get; set; }
    }
}
