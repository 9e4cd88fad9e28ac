using RepVgg.Runtime;
using Xunit;

namespace RepVgg.Tests.Runtime;

public class MessageTextTests
{
    [Theory]
    [InlineData("🐱 cat")]
    [InlineData("👩‍🚀")] // joined by U+200D
    [InlineData("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f")] // tag characters
    [InlineData("❤️")] // variation selector
    [InlineData("قطة")]
    [InlineData("می‌خواهم")] // U+200C
    [InlineData("cafe\u0301")]
    public void Characters_of_any_script_stay(string name) => Assert.Equal(name, MessageText.Printable(name));

    [Theory]
    [InlineData("a\e[2Jb", "a?[2Jb")]
    [InlineData("a\u202eb", "a?b")] // changes the direction of the text that follows
    [InlineData("a\u2028b\u0085", "a?b?")]
    [InlineData("a\ufeff", "a?")]
    public void Characters_that_terminals_execute_are_replaced(string name, string expected) => Assert.Equal(expected, MessageText.Printable(name));

    [Fact]
    public void Halves_of_a_character_are_replaced() => Assert.Equal("?b", MessageText.Printable("🐱"[1..] + "b"));
}
