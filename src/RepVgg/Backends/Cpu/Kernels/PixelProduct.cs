using System.Numerics;
using System.Runtime.CompilerServices;
using RepVgg.Backends.Cpu.Memory;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Where pixels and taps lie: one side of a convolution, or a plain matrix (one tap).</summary>
/// <param name="Pixels">How many output pixels there are at most; fewer may be asked for.</param>
/// <param name="InputOffsets">Per pixel.</param>
/// <param name="OutputOffsets">Per pixel.</param>
/// <param name="TapOffsets">Per tap, added to the pixel's input offset.</param>
internal sealed record PixelLayout(int Pixels, PinnedInts InputOffsets, PinnedInts OutputOffsets, PinnedInts TapOffsets)
{
    /// <summary>Builds the tables.</summary>
    public static PixelLayout Create(IReadOnlyList<int> inputs, IReadOnlyList<int> outputs, IReadOnlyList<int> taps) =>
        new(inputs.Count, new PinnedInts([.. inputs]), new PinnedInts([.. outputs]), new PinnedInts([.. taps]));
}

/// <summary>Output pixels times packed weights, tile by tile.</summary>
internal static unsafe class PixelProduct
{
    private const int LargestTile = 8 * 32;

    /// <summary>Floats that the packed form of taps x channels x columns takes.</summary>
    public static long PackedLength(TileKernels kernels, int taps, int channels, int columns) =>
        (long)taps * channels * kernels.PadColumns(columns);

    /// <summary>Packs weights for <see cref="Run"/>: panels of two vectors of columns (the last may be one), each [tap][channel][column], zero-padded.</summary>
    /// <param name="backend">Decides the panels' width; its threads share the panels.</param>
    /// <param name="source">Weights; element (t, k, j) lies at taps[t] + k * channelStride + j * columnStride.</param>
    /// <param name="taps">Offset of each tap in the source.</param>
    /// <param name="channels">Summed over.</param>
    /// <param name="channelStride">Distance in the source.</param>
    /// <param name="columns">Output channels.</param>
    /// <param name="columnStride">Distance in the source.</param>
    /// <param name="packed">Where to write.</param>
    public static void Pack(CpuBackend backend, float* source, int[] taps, int channels, int channelStride, int columns, int columnStride, float* packed)
    {
        int panel = 2 * backend.Kernels.VectorLength;
        backend.Run((columns + panel - 1) / panel, (i, _) =>
        {
            int first = i * panel;
            PackPanel(backend.Kernels, source + (long)first * columnStride, taps, channels, channelStride, Math.Min(panel, columns - first), columnStride,
                packed + (long)taps.Length * channels * first);
        });
    }

    /// <summary>Packs the columns of one panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PackPanel(TileKernels kernels, float* source, int[] taps, int channels, int channelStride, int columns, int columnStride, float* packed)
    {
        int width = kernels.PadColumns(columns);
        for (int k = 0; k < channels; k++, source += channelStride)
        {
            for (int t = 0; t < taps.Length; t++)
            {
                float* from = source + taps[t];
                float* to = packed + ((long)t * channels + k) * width;
                for (int j = 0; j < columns; j++, from += columnStride)
                    to[j] = *from;
                for (int j = columns; j < width; j++)
                    to[j] = 0;
            }
        }
    }

    /// <summary>Computes the first pixels of a layout, all columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(TileKernels kernels, PixelLayout layout, int pixels, float* input, int channels, float* packed, int columns, float* output, bool accumulate)
    {
        int vector = kernels.VectorLength;
        int rows = kernels.Rows;
        float* edge = stackalloc float[LargestTile];
        int* edgeOffsets = stackalloc int[rows];
        int* lastInputs = stackalloc int[rows];
        int lastPixel = pixels / rows * rows;
        for (int i = 0; i < rows && lastPixel < pixels; i++)
            lastInputs[i] = layout.InputOffsets.Pointer[Math.Min(lastPixel + i, pixels - 1)];
        PixelTile tile;
        tile.Input = input;
        tile.TapOffsets = layout.TapOffsets.Pointer;
        tile.Taps = layout.TapOffsets.Count;
        tile.Channels = channels;
        tile.Weights = packed;
        for (int first = 0; first < columns; first += 2 * vector)
        {
            bool two = columns - first > vector;
            int width = two ? 2 * vector : vector;
            int valid = Math.Min(width, columns - first);
            for (int i = 0; i < rows; i++)
                edgeOffsets[i] = i * width;
            for (int pixel = 0; pixel < pixels; pixel += rows)
            {
                int count = Math.Min(rows, pixels - pixel);
                bool whole = count == rows && valid == width;
                tile.InputOffsets = count == rows ? layout.InputOffsets.Pointer + pixel : lastInputs;
                tile.Output = whole ? output + first : edge;
                tile.OutputOffsets = whole ? layout.OutputOffsets.Pointer + pixel : edgeOffsets;
                tile.Accumulate = whole && accumulate;
                if (two)
                    kernels.PixelsTimesTwoVectors(tile);
                else
                    kernels.PixelsTimesOneVector(tile);
                if (!whole)
                    CopyEdge(edge, width, output + first, layout.OutputOffsets.Pointer + pixel, count, valid, accumulate);
            }
            tile.Weights += (long)tile.Taps * channels * width;
        }
        GC.KeepAlive(layout);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyEdge(float* edge, int width, float* output, int* offsets, int count, int valid, bool accumulate)
    {
        for (int i = 0; i < count; i++)
        {
            float* to = output + offsets[i];
            float* from = edge + i * width;
            int j = 0;
            for (; j <= valid - Vector<float>.Count; j += Vector<float>.Count)
                (accumulate ? Vector.Load(to + j) + Vector.Load(from + j) : Vector.Load(from + j)).Store(to + j);
            for (; j < valid; j++)
                to[j] = accumulate ? to[j] + from[j] : from[j];
        }
    }
}
