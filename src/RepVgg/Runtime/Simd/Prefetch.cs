using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace RepVgg.Runtime.Simd;

/// <summary>Software prefetch instructions of x86 and x64; on other processors the methods do nothing.</summary>
internal static unsafe class Prefetch
{
    /// <summary>Prefetches a cache line to all cache levels (PREFETCHT0), for an access that follows shortly.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ToL1(float* address)
    {
        if (Sse.IsSupported)
            Sse.Prefetch0(address);
    }

    /// <summary>Prefetches a cache line to the L2 cache (PREFETCHT1), for a later access.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ToL2(float* address)
    {
        if (Sse.IsSupported)
            Sse.Prefetch1(address);
    }

    /// <summary>Prefetches a range of memory to the L2 cache (PREFETCHT1), for later accesses.</summary>
    /// <param name="start">Start of the range.</param>
    /// <param name="floats">Length of the range in floats, 0 or more.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ToL2(float* start, long floats)
    {
        if (!Sse.IsSupported)
            return;
        for (float* address = start, end = start + floats; address < end; address += 16)
            Sse.Prefetch1(address);
    }
}
