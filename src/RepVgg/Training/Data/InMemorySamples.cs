namespace RepVgg.Training.Data;

/// <summary>Labelled images held in one array, as bytes or as floats.</summary>
internal sealed class InMemorySamples : ISampleSource
{
    private readonly byte[]? _bytes;
    private readonly float[]? _floats;
    private readonly int[] _labels;
    private readonly int _length;

    /// <summary>Creates a source of images with byte values 0..255. The arrays are referenced, not copied.</summary>
    /// <param name="pixels">Count * channels * height * width values, NCHW.</param>
    /// <param name="labels">One label per image, 0 .. classes - 1.</param>
    /// <param name="channels">1 or 3.</param>
    /// <param name="height">Height in pixels.</param>
    /// <param name="width">Width in pixels.</param>
    /// <param name="classes">Number of classes.</param>
    /// <exception cref="ArgumentException">The number of values does not match the number of labels, or a label is out of range (the row is named).</exception>
    public InMemorySamples(byte[] pixels, int[] labels, int channels, int height, int width, int classes)
        : this(labels, pixels?.LongLength ?? throw new ArgumentNullException(nameof(pixels)), channels, height, width, classes) => _bytes = pixels;

    /// <summary>Creates a source of images with float values. The arrays are referenced, not copied.</summary>
    /// <param name="pixels">Count * channels * height * width values, NCHW.</param>
    /// <param name="labels">One label per image, 0 .. classes - 1.</param>
    /// <param name="channels">1 or 3.</param>
    /// <param name="height">Height in pixels.</param>
    /// <param name="width">Width in pixels.</param>
    /// <param name="classes">Number of classes.</param>
    /// <exception cref="ArgumentException">The number of values does not match the number of labels, a label is out of range, or a value is not finite (the row is named).</exception>
    public InMemorySamples(float[] pixels, int[] labels, int channels, int height, int width, int classes)
        : this(labels, pixels?.LongLength ?? throw new ArgumentNullException(nameof(pixels)), channels, height, width, classes)
    {
        for (int row = 0; row < labels.Length; row++)
            SampleShape.CheckPixels(pixels.AsSpan(row * _length, _length), row);
        _floats = pixels;
    }

    private InMemorySamples(int[] labels, long values, int channels, int height, int width, int classes)
    {
        ArgumentNullException.ThrowIfNull(labels);
        _length = SampleShape.Length(channels, height, width, classes);
        if (values != (long)labels.Length * _length)
            throw new ArgumentException($"{labels.Length} labels require {(long)labels.Length * _length} pixel values ({channels} x {height} x {width} each), but there are {values}.", nameof(labels));
        for (int row = 0; row < labels.Length; row++)
            SampleShape.CheckLabel(labels[row], classes, row);
        (_labels, Channels, Height, Width, Classes) = (labels, channels, height, width, classes);
    }

    /// <inheritdoc/>
    public int Count => _labels.Length;

    /// <inheritdoc/>
    public int Channels { get; }

    /// <inheritdoc/>
    public int Height { get; }

    /// <inheritdoc/>
    public int Width { get; }

    /// <inheritdoc/>
    public int Classes { get; }

    /// <inheritdoc/>
    public int Read(int index, Span<float> pixels)
    {
        int label = _labels[index];
        pixels = pixels[.._length];
        if (_bytes is not null)
            SampleShape.Widen(_bytes.AsSpan(index * _length, _length), pixels);
        else
            _floats.AsSpan(index * _length, _length).CopyTo(pixels);
        return label;
    }

    /// <inheritdoc/>
    public ReadOnlySpan<byte> ReadBytes(int index, Span<byte> buffer) => _bytes is null ? [] : _bytes.AsSpan(index * _length, _length);

    /// <inheritdoc/>
    public int LabelOf(int index) => _labels[index];
}
