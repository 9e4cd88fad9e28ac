namespace RepVgg.Testing;

/// <summary>Measures what the calling thread allocates on the managed heap.</summary>
/// <remarks>
/// A thread allocates from a piece of the heap of its own, its allocation context of up to 8 KB. When a background garbage
/// collection takes an unfinished one away, GC.GetAllocatedBytesForCurrentThread counts its unused rest as allocated. After
/// a blocking collection the thread has no context, so there is nothing to count until it allocates.
/// </remarks>
internal static class Allocations
{
    /// <summary>Bytes that some rounds allocate: 0 if they allocate nothing; else what they allocate, or up to 8 KB more.</summary>
    public static long Of(int rounds, Action round)
    {
        GC.Collect();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < rounds; i++)
            round();
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }
}
