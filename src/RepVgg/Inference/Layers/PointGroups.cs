using System.Runtime.CompilerServices;
using RepVgg.Inference.Kernels;
using RepVgg.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>
/// How a chunk's tiles are multiplied at the six points of a row. With <see cref="Panels{TVector, TLanes}.MakePoints"/>, the
/// third and the fifth entry take a point and its negative together, the fourth and the sixth take the tiles that have no
/// negative point; otherwise there is an entry for each point.
/// </summary>
[InlineArray(WinogradAxis.Points)]
internal struct PointGroups
{
    private RowGroups _first;

    /// <param name="chunk">The tiles.</param>
    /// <param name="row">Point of the row.</param>
    /// <param name="vectors">Vectors of output channels.</param>
    /// <typeparam name="TVector">The vector type.</typeparam>
    /// <typeparam name="TLanes">Its arithmetic.</typeparam>
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
