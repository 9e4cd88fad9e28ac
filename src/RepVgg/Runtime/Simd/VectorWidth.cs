using System.Runtime.Intrinsics;

namespace RepVgg.Runtime.Simd;

/// <summary>A vector width for which kernels are compiled.</summary>
internal enum VectorWidth
{
    /// <summary>4 floats: SSE, NEON, or the software fallback if the processor has neither.</summary>
    Bits128,

    /// <summary>8 floats: AVX2.</summary>
    Bits256,

    /// <summary>16 floats: AVX-512.</summary>
    Bits512,
}

/// <summary>Detection and size of vector widths.</summary>
internal static class VectorWidths
{
    /// <summary>The largest vector width with hardware acceleration on this machine.</summary>
    public static VectorWidth Widest =>
        Vector512.IsHardwareAccelerated ? VectorWidth.Bits512
        : Vector256.IsHardwareAccelerated ? VectorWidth.Bits256
        : VectorWidth.Bits128;

    /// <summary>Floats in one vector.</summary>
    public static int Lanes(this VectorWidth width) => width switch
    {
        VectorWidth.Bits512 => Lanes512.Width,
        VectorWidth.Bits256 => Lanes256.Width,
        _ => Lanes128.Width,
    };
}
