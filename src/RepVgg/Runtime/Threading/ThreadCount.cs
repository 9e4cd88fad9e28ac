namespace RepVgg.Runtime.Threading;

/// <summary>Validates the <c>threads</c> option; 0 means all cores.</summary>
internal static class ThreadCount
{
    /// <summary>Maximum number of threads.</summary>
    public const int Maximum = 1024;

    /// <summary>Converts the option to a number of threads: the number of logical processors for 0, otherwise the value itself.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="threads"/> is negative or more than 1024.</exception>
    public static int Resolve(int threads)
    {
        if (threads is < 0 or > Maximum)
            throw new ArgumentOutOfRangeException(nameof(threads), threads, $"The number of threads must be 0 (all cores) or 1 to {Maximum}.");
        return threads == 0 ? Environment.ProcessorCount : threads;
    }
}
