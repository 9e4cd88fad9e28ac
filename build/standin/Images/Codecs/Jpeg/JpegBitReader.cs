#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>Reads the bits of a JPEG scan: removes stuffed zeros, stops at a marker.</summary>
internal ref struct JpegBitReader(ReadOnlySpan<byte> data, int position)
{
    private readonly ReadOnlySpan<byte> _data = data;
    // The next bits from the highest one on, zeros behind them, and how many of them are valid.
    private ulong _bits;
    private int _count;

    /// <summary>Where the next byte is read; once the data before a marker are read, the marker's 0xFF.</summary>
    public int Position { get; private set; } = position;

    /// <summary>The next <paramref name="count"/> bits (1 to 16) without taking them; zeros where there are no more.</summary>
    public int Peek(int count)
    {
        if (_count < count)
            Fill();
        return (int)(_bits >> (64 - count));
    }

    /// <summary>Takes bits; there must be as many.</summary>
    public void Skip(int count)
    {
        if (_count < count)
            throw new ImageFormatException("The JPEG image data end too early.");
        _bits <<= count;
        _count -= count;
    }

    public int Bits(int count)
    {
        if (count == 0)
            return 0;
        int value = Peek(count);
        Skip(count);
        return value;
    }

    /// <summary>Reads a signed value of <paramref name="count"/> bits, whose first bit is 0 for a negative one (T.81, F.2.2.1).</summary>
    public int Signed(int count)
    {
        if (count == 0)
            return 0;
        int value = Bits(count);
        return value < 1 << (count - 1) ? value - (1 << count) + 1 : value;
    }

    /// <summary>Drops the bits that fill the last byte and passes the restart marker with the given number (0 to 7).</summary>
    public void Restart(int number)
    {
        _bits = 0;
        _count = 0;
        int at = Position;
        while (at + 1 < _data.Length && _data[at] == 0xFF && _data[at + 1] == 0xFF)
            at++;
        if (at + 1 >= _data.Length || _data[at] != 0xFF || _data[at + 1] != 0xD0 + number)
            throw new ImageFormatException("A JPEG restart marker is missing.");
        Position = at + 2;
    }

    private void Fill()
    {
        while (_count <= 56 && Position < _data.Length)
        {
            byte value = _data[Position];
            if (value == 0xFF)
            {
                if (Position + 1 >= _data.Length || _data[Position + 1] != 0)
                    return;
                Position++;
            }
            Position++;
            _bits |= (ulong)value << (56 - _count);
            _count += 8;
        }
    }
}
