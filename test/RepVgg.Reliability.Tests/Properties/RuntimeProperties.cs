using System.Globalization;
using System.Text;
using CsCheck;
using RepVgg.Runtime;
using Xunit;

namespace RepVgg.Reliability.Tests.Properties;

/// <summary>Texts of messages and random numbers.</summary>
public class RuntimeProperties
{
    private static readonly Gen<string> _texts = Gen.String[Gen.OneOf(Gen.Char, Gen.Char['\0', '\u00ff'], Gen.Char['\u2000', '\u206f']), 0, 300];

    /// <summary>Emoji of several characters, and scripts such as Persian, need the zero-width non-joiner and joiner, and the tag characters of flags.</summary>
    private static readonly IEnumerable<int> _partsOfCharacters = [0x200c, 0x200d, .. Enumerable.Range(0xe0020, 0x60)];

    [Fact]
    public void Messages_contain_no_control_characters() => _texts.Sample(text =>
    {
        Check(MessageText.Printable(text), 203);
        Check(MessageText.WithoutControls(text), text.Length);
        Check(MessageText.Join([.. Enumerable.Repeat(text, 20)]), int.MaxValue);
        Check(MessageText.Reason(new InvalidDataException(text)), int.MaxValue);
        Check(MessageText.Reason(new ArgumentException(text, "name")), int.MaxValue);
    }, iter: 3000);

    [Fact]
    public void Printable_names_stay_as_they_are() => Gen.String[Gen.Char[' ', '~'], 0, 200].Sample(text => MessageText.Printable(text) == text, iter: 3000);

    [Fact]
    public void Random_integers_are_within_their_bound_and_repeat() => Gen.Select(Gen.ULong, Gen.Int[1, int.MaxValue]).Sample((seed, bound) =>
    {
        RandomStream stream = new(seed), same = new(seed);
        for (int i = 0; i < 20; i++)
        {
            int value = stream.Next(bound);
            Assert.InRange(value, 0, bound - 1);
            Assert.Equal(value, same.Next(bound));
        }
    }, iter: 3000);

    [Fact]
    public void Random_numbers_are_from_0_to_1() => Gen.ULong.Sample(seed =>
    {
        var stream = new RandomStream(seed);
        return Enumerable.Range(0, 20).All(_ => stream.NextDouble() is >= 0 and < 1);
    }, iter: 3000);

    [Fact]
    public void Shuffled_values_are_the_same_values() => Gen.Select(Gen.ULong, Gen.Int.Array[0, 50]).Sample((seed, values) =>
    {
        int[] shuffled = [.. values];
        new RandomStream(seed).Shuffle(shuffled);
        return values.Order().SequenceEqual(shuffled.Order());
    }, iter: 3000);

    [Fact]
    public void Streams_of_other_purposes_or_indices_are_other_streams() => Gen.Select(Gen.ULong, Gen.ULong[0, 1000], Gen.ULong[0, 1000]).Sample((seed, first, second) =>
    {
        ulong[] values =
        [
            new RandomStream(seed, RandomStream.Purpose.Shuffle, first, second).NextUInt64(), new RandomStream(seed, RandomStream.Purpose.Augment, first, second).NextUInt64(),
            new RandomStream(seed, RandomStream.Purpose.Shuffle, first + 1, second).NextUInt64(), new RandomStream(seed, RandomStream.Purpose.Shuffle, first, second + 1).NextUInt64(),
            new RandomStream(seed + 1, RandomStream.Purpose.Shuffle, first, second).NextUInt64(),
        ];
        return values.Distinct().Count() == values.Length;
    }, iter: 3000);

    private static void Check(string text, int length)
    {
        Assert.InRange(text.Length, 0, length);
        // A surrogate that is alone becomes the replacement character in UTF-8.
        Assert.Equal(text, Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)));
        Assert.DoesNotContain(text.EnumerateRunes(), rune => Rune.IsControl(rune) || (Rune.GetUnicodeCategory(rune) == UnicodeCategory.Format && !_partsOfCharacters.Contains(rune.Value)));
    }
}
