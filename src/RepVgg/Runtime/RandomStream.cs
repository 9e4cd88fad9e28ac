namespace RepVgg.Runtime;

/// <summary>
/// A pseudorandom number generator seeded by the run's seed, a purpose and up to two indices, so that the numbers do not
/// depend on the order of work or on the number of threads.
/// </summary>
/// <remarks>
/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014): it gives the same numbers
/// on every platform and .NET version.
/// </remarks>
internal struct RandomStream
{
    private const ulong Golden = 0x9E3779B97F4A7C15;
    private ulong _state;

    /// <summary>The use of the numbers. Streams with the same seed and different purposes produce different numbers.</summary>
    public enum Purpose : ulong
    {
        Split = 1,
        Shuffle = 2,
        Augment = 3,
        Dropout = 4,
        StochasticDepth = 5,
    }

    /// <summary>Creates a SplitMix64 generator whose initial state is <paramref name="seed"/>.</summary>
    public RandomStream(ulong seed) => _state = seed;

    public RandomStream(ulong seed, Purpose purpose, ulong first, ulong second = 0)
    {
        _state = Mix(Mix(Mix(Mix(seed + Golden) + (ulong)purpose * Golden) + first * Golden) + second * Golden);
    }

    public ulong NextUInt64() => Mix(_state += Golden);

    /// <summary>Returns a uniform integer in 0 .. bound - 1, without modulo bias (Lemire's multiply-and-reject method).</summary>
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

    /// <summary>Returns a uniform number in [0, 1) with 53 random bits.</summary>
    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Permutes the values at random by the Fisher-Yates algorithm.</summary>
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
