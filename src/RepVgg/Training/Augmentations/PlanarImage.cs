namespace RepVgg.Training.Augmentations;

/// <summary>An image of bytes, one plane per channel (CHW). Its memory is reused for images of any size.</summary>
internal sealed class PlanarImage
{
    private byte[] _pixels = [];

    /// <summary>Number of planes: 1 (grey) or 3 (R, G, B).</summary>
    public int Channels { get; private set; }

    /// <summary>Height in pixels.</summary>
    public int Height { get; private set; }

    /// <summary>Width in pixels.</summary>
    public int Width { get; private set; }

    /// <summary>Pixels of one plane.</summary>
    public int Area => Height * Width;

    /// <summary>All planes, one after the other.</summary>
    public Span<byte> Pixels => _pixels.AsSpan(0, Channels * Area);

    /// <summary>Gets one plane, row by row.</summary>
    public Span<byte> Plane(int channel) => _pixels.AsSpan(channel * Area, Area);

    /// <summary>Gets one row of a plane.</summary>
    public Span<byte> Row(int channel, int y) => _pixels.AsSpan((channel * Height + y) * Width, Width);

    /// <summary>Sets the size. The pixels are undefined afterwards.</summary>
    public void Reset(int channels, int height, int width)
    {
        (Channels, Height, Width) = (channels, height, width);
        if (_pixels.Length < channels * height * width)
            _pixels = new byte[channels * height * width];
    }

    /// <summary>Sets the size and copies the pixels.</summary>
    public void Set(ReadOnlySpan<byte> pixels, int channels, int height, int width)
    {
        Reset(channels, height, width);
        pixels[..(channels * height * width)].CopyTo(_pixels);
    }
}
