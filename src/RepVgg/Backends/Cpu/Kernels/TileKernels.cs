using System.Numerics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>The register-blocked inner products that all matrix work comes down to, one subclass per instruction set.</summary>
/// <remarks>
/// A tile has <see cref="Rows"/> rows and one or two vectors of columns. Each output is one chain of multiply-adds in a
/// fixed order, so results do not depend on how tiles are shared out.
/// </remarks>
internal abstract unsafe class TileKernels
{
    /// <summary>The best that this machine runs.</summary>
    public static TileKernels Best { get; } =
        Vector512.IsHardwareAccelerated && Avx512F.IsSupported ? new TileKernelsAvx512()
        : Avx2.IsSupported && Fma.IsSupported ? new TileKernelsAvx2()
        : new TileKernelsPortable();

    /// <summary>Instruction set, for people.</summary>
    public abstract string Name { get; }

    /// <summary>Pixels (or input channels, for weights) of a tile.</summary>
    public abstract int Rows { get; }

    /// <summary>Floats in a vector.</summary>
    public abstract int VectorLength { get; }

    /// <summary>Winograd's transforms in the same instruction set.</summary>
    public abstract WinogradTransforms Winograd { get; }

    public abstract void PixelsTimesOneVector(in PixelTile tile);

    public abstract void PixelsTimesTwoVectors(in PixelTile tile);

    public abstract void WeightsTimesOneVector(in WeightTile tile);

    public abstract void WeightsTimesTwoVectors(in WeightTile tile);

    /// <summary>Columns rounded up to whole vectors.</summary>
    public int PadColumns(int columns) => (columns + VectorLength - 1) / VectorLength * VectorLength;

    /// <summary>Rows rounded up to whole tiles.</summary>
    public int PadRows(int rows) => (rows + Rows - 1) / Rows * Rows;
}
