using System.Runtime.Intrinsics;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>The GEMM micro-kernels of the CPU backend: matrix products of one register tile. There is one subclass per instruction set.</summary>
/// <remarks>
/// A tile has <see cref="Rows"/> rows and one or two vectors of columns. Each output value is a sum of products in a fixed
/// order, so results do not depend on the distribution of tiles to threads.
/// </remarks>
internal abstract unsafe class MicroKernelSet
{
    /// <summary>
    /// The micro-kernels for the widest vectors that are hardware-accelerated on this machine. The number of rows is
    /// limited by the number of vector registers.
    /// </summary>
    public static MicroKernelSet Best { get; } =
        Vector512.IsHardwareAccelerated ? new MicroKernelSet<Vector512<float>, Lanes512, Eight>("AVX-512")
        : Vector256.IsHardwareAccelerated ? new MicroKernelSet<Vector256<float>, Lanes256, Six>("AVX2")
        : new MicroKernelSet<Vector128<float>, Lanes128, Four>("portable vectors");

    /// <summary>Name of the instruction set for display.</summary>
    public abstract string Name { get; }

    /// <summary>Number of rows of a tile: pixels, or input channels for weight gradients.</summary>
    public abstract int Rows { get; }

    /// <summary>Number of floats of a vector.</summary>
    public abstract int VectorLength { get; }

    /// <summary>The Winograd transforms for the same instruction set.</summary>
    public abstract WinogradTransforms Winograd { get; }

    /// <summary>Computes a tile with one vector of columns; the steps are consecutive floats.</summary>
    public abstract void MultiplyOneVector(in GemmTile tile);

    /// <summary>Computes a tile with two vectors of columns; the steps are consecutive floats.</summary>
    public abstract void MultiplyTwoVectors(in GemmTile tile);

    /// <summary>Computes a tile with one vector of columns and a table of step offsets.</summary>
    public abstract void GatherOneVector(in GemmTile tile);

    /// <summary>Computes a tile with two vectors of columns and a table of step offsets.</summary>
    public abstract void GatherTwoVectors(in GemmTile tile);

    /// <summary>Returns a number of columns rounded up to a multiple of the vector length.</summary>
    public int PadColumns(int columns) => (columns + VectorLength - 1) / VectorLength * VectorLength;

    /// <summary>Returns a number of rows rounded up to a multiple of the rows of a tile.</summary>
    public int PadRows(int rows) => (rows + Rows - 1) / Rows * Rows;
}

/// <summary>The micro-kernels for one vector type and one number of rows.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Arithmetic of the vector type.</typeparam>
/// <typeparam name="TRows">Number of rows of a tile.</typeparam>
/// <param name="name">Name of the instruction set for display.</param>
internal sealed class MicroKernelSet<TVector, TLanes, TRows>(string name) : MicroKernelSet
    where TVector : unmanaged
    where TLanes : struct, ILanes<TVector>
    where TRows : unmanaged, ICount
{
    public override string Name => name;

    public override int Rows => TRows.Value;

    public override int VectorLength => TLanes.Width;

    public override WinogradTransforms Winograd { get; } = new WinogradTransforms<TVector, TLanes>();

    public override void MultiplyOneVector(in GemmTile tile) => GemmMicroKernel<TVector, TLanes, TRows, One, One>.Run(tile);

    public override void MultiplyTwoVectors(in GemmTile tile) => GemmMicroKernel<TVector, TLanes, TRows, Two, One>.Run(tile);

    public override void GatherOneVector(in GemmTile tile) => GemmMicroKernel<TVector, TLanes, TRows, One, Two>.Run(tile);

    public override void GatherTwoVectors(in GemmTile tile) => GemmMicroKernel<TVector, TLanes, TRows, Two, Two>.Run(tile);
}
