using System.Runtime.Intrinsics;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;
using Xunit;

namespace RepVgg.Tests.Runtime.Winograd;

/// <summary>The filter transforms against the definition of <see cref="ToomCook{TVector, TLanes}"/>: a filter's value at a point is a polynomial in the point.</summary>
public sealed unsafe class FilterTransformTests
{
    [Fact]
    public void Values_are_those_of_the_polynomials()
    {
        Check<float, ScalarLanes>();
        Check<Vector128<float>, Lanes128>();
        Check<Vector256<float>, Lanes256>();
        Check<Vector512<float>, Lanes512>();
    }

    private static void Check<TVector, TLanes>()
        where TVector : struct
        where TLanes : struct, ILanes<TVector>
    {
        int width = TLanes.Width, pitch = width + 3;
        var random = new Random(1);
        float* first = stackalloc float[width], half = stackalloc float[width], middle = stackalloc float[width], last = stackalloc float[width];
        float* three = stackalloc float[4 * pitch], two = stackalloc float[3 * pitch];
        for (int i = 0; i < width; i++)
        {
            (first[i], middle[i], last[i]) = (random.NextSingle() - 0.5f, random.NextSingle() - 0.5f, random.NextSingle() - 0.5f);
            half[i] = first[i] / 2;
        }
        ToomCook<TVector, TLanes>.TransformFilter(TLanes.Load(half), TLanes.Load(middle), TLanes.Load(last), three, pitch);
        ToomCook<TVector, TLanes>.TransformFilter(TLanes.Load(first), TLanes.Load(last), two, pitch);
        int[] points = [1, -1, 2, -2];
        for (int i = 0; i < points.Length; i++)
        {
            double p = points[i], scale = Math.Abs(p) == 2 ? 0.5 : 1;
            for (int lane = 0; lane < width; lane++)
            {
                Assert.Equal(scale * (first[lane] + p * middle[lane] + p * p * last[lane]), three[i * pitch + lane], 1e-6);
                if (i < 3)
                    Assert.Equal(first[lane] + p * last[lane], two[i * pitch + lane], 1e-6);
            }
        }
    }
}
