#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>
/// The inverse discrete cosine transform of 8 x 8 blocks in integers: Loeffler, Ligtenberg and Moschytz, "Practical fast
/// 1-D DCT algorithms with 11 multiplications" (ICASSP 1989), columns first, constants with 13 fractional bits and two
/// extra bits between the passes: the precision of the usual "slow integer" decoders, so that results agree with theirs.
/// </summary>
internal static class JpegInverseDct
{
    private const int ConstantBits = 13, ExtraBits = 2;

    // Cosines and sums of cosines, times 2^13.
    private const int F0298 = 2446, F0390 = 3196, F0541 = 4433, F0765 = 6270, F0899 = 7373, F1175 = 9633;
    private const int F1501 = 12299, F1847 = 15137, F1961 = 16069, F2053 = 16819, F2562 = 20995, F3072 = 25172;

    /// <summary>Writes the samples (0..255) of a block at <paramref name="output"/>, rows <paramref name="stride"/> apart.</summary>
    public static void Transform(ReadOnlySpan<short> coefficients, ReadOnlySpan<ushort> quantization, Span<byte> output, int stride)
    {
        if (!coefficients[1..64].ContainsAnyExcept((short)0))
        {
            byte flat = Sample((((coefficients[0] * quantization[0]) << ExtraBits) + (1 << (ExtraBits + 2))) >> (ExtraBits + 3));
            for (int y = 0; y < 8; y++)
                output.Slice(y * stride, 8).Fill(flat);
            return;
        }
        Span<int> work = stackalloc int[64];
        for (int i = 0; i < 64; i++)
            work[i] = coefficients[i] * quantization[i];
        for (int x = 0; x < 8; x++)
            Pass(work[x..], 8, ConstantBits - ExtraBits);
        for (int y = 0; y < 8; y++)
        {
            Span<int> row = work.Slice(8 * y, 8);
            Pass(row, 1, ConstantBits + ExtraBits + 3);
            Span<byte> target = output.Slice(y * stride, 8);
            for (int x = 0; x < 8; x++)
                target[x] = Sample(row[x]);
        }
    }

    private static byte Sample(int value) => (byte)Math.Clamp(value + 128, 0, 255);

    /// <summary>One dimension, in place: eight values <paramref name="step"/> apart, rounded and shifted right at the end.</summary>
    private static void Pass(Span<int> v, int step, int shift)
    {
        // Even half: a rotation of v2, v6 and a butterfly of v0, v4.
        int rotated = (v[2 * step] + v[6 * step]) * F0541;
        int e2 = rotated - v[6 * step] * F1847, e3 = rotated + v[2 * step] * F0765;
        int e0 = (v[0] + v[4 * step]) << ConstantBits, e1 = (v[0] - v[4 * step]) << ConstantBits;
        int a0 = e0 + e3, a3 = e0 - e3, a1 = e1 + e2, a2 = e1 - e2;

        // Odd half: v1, v3, v5, v7.
        int p = v[7 * step], q = v[5 * step], r = v[3 * step], s = v[step];
        int z5 = (p + r + q + s) * F1175;
        int z1 = (p + s) * -F0899, z2 = (q + r) * -F2562, z3 = z5 - (p + r) * F1961, z4 = z5 - (q + s) * F0390;
        int b0 = p * F0298 + z1 + z3, b1 = q * F2053 + z2 + z4, b2 = r * F3072 + z2 + z3, b3 = s * F1501 + z1 + z4;

        int half = 1 << (shift - 1);
        v[0] = (a0 + b3 + half) >> shift;
        v[7 * step] = (a0 - b3 + half) >> shift;
        v[step] = (a1 + b2 + half) >> shift;
        v[6 * step] = (a1 - b2 + half) >> shift;
        v[2 * step] = (a2 + b1 + half) >> shift;
        v[5 * step] = (a2 - b1 + half) >> shift;
        v[3 * step] = (a3 + b0 + half) >> shift;
        v[4 * step] = (a3 - b0 + half) >> shift;
    }
}
