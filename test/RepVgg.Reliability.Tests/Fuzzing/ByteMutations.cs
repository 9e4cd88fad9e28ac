using System.Buffers.Binary;

namespace RepVgg.Reliability.Tests.Fuzzing;

/// <summary>Changes of bytes without regard to what they mean, and values at the limits of types.</summary>
internal static class ByteMutations
{
    private static readonly byte[] _interesting = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, (byte)'.', (byte)'R', (byte)'(', (byte)'{'];

    private static readonly long[] _numbers =
    [
        0, 1, 2, 3, 4, 7, 8, 16, 255, 256, 4095, 32767, 65535, 65536, 100_000, 1 << 20, 16_777_216, int.MaxValue - 1L, int.MaxValue, 1L << 31, uint.MaxValue, 1L << 32, 1L << 40,
        long.MaxValue, long.MinValue, int.MinValue, -1, -2,
    ];

    /// <summary>Makes one to four changes.</summary>
    public static byte[] Change(ReadOnlySpan<byte> file, Random random)
    {
        var bytes = new List<byte>(file.Length + 64);
        bytes.AddRange(file);
        for (int changes = 1 + random.Next(4); changes > 0 && bytes.Count > 0; changes--)
            ChangeOnce(bytes, random);
        return [.. bytes];
    }

    /// <summary>An integer that is at, or beyond, a limit of a type or of a plausible value.</summary>
    public static long Number(Random random) => random.Next(4) == 0 ? random.NextInt64() >> random.Next(64) : _numbers[random.Next(_numbers.Length)];

    private static void ChangeOnce(List<byte> bytes, Random random)
    {
        int at = random.Next(bytes.Count);
        switch (random.Next(9))
        {
            case 0:
                bytes[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1:
                bytes[at] = (byte)random.Next(256);
                break;
            case 2:
                bytes[at] = _interesting[random.Next(_interesting.Length)];
                break;
            case 3:
                bytes.RemoveRange(at, Math.Min(bytes.Count - at, 1 + random.Next(8)));
                break;
            case 4:
                int from = random.Next(bytes.Count);
                bytes.InsertRange(at, bytes.GetRange(from, Math.Min(bytes.Count - from, 1 + random.Next(8))));
                break;
            case 5:
                Put(bytes, at, random.Next(2) == 0 ? 4 : 8, Number(random), bigEndian: random.Next(2) == 0);
                break;
            case 6 when random.Next(4) == 0:
                bytes.RemoveRange(at, bytes.Count - at);
                break;
            case 7:
                Put(bytes, at, 2, Number(random), bigEndian: random.Next(2) == 0);
                break;
            default:
                int other = random.Next(bytes.Count);
                (bytes[at], bytes[other]) = (bytes[other], bytes[at]);
                break;
        }
    }

    private static void Put(List<byte> bytes, int at, int size, long value, bool bigEndian)
    {
        Span<byte> number = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(number, value);
        number = number[..size];
        if (bigEndian)
            number.Reverse();
        for (int i = 0; i < size && at + i < bytes.Count; i++)
            bytes[at + i] = number[i];
    }
}
