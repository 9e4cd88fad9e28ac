namespace RepVgg.Reliability.Tests.Fuzzing;

/// <summary>Changes of a list of tokens that do not depend on what the tokens are.</summary>
internal static class TokenMutations
{
    /// <summary>Number of the kinds of change of <see cref="Move"/>.</summary>
    public const int Moves = 3;

    /// <summary>Removes a token, inserts a copy of it elsewhere, or exchanges it with another one.</summary>
    /// <param name="tokens">The tokens, at least one.</param>
    /// <param name="at">Index of the token.</param>
    /// <param name="kind">The kind of change, 0 to <see cref="Moves"/> - 1.</param>
    /// <param name="random">Chooses the other place.</param>
    public static void Move<T>(List<T> tokens, int at, int kind, Random random)
    {
        switch (kind)
        {
            case 0:
                tokens.RemoveAt(at);
                break;
            case 1:
                tokens.Insert(random.Next(tokens.Count), tokens[at]);
                break;
            default:
                int other = random.Next(tokens.Count);
                (tokens[at], tokens[other]) = (tokens[other], tokens[at]);
                break;
        }
    }

    /// <summary>Repeats a token and some that follow it.</summary>
    /// <param name="tokens">The tokens, at least one.</param>
    /// <param name="at">Index of the first token.</param>
    /// <param name="most">Maximum number of tokens.</param>
    /// <param name="repeats">Number of repeats, exclusive upper bound.</param>
    /// <param name="random">Chooses both numbers.</param>
    public static void Repeat<T>(List<T> tokens, int at, int most, int repeats, Random random)
    {
        int count = 1 + random.Next(Math.Min(most, tokens.Count - at));
        var part = tokens.GetRange(at, count);
        for (int left = random.Next(repeats); left > 0; left--)
            tokens.InsertRange(at, part);
    }
}
