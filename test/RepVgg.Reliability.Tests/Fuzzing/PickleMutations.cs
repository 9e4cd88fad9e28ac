using System.Buffers.Binary;
using System.Text;

namespace RepVgg.Reliability.Tests.Fuzzing;

/// <summary>Changes of pickles, instruction by instruction: removed, repeated, moved, replaced, and given other numbers and lengths.</summary>
internal sealed class PickleMutations
{
    private const int MaximumRepeats = 300;

    private static readonly byte[][] _instructions =
    [
        .. "(.012NQRabdo}elt)]s".Select(code => new[] { (byte)code }), [0x80, 2], [0x80, 4], [0x81], [0x85], [0x86], [0x87], [0x88], [0x89], [0x8f], [0x90], [0x91], [0x92], [0x93], [0x94], [0x97], [0x98],
        [.. "cos\nsystem\n"u8], [.. "cposix\nsystem\n"u8], [.. "cbuiltins\neval\n"u8], [.. "ctorch\nFloatStorage\n"u8], [.. "ccollections\nOrderedDict\n"u8], [.. "ctorch._utils\n_rebuild_tensor_v2\n"u8],
        [.. "I1\n"u8], [.. "I99999999999999999999\n"u8], [.. "L5L\n"u8], [.. "F1e999\n"u8], [.. "S'x'\n"u8], [.. "Vx\n"u8], [.. "Px\n"u8], [.. "g1\n"u8], [.. "p1\n"u8], [.. "ios\nsystem\n"u8],
        [.. "K\u0001"u8], [.. "h\0"u8], [.. "q\0"u8], [.. "M\0\u0001"u8], [.. "J"u8, 0xff, 0xff, 0xff, 0x7f], [.. "G"u8, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], [0x8a, 1, 5], [0x8a, 255], [0x8b, 0xff, 0xff, 0xff, 0x7f],
        [.. "X\u0002\0\0\0ab"u8], [.. "U\u0001a"u8], [.. "C\u0001a"u8], [0x8c, 1, (byte)'a'], [0x8d, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0, 0x7f], [0x96, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ];

    private readonly List<byte[]> _tokens;

    /// <param name="pickle">One sound pickle, or several and what follows them.</param>
    public PickleMutations(byte[] pickle) => _tokens = Split(pickle);

    public byte[] Change(Random random)
    {
        var tokens = new List<byte[]>(_tokens);
        for (int changes = 1 + random.Next(4); changes > 0 && tokens.Count > 0; changes--)
            ChangeOnce(tokens, random);
        return [.. tokens.SelectMany(token => token)];
    }

    private static void ChangeOnce(List<byte[]> tokens, Random random)
    {
        int at = random.Next(tokens.Count);
        switch (tokens[at].Length == 0 ? 0 : random.Next(9))
        {
            case < TokenMutations.Moves and var kind:
                TokenMutations.Move(tokens, at, kind, random);
                break;
            case 3:
                tokens.Insert(at, _instructions[random.Next(_instructions.Length)]);
                break;
            case 4:
                tokens[at] = _instructions[random.Next(_instructions.Length)];
                break;
            case 5 when random.Next(4) == 0:
                TokenMutations.Repeat(tokens, at, 8, MaximumRepeats, random);
                break;
            case 6:
                tokens[at] = ByteMutations.Change(tokens[at], random);
                break;
            default:
                tokens[at] = WithOtherNumber(tokens[at], random);
                break;
        }
    }

    private static byte[] WithOtherNumber(byte[] token, Random random)
    {
        byte[] changed = [.. token];
        long number = ByteMutations.Number(random);
        Span<byte> value = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(value, number);
        switch ((char)token[0])
        {
            case 'K' or 'h' or 'q' or 'U' or '\u008c' or '\u0080' or '\u008a' when token.Length > 1:
                changed[1] = (byte)number;
                return changed;
            case 'M' when token.Length == 3:
                value[..2].CopyTo(changed.AsSpan(1));
                return changed;
            case 'J' or 'X' or 'T' or 'B' or 'r' or 'j' when token.Length >= 5:
                value[..4].CopyTo(changed.AsSpan(1));
                return changed;
            case 'I':
                return Encoding.ASCII.GetBytes($"I{number}\n");
            default:
                return [.. "J"u8, .. value[..4]];
        }
    }

    private static List<byte[]> Split(byte[] pickle)
    {
        var tokens = new List<byte[]>();
        int at = 0;
        while (at < pickle.Length)
        {
            // After the last pickle of a file, the rest is one token.
            bool ended = tokens.Count > 0 && tokens[^1] is [(byte)'.'] && pickle[at] is not (0x80 or (byte)'L');
            int length = ended ? pickle.Length - at : Math.Clamp(LengthAt(pickle, at), 1, pickle.Length - at);
            tokens.Add(pickle[at..(at + length)]);
            at += length;
        }
        return tokens;
    }

    private static int LengthAt(byte[] pickle, int at)
    {
        var argument = pickle.AsSpan(at + 1);
        long counted = (char)pickle[at] switch
        {
            'K' or 'q' or 'h' or '\u0080' or '\u0082' => 1,
            'U' or 'C' or '\u008c' or '\u008a' when argument.Length >= 1 => 1 + argument[0],
            'M' or '\u0083' => 2,
            'J' or 'r' or 'j' or '\u0084' => 4,
            'X' or 'T' or 'B' or '\u008b' when argument.Length >= 4 => 4 + BinaryPrimitives.ReadUInt32LittleEndian(argument),
            'G' or '\u0095' => 8,
            '\u008d' or '\u008e' or '\u0096' when argument.Length >= 8 => 8 + BinaryPrimitives.ReadInt64LittleEndian(argument),
            'F' or 'I' or 'L' or 'P' or 'S' or 'V' or 'g' or 'p' => argument.IndexOf((byte)'\n') + 1,
            'c' or 'i' => argument.IndexOf((byte)'\n') + 1 + argument[(argument.IndexOf((byte)'\n') + 1)..].IndexOf((byte)'\n') + 1,
            _ => 0,
        };
        return 1 + (int)Math.Clamp(counted, 0, argument.Length);
    }
}
