using Xunit;

namespace RepVgg.Testing;

/// <summary>Numerical comparisons, all relative to the largest expected magnitude.</summary>
internal static class Compare
{
    public static double RelativeError(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double scale = 0, worst = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(float.IsFinite(actual[i]), $"Value {i} is {actual[i]}.");
            scale = Math.Max(scale, Math.Abs((double)expected[i]));
            worst = Math.Max(worst, Math.Abs((double)expected[i] - actual[i]));
        }
        return scale == 0 ? worst : worst / scale;
    }

    public static void Close(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, double tolerance, string what = "values")
    {
        double error = RelativeError(expected, actual);
        Assert.True(error <= tolerance, $"{what}: relative error {error:g3}, allowed {tolerance:g3}.");
    }
}
