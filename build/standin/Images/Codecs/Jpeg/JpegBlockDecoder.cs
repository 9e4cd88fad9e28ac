#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>
/// Decodes the coefficients of one block in one scan: sequential (ITU-T T.81, F.2) or one of the four kinds of
/// progressive scans (T.81, G.2).
/// </summary>
internal sealed class JpegBlockDecoder(bool progressive, int first, int last, int high, int low)
{
    // How many more blocks have no further coefficients in this band.
    private int _endOfBandRun;

    /// <summary>The place in a block, row by row, of the k-th coefficient in zigzag order.</summary>
    public static ReadOnlySpan<byte> Zigzag =>
    [
        0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
        35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
    ];

    /// <summary>Forgets the run of finished blocks: at the beginning and at restart markers.</summary>
    public void Restart() => _endOfBandRun = 0;

    public void Decode(ref JpegBitReader reader, JpegComponent component, Span<short> block, JpegHuffmanTable? dc, JpegHuffmanTable? ac)
    {
        if (!progressive)
        {
            DecodeDc(ref reader, component, block, dc!);
            DecodeSequentialAc(ref reader, block, ac!);
        }
        else if (first == 0)
        {
            if (high == 0)
                DecodeDc(ref reader, component, block, dc!);
            else if (reader.Bits(1) != 0)
                block[0] |= (short)(1 << low);
        }
        else if (high == 0)
        {
            DecodeBand(ref reader, block, ac!);
        }
        else
        {
            RefineBand(ref reader, block, ac!);
        }
    }

    private void DecodeDc(ref JpegBitReader reader, JpegComponent component, Span<short> block, JpegHuffmanTable table)
    {
        int size = table.Read(ref reader);
        if (size > 15)
            throw new ImageFormatException("A JPEG DC value has too many bits.");
        component.Predicted += reader.Signed(size);
        block[0] = (short)(component.Predicted << low);
    }

    private static void DecodeSequentialAc(ref JpegBitReader reader, Span<short> block, JpegHuffmanTable table)
    {
        for (int k = 1; k < 64; k++)
        {
            int symbol = table.Read(ref reader), size = symbol & 15;
            if (size == 0)
            {
                if (symbol != 0xF0)
                    break;
                k += 15;
                continue;
            }
            k += symbol >> 4;
            block[Place(k)] = (short)reader.Signed(size);
        }
    }

    private void DecodeBand(ref JpegBitReader reader, Span<short> block, JpegHuffmanTable table)
    {
        if (_endOfBandRun > 0)
        {
            _endOfBandRun--;
            return;
        }
        for (int k = first; k <= last; k++)
        {
            int symbol = table.Read(ref reader), run = symbol >> 4, size = symbol & 15;
            if (size == 0)
            {
                if (run < 15)
                {
                    _endOfBandRun = (1 << run) - 1 + reader.Bits(run);
                    break;
                }
                k += 15;
                continue;
            }
            k += run;
            block[Place(k)] = (short)(reader.Signed(size) << low);
        }
    }

    private void RefineBand(ref JpegBitReader reader, Span<short> block, JpegHuffmanTable table)
    {
        int k = first;
        while (_endOfBandRun == 0 && k <= last)
        {
            int symbol = table.Read(ref reader), zeros = symbol >> 4, size = symbol & 15;
            int fresh = 0;
            if (size > 1)
                throw new ImageFormatException("A JPEG refinement scan holds a wrong code.");
            if (size == 1)
            {
                fresh = reader.Bits(1) != 0 ? 1 << low : -1 << low;
            }
            else if (zeros < 15)
            {
                // This block's rest belongs to the run, so it is counted too.
                _endOfBandRun = (1 << zeros) + reader.Bits(zeros);
                break;
            }
            k = Refine(ref reader, block, k, zeros);
            if (fresh != 0)
                block[Place(k)] = (short)fresh;
            k++;
        }
        if (_endOfBandRun > 0)
        {
            Refine(ref reader, block, k, int.MaxValue);
            _endOfBandRun--;
        }
    }

    /// <summary>Reads the next bit of every coefficient known so far, up to the zero that ends a run of <paramref name="zeros"/>.</summary>
    private int Refine(ref JpegBitReader reader, Span<short> block, int k, int zeros)
    {
        for (; k <= last; k++)
        {
            ref short value = ref block[Zigzag[k]];
            if (value == 0)
            {
                if (zeros-- == 0)
                    break;
            }
            else if (reader.Bits(1) != 0 && (Math.Abs((int)value) & (1 << low)) == 0)
            {
                value += (short)(value > 0 ? 1 << low : -1 << low);
            }
        }
        return k;
    }

    private static int Place(int k)
        => k < 64 ? Zigzag[k] : throw new ImageFormatException("A JPEG block has more than 64 coefficients.");
}
