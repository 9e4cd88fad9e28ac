using System.Runtime.CompilerServices;

namespace RepVgg.Simd;

/// <summary>Scratch memory on the stack, where the language promises no more than 16 bytes' alignment.</summary>
internal static unsafe class CacheLine
{
    /// <summary>Floats in a cache line: what a scratch array must have over its length to be aligned.</summary>
    public const int Floats = 16;

    /// <summary>The first cache line that begins at or after an address.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float* Align(float* address) => (float*)(((nint)address + 63) & ~63);
}
