using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Runtime.Resampling;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32;

/// <summary>The grids of averages of pyramid pooling: their cells, and how they are resized to the map.</summary>
/// <remarks>
/// The 3x3 convolution of the head reads the concatenation of the map and of the resized grids. It is the sum of a convolution of the map and of one of each resized grid. Resizing is linear, so that the latter is a weighted sum of
/// products of the cells and the nine taps, which are few: they are computed once per cell instead of once per pixel.
/// </remarks>
/// <param name="bins">Rows and columns of each grid.</param>
/// <param name="height">Rows of the map.</param>
/// <param name="width">Columns of the map.</param>
/// <param name="alignCorners">Whether the middles of the corner cells and pixels coincide.</param>
internal sealed class PyramidGrids(IReadOnlyList<int> bins, int height, int width, bool alignCorners)
{
    /// <summary>Number of cells of all grids.</summary>
    public int Cells { get; } = bins.Sum(bin => bin * bin);

    /// <summary>Number of grids.</summary>
    public int Count => bins.Count;

    /// <summary>Rows and columns of a grid.</summary>
    public int Bin(int grid) => bins[grid];

    /// <summary>The first cell of each grid.</summary>
    public int[] FirstCell { get; } = [.. Enumerable.Range(0, bins.Count).Select(grid => bins.Take(grid).Sum(bin => bin * bin))];

    /// <summary>How the rows of the map are averaged, for each grid.</summary>
    public AxisWeights[] RowMeans { get; } = [.. bins.Select(bin => AxisWeights.AdaptiveMean(height, bin))];

    /// <summary>How the columns of the map are averaged, for each grid.</summary>
    public AxisWeights[] ColumnMeans { get; } = [.. bins.Select(bin => AxisWeights.AdaptiveMean(width, bin))];

    /// <summary>How the rows of a grid become rows of the map, for each grid.</summary>
    public AxisWeights[] Rows { get; } = [.. bins.Select(bin => AxisWeights.Bilinear(bin, height, alignCorners))];

    /// <summary>How the columns of a grid become columns of the map, for each grid.</summary>
    public AxisWeights[] Columns { get; } = [.. bins.Select(bin => AxisWeights.Bilinear(bin, width, alignCorners))];

    /// <summary>Number of columns of all grids.</summary>
    public int AllColumns { get; } = bins.Sum();
}

/// <summary>Computes the averages of all cells, [image][cell][channel]; the channels are padded to whole blocks.</summary>
internal sealed unsafe class PyramidPoolStep<TVector, TLanes>(PyramidGrids grids, MapLayout layout, BufferId source, BufferId target) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>One item is one channel block of an image.</summary>
    public override int CountItems(StepContext context) => context.Images * layout.Blocks;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (image, block) = Math.DivRem(item, layout.Blocks);
        float* map = context[source] + item * layout.BlockPitch + layout.Origin;
        int pitch = layout.Blocks * TLanes.Width;
        float* cell = context[target] + (long)image * grids.Cells * pitch + block * TLanes.Width;
        for (int grid = 0; grid < grids.Count; grid++)
        {
            AxisWeights rows = grids.RowMeans[grid], columns = grids.ColumnMeans[grid];
            for (int r = 0; r < rows.Outputs; r++)
            {
                for (int c = 0; c < columns.Outputs; c++, cell += pitch)
                    TLanes.Store(cell, Mean(map, rows, r, columns, c));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private TVector Mean(float* map, AxisWeights rows, int r, AxisWeights columns, int c)
    {
        int height = rows.Weights(r).Length, width = columns.Weights(c).Length;
        float* row = map + (long)rows.First(r) * layout.RowPitch + columns.First(c) * TLanes.Width;
        TVector sum = TLanes.Zero;
        for (int y = 0; y < height; y++, row += layout.RowPitch)
        {
            TVector ofRow = TLanes.Load(row);
            for (int x = 1; x < width; x++)
                ofRow = TLanes.Add(ofRow, TLanes.Load(row + x * TLanes.Width));
            sum = TLanes.Add(sum, ofRow);
        }
        return TLanes.Multiply(sum, TLanes.Broadcast(1f / ((float)height * width)));
    }
}

/// <summary>Reduces the averages of the cells by the 1x1 convolution of their grid and ReLU, [image][cell][channel of the branch].</summary>
internal sealed unsafe class PyramidBranchStep<TVector, TLanes>(PyramidGrids grids, PackedLinear<TVector, TLanes>[] branches, int inputPitch, BufferId source, BufferId target) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>One item is one block of output channels of a grid, for all its cells and all images, so that its weights are read from memory once.</summary>
    public override int CountItems(StepContext context) => grids.Count * branches[0].Blocks;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (grid, block) = Math.DivRem(item, branches[0].Blocks);
        int pitch = branches[0].Blocks * TLanes.Width, cells = grids.Bin(grid) * grids.Bin(grid);
        for (int image = 0; image < context.Images; image++)
        {
            for (int cell = 0; cell < cells; cell++)
            {
                long at = (long)image * grids.Cells + grids.FirstCell[grid] + cell;
                TLanes.Store(context[target] + at * pitch + block * TLanes.Width, TLanes.Relu(branches[grid].Compute(context[source] + at * inputPitch, block)));
            }
        }
    }
}

