#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>One scan of a JPEG image: which components and coefficients it codes, and with which tables.</summary>
internal sealed class JpegScan
{
    private readonly JpegFrame _frame;
    private readonly JpegComponent[] _components;
    private readonly JpegHuffmanTable?[] _dc;
    private readonly JpegHuffmanTable?[] _ac;
    private readonly JpegBlockDecoder _decoder;
    private readonly int _restartInterval;

    /// <param name="frame">The frame that the scan belongs to.</param>
    /// <param name="segment">The scan header (T.81, B.2.3) behind its length.</param>
    /// <param name="dcTables">The DC tables as they are now.</param>
    /// <param name="acTables">The AC tables as they are now.</param>
    /// <param name="restartInterval">MCUs between restart markers, 0 for none.</param>
    public JpegScan(JpegFrame frame, ReadOnlySpan<byte> segment, JpegHuffmanTable?[] dcTables, JpegHuffmanTable?[] acTables, int restartInterval)
    {
        int count = segment.Length > 0 ? segment[0] : 0;
        if (count is < 1 or > 4 || segment.Length != 4 + 2 * count)
            throw new ImageFormatException("The JPEG scan header has a wrong length.");
        _frame = frame;
        _restartInterval = restartInterval;
        _components = new JpegComponent[count];
        _dc = new JpegHuffmanTable?[count];
        _ac = new JpegHuffmanTable?[count];
        int blocks = 0;
        for (int i = 0; i < count; i++)
        {
            byte id = segment[1 + 2 * i], tables = segment[2 + 2 * i];
            JpegComponent component = Array.Find(frame.Components, c => c.Id == id)
                ?? throw new ImageFormatException("A JPEG scan names a component that the frame lacks.");
            if (Array.IndexOf(_components, component) >= 0 || tables >> 4 > 3 || (tables & 15) > 3)
                throw new ImageFormatException("A JPEG scan names a component twice or a wrong table.");
            _components[i] = component;
            _dc[i] = dcTables[tables >> 4];
            _ac[i] = acTables[tables & 15];
            blocks += component.Horizontal * component.Vertical;
        }
        if (count > 1 && blocks > 10)
            throw new ImageFormatException("A JPEG scan has too many blocks in an MCU.");
        int first = segment[^3], last = segment[^2], high = segment[^1] >> 4, low = segment[^1] & 15;
        if (frame.Progressive)
        {
            bool fits = first == 0 ? last == 0 : first <= last && last < 64 && count == 1;
            if (!fits || low > 13 || high != 0 && high != low + 1)
                throw new ImageFormatException("A JPEG scan has wrong progression parameters.");
        }
        else
        {
            (first, last, high, low) = (0, 63, 0, 0);
        }
        _decoder = new JpegBlockDecoder(frame.Progressive, first, last, high, low);
        CheckTables(first, last, high);
    }

    public IReadOnlyList<JpegComponent> Components => _components;

    /// <summary>Decodes the scan's data from <paramref name="position"/> on; returns where they end.</summary>
    public int Decode(ReadOnlySpan<byte> data, int position)
    {
        var reader = new JpegBitReader(data, position);
        JpegComponent only = _components[0];
        bool interleaved = _components.Length > 1;
        int wide = interleaved ? _frame.McusWide : only.BlocksWide, high = interleaved ? _frame.McusHigh : only.BlocksHigh;
        long total = (long)wide * high;
        Reset();
        for (long mcu = 0; mcu < total; mcu++)
        {
            if (_restartInterval > 0 && mcu > 0 && mcu % _restartInterval == 0)
            {
                reader.Restart((int)((mcu / _restartInterval - 1) & 7));
                Reset();
            }
            int row = (int)(mcu / wide), column = (int)(mcu % wide);
            if (interleaved)
                DecodeMcu(ref reader, row, column);
            else
                _decoder.Decode(ref reader, only, only.Block(row, column), _dc[0], _ac[0]);
        }
        return reader.Position;
    }

    private void DecodeMcu(ref JpegBitReader reader, int mcuRow, int mcuColumn)
    {
        for (int i = 0; i < _components.Length; i++)
        {
            JpegComponent c = _components[i];
            for (int v = 0; v < c.Vertical; v++)
            {
                for (int h = 0; h < c.Horizontal; h++)
                    _decoder.Decode(ref reader, c, c.Block(mcuRow * c.Vertical + v, mcuColumn * c.Horizontal + h), _dc[i], _ac[i]);
            }
        }
    }

    private void Reset()
    {
        foreach (JpegComponent c in _components)
            c.Predicted = 0;
        _decoder.Restart();
    }

    private void CheckTables(int first, int last, int high)
    {
        for (int i = 0; i < _components.Length; i++)
        {
            if (first == 0 && high == 0 && _dc[i] is null || last > 0 && _ac[i] is null)
                throw new ImageFormatException("A JPEG scan uses a Huffman table that the file lacks.");
        }
    }
}
