#nullable enable
using System.Buffers.Binary;

namespace Microsoft.ML.Standin.Images;

/// <summary>
/// Decodes JPEG images (ITU-T T.81) with Huffman coding and 8 bits a sample: baseline, extended sequential and
/// progressive; gray, YCbCr, RGB, CMYK and YCCK; restart markers; every integral subsampling. EXIF data are not looked at.
/// </summary>
internal sealed class JpegDecoder(byte[] data)
{
    // More scans than any real file has, and few enough that a small file cannot keep the decoder busy.
    private const int MaxScans = 100;

    private readonly ushort[]?[] _quantization = new ushort[]?[4];
    private readonly JpegHuffmanTable?[] _dc = new JpegHuffmanTable?[4];
    private readonly JpegHuffmanTable?[] _ac = new JpegHuffmanTable?[4];
    private readonly HashSet<JpegComponent> _scanned = [];
    private JpegFrame? _frame;
    private int _restartInterval;
    private int _scans;
    private bool _jfif;
    private int _adobeTransform = -1;

    public DecodedImage Decode()
    {
        int at = 2;
        while (true)
        {
            int marker = NextMarker(ref at);
            if (marker == 0xD9)
                break;
            if (marker < 0)
            {
                // A sequential image is whole once each component was scanned; of a progressive one more may be missing.
                if (_frame is { Progressive: false } && _scanned.Count == _frame.Components.Length)
                    break;
                throw new ImageFormatException("The JPEG file ends too early.");
            }
            if (marker is 0x01 or (>= 0xD0 and <= 0xD7))
                continue;
            if (data.Length - at < 2)
                throw new ImageFormatException("The JPEG file ends too early.");
            int length = BinaryPrimitives.ReadUInt16BigEndian(data.AsSpan(at));
            if (length < 2 || length > data.Length - at)
                throw new ImageFormatException("The JPEG file ends within a segment.");
            var segment = data.AsSpan(at + 2, length - 2);
            at += length;
            if (marker == 0xDA)
                at = ReadScan(segment, at);
            else
                ReadSegment(marker, segment);
        }
        if (_frame is null || _scanned.Count != _frame.Components.Length)
            throw new ImageFormatException("The JPEG file lacks image data.");
        return Render(_frame);
    }

    /// <summary>Finds the next marker and passes it; -1 at the end of the data.</summary>
    private int NextMarker(ref int at)
    {
        while (true)
        {
            while (at < data.Length && data[at] != 0xFF)
                at++;
            while (at < data.Length && data[at] == 0xFF)
                at++;
            if (at >= data.Length)
                return -1;
            int marker = data[at++];
            if (marker != 0)
                return marker;
        }
    }

    private void ReadSegment(int marker, ReadOnlySpan<byte> segment)
    {
        switch (marker)
        {
            case 0xC0 or 0xC1 or 0xC2:
                if (_frame is not null)
                    throw new ImageFormatException("The JPEG file has two frames.");
                _frame = new JpegFrame(segment, progressive: marker == 0xC2, data.Length);
                break;
            case 0xC4:
                ReadHuffmanTables(segment);
                break;
            case (>= 0xC3 and <= 0xCF) and not 0xC8 and not 0xCC:
                throw new ImageFormatException("A lossless, hierarchical or arithmetically coded JPEG image cannot be decoded.");
            case 0xDB:
                ReadQuantizationTables(segment);
                break;
            case 0xDD:
                if (segment.Length != 2)
                    throw new ImageFormatException("The JPEG restart interval has a wrong length.");
                _restartInterval = BinaryPrimitives.ReadUInt16BigEndian(segment);
                break;
            case 0xE0:
                _jfif |= segment.StartsWith("JFIF\0"u8);
                break;
            case 0xEE:
                if (segment.Length >= 12 && segment.StartsWith("Adobe"u8))
                    _adobeTransform = segment[11];
                break;
            case 0xD8:
                throw new ImageFormatException("The JPEG file begins twice.");
        }
    }

    private int ReadScan(ReadOnlySpan<byte> segment, int at)
    {
        if (_frame is null)
            throw new ImageFormatException("A JPEG scan comes before the frame.");
        if (++_scans > MaxScans)
            throw new ImageFormatException($"The JPEG file has more than {MaxScans} scans.");
        var scan = new JpegScan(_frame, segment, _dc, _ac, _restartInterval);
        foreach (JpegComponent c in scan.Components)
        {
            c.Quantization ??= _quantization[c.QuantizationTable]
                ?? throw new ImageFormatException("A JPEG component uses a quantization table that the file lacks.");
            _scanned.Add(c);
        }
        return scan.Decode(data, at);
    }

    private void ReadQuantizationTables(ReadOnlySpan<byte> segment)
    {
        while (segment.Length > 0)
        {
            int wide = segment[0] >> 4, index = segment[0] & 15;
            int size = 64 * (wide + 1);
            if (wide > 1 || index > 3 || segment.Length < 1 + size)
                throw new ImageFormatException("A JPEG quantization table is damaged.");
            var table = new ushort[64];
            for (int k = 0; k < 64; k++)
            {
                table[JpegBlockDecoder.Zigzag[k]] = wide == 0
                    ? segment[1 + k]
                    : BinaryPrimitives.ReadUInt16BigEndian(segment[(1 + 2 * k)..]);
            }
            _quantization[index] = table;
            segment = segment[(1 + size)..];
        }
    }

    private void ReadHuffmanTables(ReadOnlySpan<byte> segment)
    {
        while (segment.Length > 0)
        {
            if (segment.Length < 17)
                throw new ImageFormatException("A JPEG Huffman table is damaged.");
            int kind = segment[0] >> 4, index = segment[0] & 15, count = 0;
            ReadOnlySpan<byte> counts = segment.Slice(1, 16);
            foreach (byte n in counts)
                count += n;
            if (kind > 1 || index > 3 || count > 256 || segment.Length < 17 + count)
                throw new ImageFormatException("A JPEG Huffman table is damaged.");
            (kind == 0 ? _dc : _ac)[index] = new JpegHuffmanTable(counts, segment.Slice(17, count));
            segment = segment[(17 + count)..];
        }
    }

    private JpegColorModel ColorModel(JpegFrame frame)
    {
        JpegComponent[] c = frame.Components;
        if (c.Length == 1)
            return JpegColorModel.Gray;
        if (c.Length == 4)
            return _adobeTransform == 2 ? JpegColorModel.Ycck : JpegColorModel.Cmyk;
        if (_jfif)
            return JpegColorModel.YCbCr;
        bool rgb = _adobeTransform >= 0 ? _adobeTransform == 0 : c[0].Id == 'R' && c[1].Id == 'G' && c[2].Id == 'B';
        return rgb ? JpegColorModel.Rgb : JpegColorModel.YCbCr;
    }

    private DecodedImage Render(JpegFrame frame)
    {
        JpegColorModel model = ColorModel(frame);
        JpegUpsampler[] planes = Array.ConvertAll(frame.Components, c => new JpegUpsampler(frame, c));
        byte[][] rows = Array.ConvertAll(planes, p => new byte[p.PaddedWidth]);
        var image = new DecodedImage(frame.Width, frame.Height, opaque: true);
        for (int y = 0; y < frame.Height; y++)
        {
            for (int i = 0; i < planes.Length; i++)
                planes[i].WriteRow(y, rows[i]);
            JpegColors.WriteRow(model, rows, frame.Width, image.Pixels.AsSpan(4 * y * frame.Width, 4 * frame.Width));
        }
        return image;
    }
}