/// <summary>Computes the products of the cells and the nine taps of the head's kernel, [image][cell][tap][channel of the head].</summary>
internal sealed unsafe class PyramidTapStep<TVector, TLanes>(PyramidGrids grids, PackedLinear<TVector, TLanes>[] taps, int inputPitch, BufferId source, BufferId target) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int BlocksOfItem = 8;

    private int Items => (taps[0].Blocks + BlocksOfItem - 1) / BlocksOfItem;

    /// <summary>One item is some blocks of products of a grid, for all its cells and all images, so that their weights are read from memory once.</summary>
    public override int CountItems(StepContext context) => grids.Count * Items;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (grid, part) = Math.DivRem(item, Items);
        int pitch = taps[0].Blocks * TLanes.Width, cells = grids.Bin(grid) * grids.Bin(grid);
        for (int block = part * BlocksOfItem; block < Math.Min((part + 1) * BlocksOfItem, taps[0].Blocks); block++)
        {
            for (int image = 0; image < context.Images; image++)
            {
                for (int cell = 0; cell < cells; cell++)
                {
                    long at = (long)image * grids.Cells + grids.FirstCell[grid] + cell;
                    TLanes.Store(context[target] + at * pitch + block * TLanes.Width, taps[grid].Compute(context[source] + at * inputPitch, block));
                }
            }
        }
    }
}

/// <summary>Adds the convolutions of the resized grids to the convolution of the map, in place, and applies ReLU.</summary>
/// <param name="grids">The grids.</param>
/// <param name="layout">Layout of the map of the head.</param>
/// <param name="map">Buffer of the map.</param>
/// <param name="products">Buffer of the products of cells and taps.</param>
internal sealed unsafe class PyramidSumStep<TVector, TLanes>(PyramidGrids grids, MapLayout layout, BufferId map, BufferId products) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int Taps = 3;

    /// <summary>Floats of workspace per worker: for one row and one channel block, a vector for each column of a grid and each column of the kernel.</summary>
    public int WorkspaceFloats => grids.AllColumns * Taps * TLanes.Width;

    /// <summary>One item is one row of the map of an image.</summary>
    public override int CountItems(StepContext context) => context.Images * layout.Height;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (image, y) = Math.DivRem(item, layout.Height);
        int lanes = TLanes.Width, channels = layout.Blocks * lanes;
        long cellPitch = (long)Taps * Taps * channels;
        float* cells = context[products] + image * grids.Cells * cellPitch;
        float* columns = context.Workspace(worker);
        for (int block = 0; block < layout.Blocks; block++)
        {
            SumRows(cells + block * lanes, cellPitch, channels, y, columns);
            float* pixel = context[map] + image * layout.ImagePitch + block * layout.BlockPitch + layout.Origin + (long)y * layout.RowPitch;
            for (int x = 0; x < layout.Width; x++, pixel += lanes)
                TLanes.Store(pixel, TLanes.Relu(SumColumns(columns, x, TLanes.Load(pixel))));
        }
    }

    /// <summary>Sums over the rows of the kernel and of the grids, for each column of a grid and each column of the kernel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void SumRows(float* cells, long cellPitch, int channels, int y, float* columns)
    {
        for (int grid = 0; grid < grids.Count; grid++)
        {
            int bin = grids.Bin(grid);
            for (int column = 0; column < bin; column++)
            {
                for (int kx = 0; kx < Taps; kx++, columns += TLanes.Width)
                {
                    TVector sum = TLanes.Zero;
                    for (int ky = 0; ky < Taps; ky++)
                    {
                        int row = y + ky - 1;
                        if (row < 0 || row >= layout.Height)
                            continue;
                        var weights = grids.Rows[grid].Weights(row);
                        for (int i = 0; i < weights.Length; i++)
                        {
                            int cell = grids.FirstCell[grid] + (grids.Rows[grid].First(row) + i) * bin + column;
                            sum = TLanes.MultiplyAdd(TLanes.Broadcast(weights[i]), TLanes.Load(cells + cell * cellPitch + (ky * Taps + kx) * channels), sum);
                        }
                    }
                    TLanes.Store(columns, sum);
                }
            }
        }
    }

    /// <summary>Adds the sums of <see cref="SumRows"/> for a pixel, over the columns of the kernel and of the grids.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private TVector SumColumns(float* columns, int x, TVector sum)
    {
        for (int grid = 0; grid < grids.Count; columns += grids.Bin(grid) * Taps * TLanes.Width, grid++)
        {
            for (int kx = 0; kx < Taps; kx++)
            {
                int column = x + kx - 1;
                if (column < 0 || column >= layout.Width)
                    continue;
                var weights = grids.Columns[grid].Weights(column);
                for (int j = 0; j < weights.Length; j++)
                    sum = TLanes.MultiplyAdd(TLanes.Broadcast(weights[j]), TLanes.Load(columns + ((grids.Columns[grid].First(column) + j) * Taps + kx) * TLanes.Width), sum);
            }
        }
        return sum;
    }
}
