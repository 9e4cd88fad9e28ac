using System.Runtime.InteropServices;
using RepVgg.Runtime.Memory;
using Xunit;

namespace RepVgg.Tests.Runtime.Memory;

public class NativeBufferTests
{
    [Theory]
    [InlineData(1, 64)]
    [InlineData(1000, 64)]
    [InlineData(3 << 20, 2 << 20)]
    public unsafe void Floats_are_zero_and_aligned_and_may_be_read_past_the_end(int length, int alignment)
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
    public async Task Memory_is_allocated_without_the_functions_of_the_C_library() =>
        Assert.Equal("0 1", (await Program.Child.RunAsync("no-c-library")).Trim());

    /// <summary>Allocates buffers where the C library is not found, and prints what is in them before and after they are written.</summary>
    internal static unsafe void AllocateWithoutLibrary()
    {
        NativeLibrary.SetDllImportResolver(typeof(NativeBuffer).Assembly, (name, _, _) => throw new DllNotFoundException(name));
        float first = 0, last = float.MaxValue;
        foreach (int length in new[] { 1, 1 << 16, 3 << 20 })
        {
            using var buffer = new NativeBuffer(length);
            var floats = new Span<float>(buffer.Pointer, length + NativeBuffer.EndPadding);
            first = Math.Max(first, floats.IndexOfAnyExcept(0f) + 1);
            floats.Fill(1);
            last = Math.Min(last, floats[^1]);
        }
        Console.WriteLine(FormattableString.Invariant($"{first} {last}"));
    }

    [Fact]
    public unsafe void Nothing_points_to_memory_that_was_given_back()
    {
        var buffer = new NativeBuffer(10);
        buffer.Dispose();
        buffer.Dispose();
        Assert.True(buffer.Pointer is null);
    }
}
