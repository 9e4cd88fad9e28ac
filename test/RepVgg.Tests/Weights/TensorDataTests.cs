using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Weights;

public class TensorDataTests
{
    [Fact]
    public void Values_on_demand_are_read_again_until_they_are_kept()
    {
        var ranges = new List<(int Start, int Count)>();
        var tensor = new TensorData([2, 3], (start, values) =>
        {
            ranges.Add((start, values.Length));
            for (int i = 0; i < values.Length; i++)
                values[i] = 10 * (start + i);
        });
        Assert.Equal((6, "[2, 3]", false), (tensor.Length, tensor.ToString(), tensor.IsInMemory));

        float[] buffer = [];
        Assert.Equal([20f, 30, 40], tensor.Read(2, 3, ref buffer).ToArray());
        float[] first = buffer;
        Assert.Equal([50f], tensor.Read(5, 1, ref buffer).ToArray());
        Assert.Same(first, buffer);
        Assert.Empty(tensor.Read(6, 0, ref buffer).ToArray());
        Assert.Equal([0f, 10, 20, 30, 40, 50], tensor.Read());
        Assert.NotSame(tensor.ToArray(), tensor.ToArray());
        Assert.False(tensor.IsInMemory);
        Assert.Equal([(2, 3), (5, 1), (0, 6), (0, 6), (0, 6)], ranges);

        Assert.Same(tensor.Values, tensor.Values);
        Assert.Same(tensor.Values, tensor.Read());
        Assert.NotSame(tensor.Values, tensor.ToArray());
        Assert.Equal(tensor.Values, tensor.ToArray());
        Assert.Equal([20f, 30], tensor.Read(2, 2, ref buffer).ToArray());
        Assert.True(tensor.IsInMemory);
        Assert.Equal(6, ranges.Count);
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(3, 2)]
    [InlineData(5, 0)]
    [InlineData(0, -1)]
    [InlineData(0, int.MaxValue)]
    public void A_range_outside_the_tensor_is_refused(int start, int count)
    {
        float[] buffer = [];
        var tensor = new TensorData([4], (_, _) => Assert.Fail("Nothing must be read."));
        Assert.Throws<ArgumentOutOfRangeException>(() => tensor.Read(start, count, ref buffer).ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => new TensorData(new float[4]).Read(start, count, ref buffer).ToArray());
    }

    [Fact]
    public void A_tensor_without_values_reads_nothing()
    {
        var tensor = new TensorData([int.MaxValue, int.MaxValue, 0], (_, _) => Assert.Fail("Nothing must be read."));
        Assert.Empty(tensor.Read());
        Assert.Empty(tensor.Values);
    }

    [Fact]
    public void Shape_and_number_of_values_must_agree() =>
        Assert.Contains("[2, 3] holds 6 values, not 5", Assert.Throws<ArgumentException>(() => new TensorData([2, 3], new float[5])).Message);
}
