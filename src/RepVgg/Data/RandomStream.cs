namespace RepVgg.Data;

/// <summary>A small random generator keyed by what it is for, so that no draw depends on the order of work or on threads.</summary>
/// <remarks>
/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014): the same numbers on
/// every platform and in every version.
/// </remarks>
internal struct RandomStream
{
    private const ulong Golden = 0x9E3779B97F4A7C15;
    private ulong _state;

    /// <summary>What the numbers are for; keeps the streams of one seed apart.</summary>
    public enum Purpose : ulong
    {
        Split = 1,
        Shuffle = 2,
        Augment = 3,
        Dropout = 4,
        StochasticDepth = 5,
    }

    /// <summary>SplitMix64 with that seed as its first state.</summary>
    public RandomStream(ulong seed) => _state = seed;

    public RandomStream(ulong seed, Purpose purpose, ulong first, ulong second = 0)
    {
        _state = Mix(Mix(Mix(Mix(seed + Golden) + (ulong)purpose * Golden) + first * Golden) + second * Golden);
    }

    public ulong NextUInt64() => Mix(_state += Golden);

    /// <summary>Uniform in 0 .. bound - 1, without bias (Lemire's multiply-and-reject).</summary>
    public int Next(int bound)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bound, 1);
        ulong range = (ulong)bound;
        ulong threshold = (0 - range) % range;
        while (true)
        {
            ulong high = Math.BigMul(NextUInt64(), range, out ulong low);
            if (low >= threshold)
                return (int)high;
        }
    }

    /// <summary>Uniform in [0, 1), 53 bits.</summary>
    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Fisher-Yates.</summary>
    public void Shuffle(Span<int> values)
    {
        for (int i = values.Length - 1; i > 0; i--)
        {
            int j = Next(i + 1);
            (values[i], values[j]) = (values[j], values[i]);
        }
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
