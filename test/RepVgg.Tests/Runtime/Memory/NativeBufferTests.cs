using RepVgg.Runtime.Memory;
using Xunit;

namespace RepVgg.Tests.Runtime.Memory;

public unsafe class NativeBufferTests
{
    [Theory]
    [InlineData(1, 64)]
    [InlineData(1000, 64)]
    [InlineData(3 << 20, 2 << 20)]
    public void Floats_are_zero_and_aligned_and_may_be_read_past_the_end(int length, int alignment)
    {
        // A buffer that was written to leaves old values where the next one may lie.
        for (int round = 0; round < 2; round++)
        {
            using var buffer = new NativeBuffer(length);
            Assert.Equal(length, buffer.Length);
            Assert.Equal(0, (nint)buffer.Pointer % alignment);
            var floats = new Span<float>(buffer.Pointer, length + NativeBuffer.EndPadding);
            Assert.Equal(-1, floats.IndexOfAnyExcept(0f));
            floats.Fill(1);
        }
    }

    [Fact]
    public void Nothing_points_to_memory_that_was_given_back()
    {
        var buffer = new NativeBuffer(10);
        buffer.Dispose();
        buffer.Dispose();
        Assert.True(buffer.Pointer is null);
    }
}
