using System.Runtime.Intrinsics.X86;

namespace RepVgg.Simd;

/// <summary>What sets processors with the same instructions apart.</summary>
internal static class Processor
{
    /// <summary>
    /// Whether additions run beside multiply-adds instead of in their place: AMD's processors have units of their own for
    /// them.
    /// </summary>
    public static bool AddsBesideMultiplyAdds { get; } = IsAmd();

    private static bool IsAmd()
    {
        if (!X86Base.IsSupported)
            return false;
        // The vendor's name, "AuthenticAMD", in the order EBX, EDX, ECX.
        var (_, b, c, d) = X86Base.CpuId(0, 0);
        return (b, d, c) == (0x68747541, 0x69746E65, 0x444D4163);
    }
}
