using System.Runtime.CompilerServices;
using RepVgg.Inference.Kernels;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>
/// The row groups that multiply a chunk's tiles at the six column points of one row point. With
/// <see cref="Panels{TVector, TLanes}.MakePoints"/>, entries 2 and 4 (counted from 0) multiply the tiles at a point and its
/// negative (1 and -1, or 2 and -2) together, and entries 3 and 5 multiply the tiles that do not use the negative point.
/// Otherwise there is one entry per point.
/// </summary>
[InlineArray(WinogradAxis.Points)]
internal struct PointGroups
{
    private RowGroups _first;

    /// <summary>Divides the tiles of a chunk into row groups for each column point.</summary>
    /// <param name="chunk">The tiles.</param>
    /// <param name="row">Index of the row point, 0 to 5.</param>
    /// <param name="vectors">Vectors of output channels, 1 to 3.</param>
    /// <typeparam name="TVector">The vector type.</typeparam>
    /// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static PointGroups Cut<TVector, TLanes>(in WinogradChunk chunk, int row, int vectors)
        where TVector : struct
        where TLanes : struct, ILanes<TVector>
    {
        var groups = default(PointGroups);
        bool pairs = Panels<TVector, TLanes>.MakePoints;
        for (int point = 0; point < WinogradAxis.Points; point++)
        {
            int count = chunk.Count(row, point);
            groups[point] = point < 2 || !pairs ? Panels<TVector, TLanes>.Cut(vectors, count)
                : point % 2 == 0 ? Panels<TVector, TLanes>.CutPoints(2, vectors, chunk.Count(row, point + 1))
                : Panels<TVector, TLanes>.CutPoints(1, vectors, chunk.Count(row, point - 1) - count);
        }
        return groups;
    }
}
