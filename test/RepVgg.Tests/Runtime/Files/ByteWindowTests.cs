using RepVgg.Runtime.Files;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Runtime.Files;

public sealed class ByteWindowTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly byte[] _bytes = new byte[3 * ByteWindow.Size + 5];

    public ByteWindowTests() => new Random(1).NextBytes(_bytes);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Every_part_is_that_of_the_file(bool isFile)
    {
        if (isFile)
            ByteSource.Use(_folder.Write("bytes", _bytes), Check);
        else
            Check(ByteSource.Of(new MemoryStream(_bytes)));
    }

    [Fact]
    public void A_stream_is_read_from_its_position()
    {
        var stream = new MemoryStream(_bytes) { Position = 3 };
        var source = ByteSource.Of(stream);
        Assert.Equal((_bytes.Length - 3, "The stream"), (source.Length, source.Name));
        Assert.Equal(_bytes[3..10], source.Read(0, 7));
    }

    private bool Check(ByteSource source)
    {
        var window = new ByteWindow(source);
        var random = new Random(2);
        for (int i = 0; i < 2000; i++)
        {
            int count = random.Next(4) == 0 ? random.Next(ByteWindow.Size + 1) : random.Next(10), position = random.Next(_bytes.Length - count);
            Assert.True(_bytes.AsSpan(position, count).SequenceEqual(window.Bytes(position, count)));
            Assert.Equal(_bytes[position], window.Byte(position));
        }
        Assert.Equal(_bytes[^1], window.Byte(_bytes.Length - 1));
        foreach (var (position, count) in ((long, int)[])[(_bytes.Length, 1), (_bytes.Length - 1, 2), (-1, 1), (long.MaxValue, 1), (0, _bytes.Length + 1)])
        {
            Assert.Throws<EndOfStreamException>(() => source.Read(position, count));
            Assert.Throws<EndOfStreamException>(() => source.Read(position, new byte[count].AsSpan()));
            if (count <= ByteWindow.Size)
                Assert.Throws<EndOfStreamException>(() => window.Bytes(position, count).Length);
        }
        return true;
    }
}
