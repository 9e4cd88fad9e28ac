using RepVgg.Reparameterization;
using RepVgg.Testing;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Reparameterization;

/// <summary>The algebra on numbers that can be checked by hand, and on random numbers against convolutions by their definition.</summary>
public class LinearBranchTests
{
    private const double Tolerance = 1e-6;

    [Fact]
    public void Two_convolutions_are_added()
    {
        // On 7x7 with a channel of ones and a channel of twos, a kernel of ones sees (1 + 2) * 4 in corners, * 6 at edges, * 9 inside.
        var input = OnesAndTwos();
        float[] ones = Filled(18, 1), twos = Filled(18, 2);
        var first = LinearBranch.Convolution(new TensorData(ones), 2, 1, 3, 3, bias: new TensorData([10]));
        var second = LinearBranch.Convolution(new TensorData(twos), 2, 1, 3, 3, bias: new TensorData([20]));
        var sum = first.Plus(second);
        Assert.Equal(Filled(18, 3), sum.Kernel.ToArray());
        Assert.Equal([30f], sum.Bias.ToArray());

        var expected = ReferenceConvolution.Add(
            ReferenceConvolution.Run(input, ones, 1, 3, 3, bias: [10]), ReferenceConvolution.Run(input, twos, 1, 3, 3, bias: [20]));
        Assert.Equal((66, 84, 111), (expected[0, 0, 0], expected[0, 0, 3], expected[0, 3, 3]));
        Assert.Equal(expected, Run(sum, input));
    }

    [Fact]
    public void A_convolution_keeps_its_own_bias_under_a_batch_norm()
    {
        // (37 - 5) / 10 * 5 + 20 = 36 inside; the bias is (10 - 5) / 10 * 5 + 20.
        var norm = new NormValues([5], [20], [5], [100], 0);
        var branch = LinearBranch.Convolution(new TensorData(Filled(18, 1)), 2, 1, 3, 3, bias: new TensorData([10])).Then(norm);
        Assert.Equal(Filled(18, 0.5f), branch.Kernel.ToArray());
        Assert.Equal([22.5f], branch.Bias.ToArray());

        var expected = ReferenceConvolution.Normalize(ReferenceConvolution.Run(OnesAndTwos(), Filled(18, 1), 1, 3, 3, bias: [10]), norm);
        Assert.Equal((28.5, 31.5, 36), (expected[0, 0, 0], expected[0, 0, 3], expected[0, 3, 3]));
        Assert.Equal(expected, Run(branch, OnesAndTwos()));
    }

    [Fact]
    public void A_1x1_convolution_with_batch_norm_is_the_centre_of_a_3x3_kernel()
    {
        var norm = new NormValues([5], [20], [5], [100], 0);
        var branch = LinearBranch.Convolution(new TensorData([2, 3]), 2, 1, 1, 1).Then(norm);
        Assert.Equal([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1.5f, 0, 0, 0, 0], branch.Kernel.ToArray());
        Assert.Equal([17.5f], branch.Bias.ToArray());
        // 2 * 1 + 3 * 2 = 8 at every pixel, and (8 - 5) / 10 * 5 + 20.
        Assert.All(Run(branch, OnesAndTwos()).Cast<double>(), value => Assert.Equal(21.5, value));
    }

