using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32;
using RepVgg.Runtime.Simd;
using Xunit;

namespace RepVgg.Tests.Inference;

/// <summary>Types and steps that limit the time of JIT compilation.</summary>
public class CompileTimeTests
{
    [Fact]
    public void The_size_of_a_count_is_its_number()
    {
        int[] sizes =
        [
            Size<One>(), Size<Two>(), Size<Three>(), Size<Four>(), Size<Five>(), Size<Six>(),
            Size<Seven>(), Size<Eight>(), Size<Nine>(), Size<Ten>(), Size<Eleven>(), Size<Twelve>(),
        ];
        Assert.Equal(Enumerable.Range(1, sizes.Length), sizes);

        static int Size<TCount>()
            where TCount : unmanaged, ICount
        {
            Assert.Equal(TCount.Value, Unsafe.SizeOf<TCount>());
            return TCount.Value;
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void The_warm_up_runs_at_every_width(int width)
    {
        WarmupNetwork.CompileKernels((VectorWidth)width);
        string result = JitWarmup.RunDuring(() => WarmupNetwork.CompileKernels(VectorWidths.Widest), () => "read");
        Assert.Equal("read", result);
    }
}
