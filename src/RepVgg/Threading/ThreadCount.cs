namespace RepVgg.Threading;

/// <summary>The option "threads", 0 for all cores.</summary>
internal static class ThreadCount
{
    private const int Most = 1024;

    /// <summary>Turns the option into a number of threads.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A negative number or more than 1024.</exception>
    public static int Resolve(int threads)
    {
        if (threads is < 0 or > Most)
            throw new ArgumentOutOfRangeException(nameof(threads), threads, $"The number of threads must be 0 (all cores) or 1 to {Most}.");
        return threads == 0 ? Environment.ProcessorCount : threads;
    }
}