    [Fact]
    public void An_identity_with_batch_norm_reads_the_channel_of_the_same_number_within_its_group()
    {
        var norm = new NormValues([2, 4, 6, 8], [1, 1, 1, 1], [0, 0, 1, 1], [4, 4, 4, 4], 0);
        var zeros = LinearBranch.Convolution(new TensorData(Filled(4 * 2, 0)), 4, 4, 1, 1, groups: 2);
        var sum = zeros.Plus(LinearBranch.Identity(4).Then(norm));
        var expected = new float[4 * 2 * 9];
        for (int o = 0; o < 4; o++)
            expected[(o * 2 + o % 2) * 9 + 4] = o + 1;
        Assert.Equal(expected, sum.Kernel.ToArray());
        Assert.Equal([1f, 1, -2, -3], sum.Bias.ToArray());
        Assert.Equal(2, sum.Groups);

        var input = Random(4, 5, 6);
        AssertClose(ReferenceConvolution.Normalize(input, norm), Run(sum, input));
        // By itself, it is a convolution with one group per channel.
        AssertClose(ReferenceConvolution.Normalize(input, norm), Run(LinearBranch.Identity(4).Then(norm), input));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    public void Kernels_of_all_sizes_are_centred(int groups, int stride)
    {
        const int Channels = 6;
        var input = Random(Channels, 8, 7);
        LinearBranch? sum = null;
        double[,,]? expected = null;
        foreach (var (height, width) in ((int, int)[])[(1, 3), (3, 1), (1, 1), (3, 3)])
        {
            float[] kernel = RandomValues(Channels * Channels / groups * height * width, height * 10 + width), bias = RandomValues(Channels, width);
            var norm = RandomNorm(Channels, height * 10 + width);
            var branch = LinearBranch.Convolution(new TensorData(kernel), Channels, Channels, height, width, stride, groups, new TensorData(bias)).Then(norm);
            var output = ReferenceConvolution.Normalize(ReferenceConvolution.Run(input, kernel, Channels, height, width, stride, groups, bias), norm);
            AssertClose(output, Run(branch, input));
            sum = sum?.Plus(branch) ?? branch;
            expected = expected is null ? output : ReferenceConvolution.Add(expected, output);
        }
        AssertClose(expected!, Run(sum!, input));
        if (stride == 1)
            AssertClose(ReferenceConvolution.Add(expected!, input), Run(LinearBranch.Identity(Channels).Plus(sum!), input));
    }

    [Fact]
    public void A_scale_and_shift_apply_to_a_whole_sum()
    {
        var input = Random(4, 6, 5);
        float[] kernel = RandomValues(4 * 4 * 9, 1), point = RandomValues(4 * 4, 2);
        NormValues inner = RandomNorm(4, 3), outer = RandomNorm(4, 4);
        var branch = LinearBranch.Convolution(new TensorData(kernel), 4, 4, 3, 3).Then(inner)
            .Plus(LinearBranch.Convolution(new TensorData(point), 4, 4, 1, 1))
            .Plus(LinearBranch.Identity(4))
            .Then(outer).Then([1, -2, 3, 0], [0, 1, 0, 2]);
        var sum = ReferenceConvolution.Add(
            ReferenceConvolution.Normalize(ReferenceConvolution.Run(input, kernel, 4, 3, 3), inner),
            ReferenceConvolution.Add(ReferenceConvolution.Run(input, point, 4, 1, 1), input));
        var expected = ReferenceConvolution.Normalize(ReferenceConvolution.Normalize(sum, outer), new NormValues([1, -2, 3, 0], [0, 1, 0, 2], new float[4], [1, 1, 1, 1], 0));
        AssertClose(expected, Run(branch, input));
    }

    [Fact]
    public void A_1x1_and_a_3x3_convolution_become_one()
    {
        // 1x1: 2 a + 3 b, + 1. 3x3: ones, + 10. Inside: 9 * (2 * 1 + 3 * 2 + 1) + 10 = 91.
        var sequence = LinearBranch.Convolution(new TensorData([2, 3]), 2, 1, 1, 1, bias: new TensorData([1]))
            .Then(LinearBranch.Convolution(new TensorData(Filled(9, 1)), 1, 1, 3, 3, bias: new TensorData([10])));
        Assert.Equal([.. Filled(9, 2), .. Filled(9, 3)], sequence.Kernel.ToArray());
        Assert.Equal([19f], sequence.Bias.ToArray());
        Assert.Equal(91, Run(sequence, OnesAndTwos())[0, 3, 3]);
    }

    [Theory]
    [InlineData(1, 1, 3, 3)]
    [InlineData(2, 1, 3, 3)]
    [InlineData(2, 2, 3, 3)]
    [InlineData(1, 2, 1, 3)]
    [InlineData(1, 1, 3, 1)]
    [InlineData(2, 2, 1, 1)]
    public void A_sequence_is_exact_where_the_padding_holds_what_the_first_convolution_makes_of_zeros(int groups, int stride, int height, int width)
    {
        const int Inputs = 4, Between = 6, Outputs = 8;
        var input = Random(Inputs, 7, 8);
        float[] first = RandomValues(Between * Inputs / groups, 1), second = RandomValues(Outputs * Between / groups * height * width, 2);
        float[] firstBias = RandomValues(Between, 3), secondBias = RandomValues(Outputs, 4);
        NormValues firstNorm = RandomNorm(Between, 5), secondNorm = RandomNorm(Outputs, 6);
        var branch = LinearBranch.Convolution(new TensorData(first), Inputs, Between, 1, 1, 1, groups, new TensorData(firstBias)).Then(firstNorm)
            .Then(LinearBranch.Convolution(new TensorData(second), Between, Outputs, height, width, stride, groups, new TensorData(secondBias)).Then(secondNorm));

        // The input is padded before the first convolution, whose output therefore has that border.
        var padded = ReferenceConvolution.Pad(input, height / 2, width / 2);
        var middle = ReferenceConvolution.Normalize(ReferenceConvolution.Run(padded, first, Between, 1, 1, 1, groups, firstBias), firstNorm);
        var expected = ReferenceConvolution.Normalize(ReferenceConvolution.Run(middle, second, Outputs, height, width, stride, groups, secondBias, padded: false), secondNorm);
        AssertClose(expected, Run(branch, input));

        // With zeros around the output of the first one instead, only the border differs.
        middle = ReferenceConvolution.Normalize(ReferenceConvolution.Run(input, first, Between, 1, 1, 1, groups, firstBias), firstNorm);
        var zeroPadded = ReferenceConvolution.Normalize(ReferenceConvolution.Run(middle, second, Outputs, height, width, stride, groups, secondBias), secondNorm);
        Assert.Equal(expected[0, 2, 2], zeroPadded[0, 2, 2], 1e-9);
        Assert.Equal(height * width > 1, Math.Abs(expected[0, 0, 0] - zeroPadded[0, 0, 0]) > 1e-3);
    }

    [Fact]
    public void The_identity_changes_nothing_in_a_sequence()
    {
        float[] kernel = RandomValues(6 * 2 * 9, 1), point = RandomValues(6 * 2, 2);
        var convolution = LinearBranch.Convolution(new TensorData(kernel), 4, 6, 3, 3, groups: 2);
        Assert.Equal(kernel, LinearBranch.Identity(4).Then(convolution).Kernel.ToArray());
        var first = LinearBranch.Convolution(new TensorData(point), 4, 6, 1, 1, groups: 2);
        Assert.Equal(first.Kernel.ToArray(), first.Then(LinearBranch.Identity(6)).Kernel.ToArray());
        Assert.True(LinearBranch.Identity(4).Then(LinearBranch.Identity(4)).IsDiagonal);
    }

    [Fact]
    public void Sums_are_rounded_once()
    {
        // In single precision, 1e8 + 1 - 1e8 is 0, and 3e7 times a third is not 1e7.
        foreach (int size in (int[])[1, 3])
        {
            LinearBranch Constant(float value) => LinearBranch.Convolution(new TensorData(Filled(2 * size * size, value)), 2, 1, size, size, bias: new TensorData([value]));
            var sum = Constant(1e8f).Plus(Constant(1)).Plus(Constant(-1e8f)).Plus(Constant(3e7f).Then([1.0 / 3], [0])).Plus(Constant(-1e7f));
            float[] kernel = sum.Kernel.ToArray();
            Assert.All(size == 3 ? kernel : [kernel[4], kernel[13]], value => Assert.Equal(1, value, 1e-6f));
            Assert.Equal(1, sum.Bias.ToArray()[0], 1e-6f);
        }
    }

    [Fact]
    public void A_single_convolution_is_not_computed()
    {
        TensorData kernel = new(new float[2 * 2 * 9]), bias = new(new float[2]);
        var convolution = LinearBranch.Convolution(kernel, 2, 2, 3, 3, bias: bias);
        Assert.Same(kernel, convolution.Kernel);
        Assert.Same(bias, convolution.Bias);
    }

    [Fact]
    public void A_kernel_can_be_read_in_parts_and_in_place()
    {
        float[] kernel = RandomValues(5 * 3 * 9, 1), point = RandomValues(5 * 3, 2);
        var sum = LinearBranch.Convolution(new TensorData(kernel), 3, 5, 3, 3).Then(RandomNorm(5, 3))
            .Plus(LinearBranch.Convolution(new TensorData(point), 3, 5, 1, 1).Then(RandomNorm(5, 4)));
        float[] whole = sum.Kernel.ToArray(), buffer = [];
        foreach (var (start, count) in ((int, int)[])[(0, 135), (27, 54), (20, 1), (13, 100), (135, 0)])
            Assert.Equal(whole[start..(start + count)], sum.Kernel.Read(start, count, ref buffer).ToArray());
        sum.ReadKernel(kernel);
        Assert.Equal(whole, kernel);
    }

    [Fact]
    public void What_does_not_fit_together_is_refused()
    {
        var branch = Zeros(4, 6);
        Refused("cannot be added: 4 to 6 channels, kernel 1x1, stride 1, groups 1; 4 to 6 channels, kernel 1x1, stride 2, groups 1", () => branch.Plus(Zeros(4, 6, stride: 2)));
        Refused("groups 1; 4 to 6 channels, kernel 1x1, stride 1, groups 2", () => branch.Plus(Zeros(4, 6, groups: 2)));
        Refused("cannot be added", () => branch.Plus(Zeros(4, 8)));
        Refused("cannot be added", () => branch.Plus(Zeros(2, 6)));
        Refused("identity of 4 channels", () => branch.Plus(LinearBranch.Identity(4)));
        Refused("identity of 6 channels", () => LinearBranch.Identity(6).Plus(Zeros(6, 6, stride: 2)));
        Refused("follow each other differ", () => branch.Then(Zeros(4, 6)));
        Refused("follow each other differ", () => branch.Then(Zeros(6, 6, groups: 2)));
        Refused("Only a 1x1 convolution of stride 1", () => Zeros(4, 6, stride: 2).Then(Zeros(6, 6)));
        Refused("not 1 to 1 channels, kernel 3x3", () => LinearBranch.Convolution(new TensorData(new float[9]), 1, 1, 3, 3).Then(LinearBranch.Identity(1)));
        Refused("5 scales and 6 shifts follow 6 channels", () => branch.Then(new double[5], new double[6]));
        Refused("4 scales and 4 shifts follow 6 channels", () => branch.Then(RandomNorm(4, 1)));
        Refused("is -1 at channel 1", () => branch.Then(RandomNorm(6, 1) with { Variance = [1, -1, 1, 1, 1, 1] }));
        Refused("is NaN at channel 0", () => branch.Then(RandomNorm(6, 1) with { Variance = [float.NaN, 1, 1, 1, 1, 1] }));
        Refused("is 0 at channel 5", () => branch.Then(RandomNorm(6, 1) with { Variance = [1, 1, 1, 1, 1, 0], Epsilon = 0 }));
        Refused("differ in length: 6, 6, 5 and 6", () => branch.Then(RandomNorm(6, 1) with { Mean = new float[5] }));
        Refused("kernel of 5x5", () => LinearBranch.Convolution(new TensorData(new float[25]), 1, 1, 5, 5));
        Refused("kernel of 3x2", () => LinearBranch.Convolution(new TensorData(new float[6]), 1, 1, 3, 2));
        Refused("has 36 kernel values, not 9", () => LinearBranch.Convolution(new TensorData(new float[9]), 2, 2, 3, 3));
        Refused("has 2 bias values, not 1", () => LinearBranch.Convolution(new TensorData(new float[36]), 2, 2, 3, 3, bias: new TensorData([1])));
        Refused("3 groups", () => Zeros(4, 6, groups: 3));
        Refused("stride 0", () => Zeros(4, 6, stride: 0));
        Refused("0 to 0 channels", () => LinearBranch.Identity(0));
        Refused("too large", () => Zeros(50_000, 1).Then(Zeros(1, 50_000)));
        Refused("has 54 values, not 9", () => Zeros(1, 6).ReadKernel(new float[9]));

        static LinearBranch Zeros(int inputs, int outputs, int stride = 1, int groups = 1) =>
            LinearBranch.Convolution(new TensorData(new float[outputs * inputs / groups]), inputs, outputs, 1, 1, stride, groups);

        static void Refused(string expected, Action action) => Assert.Contains(expected, Assert.Throws<ArgumentException>(action).Message);
    }

    private static double[,,] Run(LinearBranch branch, double[,,] input) =>
        ReferenceConvolution.Run(input, branch.Kernel.ToArray(), branch.OutputChannels, 3, 3, branch.Stride, branch.Groups, branch.Bias.ToArray());

    private static void AssertClose(double[,,] expected, double[,,] actual)
    {
        Assert.Equal((expected.GetLength(0), expected.GetLength(1), expected.GetLength(2)), (actual.GetLength(0), actual.GetLength(1), actual.GetLength(2)));
        Compare.Close([.. expected.Cast<double>().Select(value => (float)value)], [.. actual.Cast<double>().Select(value => (float)value)], Tolerance);
    }

    private static double[,,] OnesAndTwos()
    {
        var map = new double[2, 7, 7];
        for (int i = 0; i < map.Length; i++)
            map[i / 49, i / 7 % 7, i % 7] = 1 + i / 49;
        return map;
    }

    private static double[,,] Random(int channels, int height, int width)
    {
        var map = new double[channels, height, width];
        Buffer.BlockCopy(Array.ConvertAll(RandomValues(map.Length, 9), value => (double)value), 0, map, 0, map.Length * sizeof(double));
        return map;
    }

    private static float[] Filled(int length, float value) => [.. Enumerable.Repeat(value, length)];

    private static float[] RandomValues(int length, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (float)(random.NextDouble() * 2 - 1))];
    }

    private static NormValues RandomNorm(int channels, int seed) => new(
        RandomValues(channels, seed), RandomValues(channels, seed + 100), RandomValues(channels, seed + 200),
        [.. RandomValues(channels, seed + 300).Select(value => value * 0.4f + 1)], 1e-3);
}
