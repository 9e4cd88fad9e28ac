using RepVgg.Runtime;
using Xunit;

namespace RepVgg.Tests.Runtime;

public sealed class RandomStreamTests
{
    [Fact]
    public void Numbers_are_those_of_the_published_SplitMix64()
    {
        // From https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64, seed 1234567.
        var random = new RandomStream(1234567);
        foreach (ulong expected in new ulong[] { 6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821 })
            Assert.Equal(expected, random.NextUInt64());
    }

    [Fact]
    public void A_double_is_the_upper_53_bits_of_the_next_number()
    {
        var random = new RandomStream(1234567);
        Assert.Equal((6457827717110365317 >> 11) / 9007199254740992.0, random.NextDouble());
    }

    [Fact]
    public void Normal_numbers_have_the_moments_of_the_distribution()
    {
        var random = new RandomStream(3);
        double[] numbers = [.. Enumerable.Range(0, 100_000).Select(_ => random.NextNormal())];
        // Five standard deviations of the mean, the variance and the fourth moment.
        Assert.InRange(numbers.Average(), -0.016, 0.016);
        Assert.InRange(numbers.Average(x => x * x), 1 - 0.023, 1 + 0.023);
        Assert.InRange(numbers.Average(x => x * x * x * x), 3 - 0.16, 3 + 0.16);
    }

    [Theory]
    [InlineData(0.2)]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(0.001)]
    public void Beta_numbers_have_the_moments_of_the_distribution(double alpha)
    {
        var random = new RandomStream(4);
        double[] numbers = [.. Enumerable.Range(0, 100_000).Select(_ => random.NextBeta(alpha))];
        Assert.All(numbers, x => Assert.InRange(x, 0, 1));
        Assert.InRange(numbers.Average(), 0.492, 0.508);
        double variance = 1 / (4 * (2 * alpha + 1));
        Assert.InRange(numbers.Average(x => (x - 0.5) * (x - 0.5)), variance * 0.975, variance * 1.025);
        // Symmetric in its tails, too.
        Assert.InRange(numbers.Count(x => x < 0.1) - numbers.Count(x => x > 0.9), -1600, 1600);
    }
}
