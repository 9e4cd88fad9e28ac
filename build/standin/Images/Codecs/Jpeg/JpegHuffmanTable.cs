#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>A Huffman table of a JPEG file (ITU-T T.81, C and F.2.2.3), with a table look-up for the short codes.</summary>
internal sealed class JpegHuffmanTable
{
    public const int LookupBits = 9;

    private readonly byte[] _symbols;
    // By code length: the first code that is too large for it, and what to add to a code to find its symbol.
    private readonly int[] _limit = new int[17];
    private readonly int[] _offset = new int[17];
    // By the next bits: code length in the high byte, symbol in the low one; 0 for longer codes.
    private readonly ushort[] _lookup = new ushort[1 << LookupBits];

    /// <param name="counts">How many codes there are of each length, 1 to 16.</param>
    /// <param name="symbols">The symbols in the order of their codes.</param>
    public JpegHuffmanTable(ReadOnlySpan<byte> counts, ReadOnlySpan<byte> symbols)
    {
        _symbols = symbols.ToArray();
        int code = 0, index = 0;
        for (int length = 1; length <= 16; length++, code <<= 1)
        {
            _offset[length] = index - code;
            for (int i = 0; i < counts[length - 1]; i++, code++, index++)
            {
                if (length > LookupBits)
                    continue;
                int first = code << (LookupBits - length);
                for (int k = 0; k < 1 << (LookupBits - length) && first + k < _lookup.Length; k++)
                    _lookup[first + k] = (ushort)(length << 8 | _symbols[index]);
            }
            if (code > 1 << length)
                throw new ImageFormatException("A JPEG Huffman table has too many codes.");
            _limit[length] = code;
        }
    }

    /// <summary>Reads the next symbol.</summary>
    public int Read(ref JpegBitReader reader)
    {
        int found = _lookup[reader.Peek(LookupBits)];
        if (found != 0)
        {
            reader.Skip(found >> 8);
            return found & 255;
        }
        int bits = reader.Peek(16);
        for (int length = LookupBits + 1; length <= 16; length++)
        {
            int code = bits >> (16 - length);
            if (code < _limit[length])
            {
                reader.Skip(length);
                return _symbols[code + _offset[length]];
            }
        }
        throw new ImageFormatException("The JPEG image data hold an unknown code.");
    }
}
