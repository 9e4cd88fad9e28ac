using System.Runtime.CompilerServices;

namespace RepVgg.Runtime.Simd;

/// <summary>Aligns stack-allocated memory to cache lines of 64 bytes, which <c>stackalloc</c> does not guarantee.</summary>
internal static unsafe class CacheLine
{
    /// <summary>Floats in a cache line. An array must be longer by this number so that <see cref="Align"/> does not exceed it.</summary>
    public const int Floats = 16;

    /// <summary>Rounds an address up to the next multiple of 64 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float* Align(float* address) => (float*)(((nint)address + 63) & ~63);
}
