using System.Runtime.Intrinsics;
using RepVgg.Inference.Float32.Kernels;
using RepVgg.Inference.Kernels;
using RepVgg.Runtime.Simd;
using Xunit;

namespace RepVgg.Tests.Inference;

/// <summary>
/// The Winograd GEMM kernel, which transforms the filters itself, against its definition in double precision. Engines use this
/// kernel on some processors only.
/// </summary>
public sealed unsafe class WinogradGemmKernelTests
{
    private const int Segments = 2;

    public static TheoryData<int, int, int> Shapes()
    {
        var shapes = new TheoryData<int, int, int>();
        for (int points = 1; points <= 2; points++)
        {
            for (int vectors = 1; vectors <= 3; vectors++)
            {
                for (int rows = 1; rows <= 13; rows++)
                    shapes.Add(points, vectors, rows);
            }
        }
        return shapes;
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Sums_are_those_of_the_definition(int points, int vectors, int rows)
    {
        Check<Vector128<float>, Lanes128>(points, vectors, rows);
        Check<Vector256<float>, Lanes256>(points, vectors, rows);
        Check<Vector512<float>, Lanes512>(points, vectors, rows);
    }

    private static void Check<TVector, TLanes>(int points, int vectors, int rows)
        where TVector : struct
        where TLanes : struct, ILanes<TVector>
    {
        int width = TLanes.Width, pitch = vectors * width, tap = width * pitch, pairRows = rows * width, segment = 2 * pairRows, sums = rows * pitch;
        var random = new Random(1);
        float[] tiles = Values(Segments * segment), weights = Values(Segments * 3 * tap), first = Values(2 * sums);
        nint* segments = stackalloc nint[Segments] { 0, segment };
        foreach (bool fromZero in new[] { true, false })
        {
            float[] actual = [.. first];
            fixed (float* x = tiles, w = weights, target = actual, zeros = MicroKernels.Zeros)
            {
                var arguments = new GemmArguments
                {
                    Rows = x,
                    Segments = segments,
                    Depth = width,
                    SegmentCount = Segments,
                    Panel = w,
                    PrefetchAddress = w,
                    PanelSkip = 2 * tap,
                    NearTap = 2 * tap,
                    MiddleTap = tap,
                    SecondPointRows = pairRows,
                    Initial = fromZero ? zeros : target,
                    Target = target,
                    SecondPointTarget = sums,
                };
                WinogradMicroKernels<TVector, TLanes>.Divide(points, vectors, rows).Run(&arguments);
            }
            for (int point = 0; point < 2; point++)
            {
                for (int row = 0; row < rows; row++)
                {
                    for (int o = 0; o < pitch; o++)
                    {
                        int at = point * sums + row * pitch + o;
                        double expected = fromZero && point < points ? 0 : first[at];
                        for (int s = 0; point < points && s < Segments; s++)
                        {
                            for (int k = 0; k < width; k++)
                            {
                                int from = s * 3 * tap + k * pitch + o;
                                double even = weights[from + 2 * tap] + 2.0 * weights[from], odd = weights[from + tap];
                                expected += tiles[s * segment + point * pairRows + row * width + k] * (point == 0 ? even + odd : even - odd);
                            }
                        }
                        Assert.Equal(expected, actual[at], 1e-5);
                    }
                }
            }
        }

        float[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() - 0.5f)];
    }
}
