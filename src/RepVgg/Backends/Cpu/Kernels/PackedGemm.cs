using System.Numerics;
using System.Runtime.CompilerServices;
using RepVgg.Runtime.Memory;
using RepVgg.Runtime.Threading;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>GEMM of pixels [pixel][tap, channel] by packed weights [tap, channel][column], computed by register tiles; see <see cref="GemmTile"/>.</summary>
internal static unsafe class PackedGemm
{
    private const int LargestTile = 8 * 32;

    /// <summary>Number of channels of one item of parallel packing.</summary>
    private const int ChannelBlock = 32;

    /// <summary>Returns the number of floats of the packed weights of taps x channels x columns.</summary>
    public static long PackedLength(MicroKernelSet kernels, int taps, int channels, int columns) =>
        (long)taps * channels * kernels.PadColumns(columns);

    /// <summary>Number of columns of a panel: two vectors.</summary>
    public static int PanelWidth(MicroKernelSet kernels) => 2 * kernels.VectorLength;

    /// <summary>Packs weights for <see cref="Run"/>: panels of two vectors of columns (the last may be one), each [tap][channel][column], zero-padded.</summary>
    /// <param name="kernels">The micro-kernels; their vector length determines the width of the panels.</param>
    /// <param name="loop">Packs the panels in parallel.</param>
    /// <param name="source">Weights; element (t, k, j) is at taps[t] + k * channelStride + j * columnStride.</param>
    /// <param name="taps">Offset of each tap in the source.</param>
    /// <param name="channels">Number of channels that the product sums over.</param>
    /// <param name="channelStride">Floats from one channel to the next in the source.</param>
    /// <param name="columns">Number of columns (output channels).</param>
    /// <param name="columnStride">Floats from one column to the next in the source.</param>
    /// <param name="packed">Destination of the packed weights.</param>
    public static void Pack(MicroKernelSet kernels, ParallelLoop loop, float* source, int[] taps, int channels, int channelStride, int columns, int columnStride, float* packed)
    {
        int panel = PanelWidth(kernels);
        int blocks = (channels + ChannelBlock - 1) / ChannelBlock;
        loop.Run((columns + panel - 1) / panel * blocks, (item, _) =>
        {
            int column = item / blocks * panel, channel = item % blocks * ChannelBlock;
            int valid = Math.Min(panel, columns - column), width = kernels.PadColumns(valid);
            float* from = source + (long)column * columnStride + (long)channel * channelStride;
            float* to = packed + (long)taps.Length * channels * column + (long)channel * width;
            PackBlock(from, taps, Math.Min(ChannelBlock, channels - channel), channelStride, valid, columnStride, to, (nint)channels * width, width);
        });
    }

    /// <summary>Packs one panel on the calling thread. The parameters are those of <see cref="Pack"/>, with at most <see cref="PanelWidth"/> columns.</summary>
    public static void PackPanel(MicroKernelSet kernels, float* source, int[] taps, int channels, int channelStride, int columns, int columnStride, float* packed)
    {
        int width = kernels.PadColumns(columns);
        for (int channel = 0; channel < channels; channel += ChannelBlock)
        {
            PackBlock(source + (long)channel * channelStride, taps, Math.Min(ChannelBlock, channels - channel), channelStride, columns, columnStride,
                packed + (long)channel * width, (nint)channels * width, width);
        }
    }

