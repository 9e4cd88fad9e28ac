using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Inference.Float32;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Inference;

public class SegmentationEngineTests
{
    private static readonly VectorWidth[] _widths = [.. Enum.GetValues<VectorWidth>().Where(width => width <= VectorWidths.Widest || width == VectorWidth.Bits128)];

    [Theory]
    [InlineData(65, 65, 5, 16, true, new[] { 1, 2, 3, 6 })]
    [InlineData(64, 72, 21, 8, false, new[] { 1, 2, 3, 6 })]
    [InlineData(57, 49, 1, 12, true, new[] { 1, 2, 3, 6 })]
    [InlineData(73, 61, 17, 5, true, new[] { 2, 5 })]
    [InlineData(33, 47, 3, 24, false, new[] { 1 })]
    public void Agrees_with_the_definition(int height, int width, int classes, int channels, bool alignCorners, int[] bins)
    {
        const int Count = 2;
        var network = RandomSegmentation.Create(RandomSegmentation.Architecture(classes, channels, bins) with { AlignCorners = alignCorners }, height, width);
        float[] pixels = RandomNetworks.Pixels(network.Backbone, Count), expected = ReferenceSegmentation.Logits(network, pixels, Count);
        var best = ReferenceSegmentation.Classes(expected, classes, height * width);
        foreach (var vectors in _widths)
        {
            foreach (StrategyChoice? choose in (StrategyChoice?[])[null, (_, _, _) => ConvolutionStrategy.Direct])
            {
                using var engine = new SegmentationEngine(network, threads: 2, vectors, choose);
                float[] logits = new float[expected.Length];
                engine.RunLogits(pixels, Count, logits);
                Compare.Close(expected, logits, 1e-5, $"logits at {vectors}");
                byte[] masks = new byte[Count * height * width];
                engine.Run(pixels, Count, masks);
                Assert.All(masks.Zip(best), pair => Assert.True(pair.First == pair.Second.Class || pair.Second.IsClose));
                // The mask has the largest of the engine's own logits.
                Assert.Equal(ReferenceSegmentation.Classes(logits, classes, height * width).Select(pixel => pixel.Class), masks);
            }
        }
    }

    [Fact]
    public void Any_batch_and_number_of_threads_gives_the_same_bits()
    {
        const int Most = 7;
        var network = RandomSegmentation.Create(RandomSegmentation.Architecture(9, 16, 1, 2, 3, 6), 61, 50);
        float[] pixels = RandomNetworks.Pixels(network.Backbone, Most);
        using var alone = new SegmentationEngine(network, threads: 1);
        float[] expected = new float[Most * 9 * alone.MaskLength];
        for (int i = 0; i < Most; i++)
            alone.RunLogits(pixels.AsSpan(i * alone.InputLength, alone.InputLength), 1, expected.AsSpan(i * 9 * alone.MaskLength, 9 * alone.MaskLength));
        using var engine = new SegmentationEngine(network, threads: 3);
        foreach (int count in (int[])[1, 2, 5, Most])
        {
            float[] logits = new float[count * 9 * engine.MaskLength];
            engine.RunLogits(pixels.AsSpan(0, count * engine.InputLength), count, logits);
            Assert.Equal(expected[..logits.Length], logits);
            byte[] masks = new byte[count * engine.MaskLength], ofBytes = new byte[masks.Length];
            engine.Run(pixels.AsSpan(0, count * engine.InputLength), count, masks);
            engine.Run(Array.ConvertAll(pixels[..(count * engine.InputLength)], pixel => (byte)pixel), count, ofBytes);
            Assert.Equal(masks, ofBytes);
        }
    }

    [Fact]
    public void No_memory_is_allocated_after_the_first_calls()
    {
        var network = RandomSegmentation.Create(RandomSegmentation.Architecture(5, 16, 1, 2, 3, 6), 65, 65);
        float[] pixels = RandomNetworks.Pixels(network.Backbone, 1);
        using var engine = new SegmentationEngine(network, threads: 1);
        byte[] masks = new byte[engine.MaskLength];
        float[] logits = new float[5 * engine.MaskLength];
        for (int i = 0; i < 3; i++)
            Run();
        Assert.Equal(0, Allocations.Of(20, Run));

        void Run()
        {
            engine.Run(pixels, 1, masks);
            engine.RunLogits(pixels, 1, logits);
        }
    }

