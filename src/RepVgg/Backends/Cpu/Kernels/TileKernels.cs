using System.Runtime.Intrinsics;
using RepVgg.Simd;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>The register-blocked inner products that all matrix work comes down to, one subclass per instruction set.</summary>
/// <remarks>
/// A tile has <see cref="Rows"/> rows and one or two vectors of columns. Each output is one chain of multiply-adds in a
/// fixed order, so results do not depend on how tiles are shared out.
/// </remarks>
internal abstract unsafe class TileKernels
{
    /// <summary>The best that this machine runs: as many rows as its vector registers hold beside the operands.</summary>
    public static TileKernels Best { get; } =
        Vector512.IsHardwareAccelerated ? new TileKernels<Vector512<float>, Lanes512, Eight>("AVX-512")
        : Vector256.IsHardwareAccelerated ? new TileKernels<Vector256<float>, Lanes256, Six>("AVX2")
        : new TileKernels<Vector128<float>, Lanes128, Four>("portable vectors");

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

/// <summary>Tiles of some rows by one or two vectors of some lanes.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
/// <typeparam name="TRows">Rows of a tile.</typeparam>
/// <param name="name">Instruction set, for people.</param>
internal sealed class TileKernels<TVector, TLanes, TRows>(string name) : TileKernels
    where TVector : unmanaged
    where TLanes : struct, ILanes<TVector>
    where TRows : unmanaged, ICount
{
    public override string Name => name;

    public override int Rows => TRows.Value;

    public override int VectorLength => TLanes.Width;

    public override WinogradTransforms Winograd { get; } = new WinogradTransforms<TVector, TLanes>();

    public override void PixelsTimesOneVector(in PixelTile tile) => PixelKernel<TVector, TLanes, TRows, One>.Run(tile);

    public override void PixelsTimesTwoVectors(in PixelTile tile) => PixelKernel<TVector, TLanes, TRows, Two>.Run(tile);

    public override void WeightsTimesOneVector(in WeightTile tile) => WeightKernel<TVector, TLanes, TRows, One>.Run(tile);

    public override void WeightsTimesTwoVectors(in WeightTile tile) => WeightKernel<TVector, TLanes, TRows, Two>.Run(tile);
}
