using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace RepVgg.Simd;

/// <summary>Hints that memory will be needed soon; nothing where the hardware has no such hint.</summary>
internal static unsafe class Prefetch
{
    /// <summary>Brings a cache line near, to be read or written shortly.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Near(float* address)
    {
        if (Sse.IsSupported)
            Sse.Prefetch0(address);
    }

    /// <summary>Brings a cache line to the second-level cache, to be read in a while.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Far(float* address)
    {
        if (Sse.IsSupported)
            Sse.Prefetch1(address);
    }

    /// <summary>Brings a range of memory to the second-level cache, to be read in a while.</summary>
    /// <param name="start">First float.</param>
    /// <param name="floats">How many; a range of none is fine.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Far(float* start, long floats)
    {
        if (!Sse.IsSupported)
            return;
        for (float* address = start, end = start + floats; address < end; address += 16)
            Sse.Prefetch1(address);
    }
}
