using System.Runtime.CompilerServices;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Inference.Float32.Kernels;

/// <summary>Winograd input transform, B^T d B for a tile d of the input; see <see cref="ToomCook{TVector, TLanes}"/>.</summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal static unsafe class WinogradInputTransform<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>Transforms one tile of one channel block.</summary>
    /// <param name="source">The tile's top left input pixel, one row above and one column left of its first output pixel.</param>
    /// <param name="rowPitch">Floats from one input row to the next.</param>
    /// <param name="target">Base address of the transformed values.</param>
    /// <param name="offsets">Offsets of the tile's values from <paramref name="target"/>, [row point][column point], in floats.</param>
    /// <param name="rows">Output rows of the tile, 1 to 4.</param>
    /// <param name="columns">Output columns of the tile, 1 to 4.</param>
    /// <param name="prefetches">Whether the pixels are likely not in the L2 cache; the pixels of the next tile are then prefetched.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(float* source, nint rowPitch, float* target, nint* offsets, int rows, int columns, bool prefetches)
    {
        int width = TLanes.Width, pitch = WinogradTile.Points * width, height = rows + 2, span = columns + 2;
        if (prefetches)
        {
            // Prefetches the input pixels of the next tile and the target of the tile after it. Stores that miss the caches
            // complete one after the other, but prefetches overlap.
            for (int y = 0; y < height; y++)
            {
                for (int x = span; x < span + 4; x++)
                    Prefetch.ToL1(source + y * rowPitch + x * width);
            }
            for (int i = 0; i < WinogradTile.Points * WinogradTile.Points; i++)
                Prefetch.ToL1(target + offsets[i] + 2 * width);
        }

        float* memory = stackalloc float[WinogradTile.Points * pitch + CacheLine.Floats];
        float* intermediate = CacheLine.Align(memory);
        nint* lines = stackalloc nint[WinogradTile.Points];
        for (int i = 0; i < WinogradTile.Points; i++)
            lines[i] = i * pitch;
        for (int x = 0; x < span; x++)
            ToomCook<TVector, TLanes>.TransformInput(WinogradTile.Points, height, source + x * width, rowPitch, intermediate + x * width, lines);
        for (int i = 0; i < height; i++, intermediate += pitch, offsets += WinogradTile.Points)
            ToomCook<TVector, TLanes>.TransformInput(WinogradTile.Points, span, intermediate, width, target, offsets);
    }
}

/// <summary>
/// Winograd output transform, A^T m A for the sums m of a tile, with bias and optional ReLU as epilogue; see
/// <see cref="ToomCook{TVector, TLanes}"/>.
/// </summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal static unsafe class WinogradOutputTransform<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>Transforms one tile of one channel block.</summary>
    /// <param name="source">Base address of the sums.</param>
    /// <param name="offsets">Offsets of the tile's sums from <paramref name="source"/>, [row point][column point], in floats.</param>
    /// <param name="bias">Biases of the block's channels, one vector.</param>
    /// <param name="relu">Whether to apply ReLU.</param>
    /// <param name="target">The tile's first output pixel.</param>
    /// <param name="rowPitch">Floats from one output row to the next.</param>
    /// <param name="rows">Output rows of the tile, 1 to 4.</param>
    /// <param name="columns">Output columns of the tile, 1 to 4.</param>
    /// <param name="prefetches">Whether the output map is likely not in the L2 cache; the target of the next tile is then prefetched.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(
        float* source, nint* offsets, float* bias, bool relu, float* target, nint rowPitch, int rows, int columns, bool prefetches)
    {
        int width = TLanes.Width, pitch = WinogradTile.Points * width;
        // Stores that miss the caches complete one after the other, but prefetches overlap.
        for (int y = 0; prefetches && y < rows; y++)
        {
            for (int x = columns; x < columns + 4; x++)
                Prefetch.ToL1(target + y * rowPitch + x * width);
        }
        float* memory = stackalloc float[4 * pitch + CacheLine.Floats];
        float* intermediate = CacheLine.Align(memory);
        nint* points = stackalloc nint[WinogradTile.Points];
        for (int i = 0; i < WinogradTile.Points; i++)
            points[i] = i * width;
        for (int j = 0; j < columns + 2; j++)
        {
            float* column = intermediate + j * width;
            ToomCook<TVector, TLanes>.TransformOutput<Three>(rows, source, offsets + j, WinogradTile.Points, out var y0, out var y1, out var y2, out var y3);
            TLanes.Store(column, y0);
            TLanes.Store(column + pitch, y1);
            TLanes.Store(column + 2 * pitch, y2);
            TLanes.Store(column + 3 * pitch, y3);
        }
        TVector offset = TLanes.Load(bias);
        for (int y = 0; y < rows; y++, target += rowPitch, intermediate += pitch)
        {
            ToomCook<TVector, TLanes>.TransformOutput<Three>(columns, intermediate, points, 1, out var y0, out var y1, out var y2, out var y3);
            Store(target, y0, offset, relu);
            if (columns > 1)
                Store(target + width, y1, offset, relu);
            if (columns > 2)
                Store(target + 2 * width, y2, offset, relu);
            if (columns > 3)
                Store(target + 3 * width, y3, offset, relu);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* target, TVector value, TVector offset, bool relu)
    {
        value = TLanes.Add(value, offset);
        TLanes.Store(target, relu ? TLanes.Relu(value) : value);
    }
}
