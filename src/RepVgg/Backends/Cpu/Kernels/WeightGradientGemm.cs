using System.Runtime.CompilerServices;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>GEMM for weight gradients: transposed input pixels [channel][pixel] by output gradients [pixel][column], computed by register tiles; see <see cref="GemmTile"/>.</summary>
internal static unsafe class WeightGradientGemm
{
    /// <summary>Number of pixels per pass, chosen so that their inputs and gradients stay in the first-level cache.</summary>
    private const int PixelBlock = 112;

    /// <summary>Returns the number of floats of the sums: [tap][channels padded to tiles][columns padded to vectors].</summary>
    public static long SumsLength(MicroKernelSet kernels, int taps, int channels, int columns) =>
        (long)taps * kernels.PadRows(channels) * kernels.PadColumns(columns);

    /// <summary>
    /// Adds the contribution of the first <paramref name="pixels"/> pixels of the offset tables: sums[t][i][j] += sum over pixels of
    /// input[p, t, i] * gradient[p * gradientStride + j].
    /// </summary>
    /// <remarks>Padding rows and columns of the sums receive undefined values. The buffers have additional floats at the end, so that reads beyond the valid values stay inside them.</remarks>
    public static void Accumulate(MicroKernelSet kernels, GemmOffsets offsets, int pixels, float* input, int channels, float* gradient, int gradientStride, int columns, float* sums) =>
        Run(kernels, offsets, pixels, input, channels, 0..offsets.TapOffsets.Count, 0..channels, gradient, gradientStride, columns, sums, accumulate: true);

    /// <summary>Writes or adds the contribution of the first <paramref name="pixels"/> pixels of the offset tables for a range of taps and a range of channels.</summary>
    /// <remarks>The sums and the remarks are those of <see cref="Accumulate"/>.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(
        MicroKernelSet kernels, GemmOffsets offsets, int pixels, float* input, int channels, Range taps, Range channelsOf, float* gradient, int gradientStride, int columns, float* sums, bool accumulate)
    {
        int vector = kernels.VectorLength;
        int rows = kernels.Rows;
        int paddedColumns = kernels.PadColumns(columns);
        int paddedRows = kernels.PadRows(channels);
        int firstTap = taps.Start.Value, endTap = taps.End.Value, firstRow = channelsOf.Start.Value, endRow = channelsOf.End.Value;
        int* rowOffsets = stackalloc int[rows], outputOffsets = stackalloc int[rows];
        for (int i = 0; i < rows; i++)
            (rowOffsets[i], outputOffsets[i]) = (i, i * paddedColumns);
        int noOffset = 0;
        var tile = new GemmTile
        {
            RowOffsets = rowOffsets,
            SegmentOffsets = &noOffset,
            Segments = 1,
            ColumnsPitch = gradientStride,
            OutputOffsets = outputOffsets,
        };
        for (int pixel = 0; pixel < pixels; pixel += PixelBlock)
        {
            tile.Steps = Math.Min(PixelBlock, pixels - pixel);
            tile.StepOffsets = offsets.InputOffsets.Pointer + pixel;
            tile.Accumulate = accumulate || pixel > 0;
            for (int first = 0; first < paddedColumns; first += 2 * vector)
            {
                bool two = paddedColumns - first > vector;
                tile.Columns = gradient + (long)pixel * gradientStride + first;
                for (int tap = firstTap; tap < endTap; tap++)
                {
                    float* tapInput = input + offsets.TapOffsets.Pointer[tap];
                    for (int row = firstRow; row < endRow; row += rows)
                    {
                        tile.Input = tapInput + row;
                        tile.Output = sums + ((long)tap * paddedRows + row) * paddedColumns + first;
                        if (two)
                            kernels.GatherTwoVectors(tile);
                        else
                            kernels.GatherOneVector(tile);
                    }
                }
            }
        }
        GC.KeepAlive(offsets);
    }
}
