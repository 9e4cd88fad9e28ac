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
        Mix = 6,
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

    /// <summary>Returns a uniform number in [low, high).</summary>
    public double NextDouble(double low, double high) => low + NextDouble() * (high - low);

    /// <summary>Returns a number of the standard normal distribution, by the method of Box and Muller.</summary>
    public double NextNormal() => Math.Sqrt(-2 * Math.Log(1 - NextDouble())) * Math.Cos(2 * Math.PI * NextDouble());

    /// <summary>Returns a number of the beta distribution with two equal parameters, as X / (X + Y) with X and Y of a gamma distribution.</summary>
    /// <param name="alpha">The parameter, more than 0.</param>
    public double NextBeta(double alpha)
    {
        // With small parameters both can be 0 in double precision, so that the ratio is computed of logarithms.
        double first = NextLogGamma(alpha), second = NextLogGamma(alpha);
        return 1 / (1 + Math.Exp(second - first));
    }

    /// <summary>Returns the logarithm of a number of the gamma distribution with scale 1.</summary>
    /// <remarks>Source: Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 2000; for alpha below 1, of alpha + 1 and a uniform number to the power of 1 / alpha.</remarks>
    private double NextLogGamma(double alpha)
    {
        double boost = 0;
        if (alpha < 1)
        {
            boost = Math.Log(1 - NextDouble()) / alpha;
            alpha++;
        }
        double d = alpha - 1.0 / 3, c = 1 / Math.Sqrt(9 * d);
        while (true)
        {
            double normal = NextNormal(), v = 1 + c * normal;
            if (v <= 0)
                continue;
            v = v * v * v;
            if (Math.Log(1 - NextDouble()) < 0.5 * normal * normal + d - d * v + d * Math.Log(v))
                return Math.Log(d * v) + boost;
        }
    }

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
