using System.Runtime.Intrinsics.X86;

namespace RepVgg.Runtime.Simd;

/// <summary>Differences between processors that have the same instruction set.</summary>
internal static class Processor
{
    /// <summary>
    /// Whether vector additions execute in parallel with multiply-adds instead of occupying the same units. AMD processors
    /// have separate units for additions.
    /// </summary>
    public static bool HasSeparateAddUnits { get; } = IsAmd();

    private static bool IsAmd()
    {
        if (!X86Base.IsSupported)
            return false;
        // CPUID leaf 0 returns the vendor string "AuthenticAMD" in EBX, EDX and ECX.
        var (_, b, c, d) = X86Base.CpuId(0, 0);
        return (b, d, c) == (0x68747541, 0x69746E65, 0x444D4163);
    }
}
