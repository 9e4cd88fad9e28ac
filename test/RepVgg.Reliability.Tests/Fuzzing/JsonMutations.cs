using System.Globalization;
using System.Text.RegularExpressions;

namespace RepVgg.Reliability.Tests.Fuzzing;

/// <summary>Changes of JSON texts, token by token: other numbers, texts and structure.</summary>
internal static partial class JsonMutations
{
    private static readonly string[] _values =
    [
        "-1", "0", "1.5", "1e999", "-1e999", "1e-999", "1e9", "0.1e1", "00", "NaN", "null", "true", "[]", "{}", "\"\"", "\"\\u0000\\u001b[2J\"", "\"\\ud800\"", "\"0\"", "\"1e5\"", "[[]]", "{\"a\":1}",
        "123456789012345678901234567890", "2147483648", "65536", "100000", "9223372036854775807", "-2147483648",
    ];

    public static string Change(string text, Random random)
    {
        List<string> tokens = [.. Token().Matches(text).Select(match => match.Value)];
        for (int changes = 1 + random.Next(3); changes > 0 && tokens.Count > 0; changes--)
            ChangeOnce(tokens, random);
        return string.Concat(tokens);
    }

    private static void ChangeOnce(List<string> tokens, Random random)
    {
        int at = random.Next(tokens.Count);
        // Values are replaced by values most often, so that the text stays a text of JSON.
        for (int tries = 0; tries < 8 && tokens[at].Length == 1 && "[]{}:,".Contains(tokens[at][0]); tries++)
            at = random.Next(tokens.Count);
        switch (random.Next(8))
        {
            case < TokenMutations.Moves and var kind:
                TokenMutations.Move(tokens, at, kind, random);
                break;
            case 3:
                tokens[at] = ByteMutations.Number(random).ToString(CultureInfo.InvariantCulture);
                break;
            case 4 when random.Next(4) == 0:
                int depth = random.Next(200);
                tokens[at] = new string('[', depth) + tokens[at] + new string(']', depth);
                break;
            case 5 when random.Next(2) == 0:
                TokenMutations.Repeat(tokens, at, 16, 100, random);
                break;
            default:
                tokens[at] = random.Next(3) == 0 ? tokens[random.Next(tokens.Count)] : _values[random.Next(_values.Length)];
                break;
        }
    }

    [GeneratedRegex("""\s+|"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+|.""", RegexOptions.Singleline)]
    private static partial Regex Token();
}
