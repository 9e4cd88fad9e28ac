namespace RepVgg.Inference.Execution;

/// <summary>Address of raw pixels of images, [image][channel][row][column] (NCHW), as bytes or as floats.</summary>
internal readonly unsafe struct PixelPointer
{
    private readonly void* _start;

    /// <summary>The address of pixels that are floats.</summary>
    public PixelPointer(float* start) => _start = start;

    /// <summary>The address of pixels that are bytes.</summary>
    public PixelPointer(byte* start)
    {
        _start = start;
        AreBytes = true;
    }

    /// <summary>Whether the pixels are bytes.</summary>
    public bool AreBytes { get; }

    /// <summary>The address, if the pixels are floats.</summary>
    public float* Floats => (float*)_start;

    /// <summary>The address, if the pixels are bytes.</summary>
    public byte* Bytes => (byte*)_start;

    /// <summary>The address of pixels that are floats.</summary>
    public static implicit operator PixelPointer(float* start) => new(start);

    /// <summary>The address after a number of values.</summary>
    public PixelPointer Skip(long values) => AreBytes ? new(Bytes + values) : new(Floats + values);
}