    /// <summary>
    /// Packs a block of channels of one panel. The channels of a tap are consecutive in the packed weights, at intervals of
    /// <paramref name="width"/> floats.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackBlock(float* source, int[] taps, int channels, nint channelStride, int columns, nint columnStride, float* packed, nint tapStride, int width)
    {
        Transposition.PrefetchMatrix(source, channels, channelStride, columns, columnStride);
        for (int t = 0, consecutiveTaps; t < taps.Length; t += consecutiveTaps)
        {
            consecutiveTaps = 1;
            float* from = source + taps[t];
            float* to = packed + t * tapStride;
            if (channelStride == 1)
            {
                Transposition.Run(from, columnStride, columns, channels, to, width);
                continue;
            }
            while (t + consecutiveTaps < taps.Length && taps[t + consecutiveTaps] == taps[t] + consecutiveTaps)
                consecutiveTaps++;
            for (int k = 0; k < channels; k++)
                Transposition.Run(from + k * channelStride, columnStride, columns, consecutiveTaps, to + k * width, tapStride);
        }
        for (int t = 0; t < taps.Length && columns < width; t++)
        {
            for (int k = 0; k < channels; k++)
                new Span<float>(packed + t * tapStride + k * width + columns, width - columns).Clear();
        }
    }

    /// <summary>
    /// Computes all columns of the first <paramref name="pixels"/> pixels of the offset tables. Partial tiles at the edges are
    /// computed in a temporary buffer and copied.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(MicroKernelSet kernels, GemmOffsets offsets, int pixels, float* input, int channels, float* packed, int columns, float* output, bool accumulate)
    {
        int vector = kernels.VectorLength;
        int rows = kernels.Rows;
        float* edge = stackalloc float[LargestTile];
        int* edgeOffsets = stackalloc int[rows];
        int* lastInputs = stackalloc int[rows];
        int lastPixel = pixels / rows * rows;
        for (int i = 0; i < rows && lastPixel < pixels; i++)
            lastInputs[i] = offsets.InputOffsets.Pointer[Math.Min(lastPixel + i, pixels - 1)];
        var tile = new GemmTile
        {
            Input = input,
            SegmentOffsets = offsets.TapOffsets.Pointer,
            Segments = offsets.TapOffsets.Count,
            Steps = channels,
            Columns = packed,
        };
        for (int first = 0; first < columns; first += 2 * vector)
        {
            bool two = columns - first > vector;
            int width = two ? 2 * vector : vector;
            int valid = Math.Min(width, columns - first);
            tile.ColumnsPitch = width;
            for (int i = 0; i < rows; i++)
                edgeOffsets[i] = i * width;
            for (int pixel = 0; pixel < pixels; pixel += rows)
            {
                int count = Math.Min(rows, pixels - pixel);
                bool whole = count == rows && valid == width;
                tile.RowOffsets = count == rows ? offsets.InputOffsets.Pointer + pixel : lastInputs;
                tile.Output = whole ? output + first : edge;
                tile.OutputOffsets = whole ? offsets.OutputOffsets.Pointer + pixel : edgeOffsets;
                tile.Accumulate = whole && accumulate;
                if (two)
                    kernels.MultiplyTwoVectors(tile);
                else
                    kernels.MultiplyOneVector(tile);
                if (!whole)
                    CopyEdge(edge, width, output + first, offsets.OutputOffsets.Pointer + pixel, count, valid, accumulate);
            }
            tile.Columns += (long)tile.Segments * channels * width;
        }
        GC.KeepAlive(offsets);
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

/// <summary>Offsets in floats of the pixels and taps of a convolution, or of the rows of a matrix (one tap).</summary>
/// <param name="Pixels">Maximum number of output pixels; a product may use fewer.</param>
/// <param name="InputOffsets">Input offset of each pixel.</param>
/// <param name="OutputOffsets">Output offset of each pixel.</param>
/// <param name="TapOffsets">Offset of each tap, added to the input offset of the pixel.</param>
internal sealed record GemmOffsets(int Pixels, PinnedInts InputOffsets, PinnedInts OutputOffsets, PinnedInts TapOffsets)
{
    /// <summary>Creates the tables.</summary>
    public static GemmOffsets Create(IReadOnlyList<int> inputs, IReadOnlyList<int> outputs, IReadOnlyList<int> taps) =>
        new(inputs.Count, new PinnedInts([.. inputs]), new PinnedInts([.. outputs]), new PinnedInts([.. taps]));
}
