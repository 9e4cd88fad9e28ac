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
}