    [Fact]
    public void Images_that_cannot_be_used_are_refused()
    {
        var architecture = RandomSegmentation.Architecture(5, 8, 1, 2, 3, 6);
        Assert.Contains("fewer than the 6x6 bins of the pyramid. Use at least 41x41 pixels", Assert.Throws<ArgumentException>(() => RandomSegmentation.Create(architecture, 40, 64)).Message);
        var network = RandomSegmentation.Create(architecture, 41, 41);
        Assert.Throws<ArgumentException>(() => new SegmentationEngine(network with { Backbone = network.Backbone with { ImageHeight = 9 } }));
        var other = RandomSegmentation.Create(RandomSegmentation.Architecture(6, 16, 1, 2), 41, 41);
        foreach (var (problem, wrong) in ((string, SegmentationNetwork)[])
        [
            ("its classifier must have 21 inputs and 5 outputs", network with { Classifier = network.Classifier with { InputFeatures = 16 } }),
            ("its classifier must have 21 inputs and 5 outputs", network with { Classifier = other.Classifier }),
            ("its classifier must have 21 inputs and 3 outputs", network with { Architecture = architecture with { Classes = 3 } }),
            ("the convolution of its head", network with { Head = other.Head }),
            ("the convolution of its head", network with { Head = network.Head with { Bias = network.Head.Bias.RemoveAt(0) } }),
            ("a branch for each of its 4 bins", network with { Branches = network.Branches.RemoveAt(0) }),
            ("the branch of the 1x1 bins must have 24 inputs and 6 outputs", network with { Branches = network.Branches.SetItem(0, other.Branches[0]) }),
            ("the blocks of its backbone", network with { Backbone = other.Backbone }),
            ("its backbone is PooledFeatures", network with { Backbone = network.Backbone with { Output = NetworkOutput.PooledFeatures } }),
            ("a weight of its classifier is not finite", network with { Classifier = network.Classifier with { Weight = network.Classifier.Weight.SetItem(3, float.NaN) } }),
            ("a weight of stage1.0 is not finite", network with { Backbone = network.Backbone with { Blocks = network.Backbone.Blocks.SetItem(1, network.Backbone.Blocks[1] with { Bias = network.Backbone.Blocks[1].Bias.SetItem(0, float.PositiveInfinity) }) } }),
        ])
        {
            Assert.Contains(problem, Assert.Throws<ArgumentException>(() => new SegmentationEngine(wrong)).Message);
            Assert.Contains(problem, Assert.Throws<ArgumentException>(() => RepVgg.Weights.Onnx.OnnxWriter.Write(wrong, Stream.Null)).Message);
        }
        var engine = new SegmentationEngine(network, threads: 1);
        float[] pixels = RandomNetworks.Pixels(network.Backbone, 2);
        pixels[^3] = float.NaN;
        Assert.Contains("Image 1 has a pixel value that is not finite", Assert.Throws<ArgumentException>(() => engine.Run(pixels, 2, new byte[2 * 41 * 41])).Message);
        Assert.Contains("classes (1681 each)", Assert.Throws<ArgumentException>(() => engine.Run(pixels[..(3 * 41 * 41)], 1, new byte[3])).Message);
        engine.Dispose();
        Assert.Throws<ObjectDisposedException>(() => engine.Run(new byte[3 * 41 * 41], 1, new byte[41 * 41]));
    }

    [Fact]
    public void Architectures_that_are_not_defined_are_refused()
    {
        var architecture = RandomSegmentation.Architecture(5, 8, 1, 2);
        Assert.Contains("0 classes", Refused(architecture with { Classes = 0 }));
        Assert.Contains("256 classes", Refused(architecture with { Classes = 256 }));
        Assert.Contains("its bins are [2, 1]", Refused(architecture with { Bins = [2, 1] }));
        Assert.Contains("its widths are 0, 21 and 12", Refused(architecture with { BranchWidth = 0 }));
        Assert.Contains("a stage named 'aux'", Refused(architecture with { Backbone = architecture.Backbone with { Stages = architecture.Backbone.Stages.SetItem(1, architecture.Backbone.Stages[1] with { Name = "aux" }) } }));
        Assert.Contains("auxiliary classifiers", Refused(architecture with { Backbone = RepVggVariants.PlusL2pse }));
        Assert.Equal(8, PspNetArchitecture.Create(RepVggVariants.A0, 19).Backbone.OutputStride);

        static string Refused(PspNetArchitecture architecture) => Assert.Throws<ArgumentException>(architecture.Validate).Message;
    }
}
