using RepVgg.Backends.Cpu.Kernels;
using Xunit;

namespace RepVgg.Tests.Backends;

public class TranspositionTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 5)]
    [InlineData(4, 4)]
    [InlineData(9, 64)]
    [InlineData(32, 9)]
    [InlineData(32, 1)]
    [InlineData(1, 17)]
    [InlineData(13, 11)]
    public unsafe void Turns_rows_into_columns_and_touches_nothing_else(int rows, int columns)
    {
        int sourceStride = columns + 3, targetStride = rows + 2;
        float[] source = [.. Enumerable.Range(1, rows * sourceStride).Select(i => (float)i)];
        foreach (bool accumulate in (bool[])[false, true])
        {
            var target = new float[columns * targetStride];
            Array.Fill(target, 0.5f);
            fixed (float* from = source, to = target)
                Transposition.Run(from, sourceStride, rows, columns, to, targetStride, accumulate);
            for (int c = 0; c < columns; c++)
            {
                for (int r = 0; r < targetStride; r++)
                    Assert.Equal(r >= rows ? 0.5f : source[r * sourceStride + c] + (accumulate ? 0.5f : 0), target[c * targetStride + r]);
            }
        }
    }
}
