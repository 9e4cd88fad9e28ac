using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Inference.Float32;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Inference;

public class InferenceEngineTests
{
    private static readonly VectorWidth[] _widths = [.. Enum.GetValues<VectorWidth>().Where(width => width <= VectorWidths.Widest || width == VectorWidth.Bits128)];

    public static TheoryData<int, int, int, int> Shapes() => new()
    {
        // Image height and width, input channels, groups.
        { 1, 1, 3, 1 }, { 2, 3, 1, 1 }, { 7, 5, 3, 2 }, { 16, 16, 1, 4 }, { 28, 28, 1, 1 }, { 31, 33, 3, 1 }, { 57, 40, 3, 2 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Agrees_with_the_definition(int height, int width, int channels, int groups)
    {
        // Widths that are no multiple of any channel block, and groups that end inside one.
        var architecture = RandomNetworks.Architecture(channels, groups, SqueezeExcitation.None, (12, 1, 2), (20, 2, 1), (36, 3, 2), (52, 2, 2));
        var network = RandomNetworks.Create(architecture, height, width, classes: 11);
        AssertAgrees(network, count: 3);
    }

    [Theory]
    [InlineData(227, 225, 1)]
    [InlineData(225, 227, 2)]
    public void Agrees_with_the_definition_on_large_images(int height, int width, int stride)
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (7, 1, stride), (17, 2, 2));
        AssertAgrees(RandomNetworks.Create(architecture, height, width, classes: 5), count: 1);
    }

    [Theory]
    [InlineData(32, 32, 1)]
    [InlineData(30, 33, 2)]
    [InlineData(48, 40, 1)]
    public void Agrees_with_the_definition_with_padding_on_one_side(int height, int width, int groups)
    {
        // Direct and strided Winograd convolutions, on maps of even and odd size.
        var architecture = RandomNetworks.Architecture(3, groups, SqueezeExcitation.None, (12, 1, 2), (32, 2, 2), (64, 2, 2), (96, 2, 2)).PaddedForTensorFlow(height, width);
        Assert.Contains(architecture.Stages, stage => stage.PaddingTop == 0);
        AssertAgrees(RandomNetworks.Create(architecture, height, width, classes: 7), count: 3);
    }

    [Theory]
    [InlineData(64, 64, 8, null, SqueezeExcitation.None, 1)]
    [InlineData(65, 73, 8, null, SqueezeExcitation.None, 1)]
    [InlineData(61, 50, 8, null, SqueezeExcitation.None, 2)]
    [InlineData(57, 65, 4, 3, SqueezeExcitation.None, 1)]
    [InlineData(57, 65, 4, 3, SqueezeExcitation.None, 2)]
    [InlineData(66, 33, 16, null, SqueezeExcitation.BeforeRelu, 1)]
    [InlineData(35, 51, 8, null, SqueezeExcitation.AfterRelu, 1)]
    [InlineData(33, 40, 1, null, SqueezeExcitation.None, 1)]
    public void Agrees_with_the_definition_of_dilated_convolutions(int height, int width, int outputStride, int? dilatedBlocks, SqueezeExcitation where, int groups)
    {
        var architecture = RandomNetworks.Architecture(3, groups, where, (16, 1, 2), (32, 2, 2), (32, 2, 2), (48, 3, 2), (80, 1, 2)) with { OutputStride = outputStride, DilatedBlocks = dilatedBlocks };
        var network = RandomNetworks.Create(architecture, height, width, classes: 7);
        Assert.Equal((height + outputStride - 1) / outputStride, network.TakeFeatures(pooled: false).OutputShape[1]);
        AssertAgrees(network, count: 2);
        // The map is in the order of its pixels, whatever parts the last convolution had.
        float[] pixels = RandomNetworks.Pixels(network, 2), expected = ReferenceNetwork.Outputs(network.TakeFeatures(pooled: false), pixels, 2);
        using var engine = new InferenceEngine(network.TakeFeatures(pooled: false), threads: 2);
        float[] maps = new float[expected.Length];
        // The first run has the memory in which the engine was warmed up.
        engine.Run(pixels.AsSpan(0, engine.InputLength), 1, maps.AsSpan(0, engine.OutputLength));
        Compare.Close(expected[..engine.OutputLength], maps[..engine.OutputLength], 1e-5, "map of the first run");
        engine.Run(pixels, 2, maps);
        Compare.Close(expected, maps, 1e-5, "map");
    }

    [Fact]
    public void A_batch_of_dilated_convolutions_gives_each_image_the_bits_that_it_has_alone()
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (16, 1, 2), (24, 2, 2), (40, 3, 2), (70, 2, 2)) with { OutputStride = 4 };
        var network = RandomNetworks.Create(architecture, 42, 39, classes: 10);
        float[] pixels = RandomNetworks.Pixels(network, 9);
        foreach (var width in _widths)
        {
            using var alone = new InferenceEngine(network, threads: 1, width);
            float[] expected = [.. Enumerable.Range(0, 9).SelectMany(n => Run(alone, pixels.AsSpan(n * alone.InputLength, alone.InputLength), 1))];
            using var engine = new InferenceEngine(network, threads: 3, width);
            foreach (int count in new[] { 1, 2, 5, 9 })
                Assert.Equal(expected[..(count * 10)], Run(engine, pixels.AsSpan(0, count * alone.InputLength), count));
        }
    }

    [Theory]
    [InlineData(9, 7, 1, 1)]
    [InlineData(16, 16, 3, 1)]
    [InlineData(13, 37, 3, 2)]
    public void Bytes_give_the_bits_of_the_same_pixels_as_floats(int height, int width, int channels, int groups)
    {
        var architecture = RandomNetworks.Architecture(channels, groups, SqueezeExcitation.None, (12, 1, 2), (20, 2, 1), (36, 2, 2));
        var network = RandomNetworks.Create(architecture, height, width, classes: 5);
        foreach (var vectorWidth in _widths)
        {
            using var engine = new InferenceEngine(network, threads: 2, vectorWidth);
            foreach (int count in new[] { 1, 2, 7 })
            {
                byte[] bytes = new byte[count * engine.InputLength];
                new Random(count).NextBytes(bytes);
                float[] logits = new float[count * 5];
                engine.Run(bytes, count, logits);
                Assert.Equal(Run(engine, Array.ConvertAll(bytes, pixel => (float)pixel), count), logits);
            }
            Assert.Contains("pixel values", Assert.Throws<ArgumentException>(() => engine.Run(new byte[3], 1, new float[5])).Message);
        }
    }

    [Fact]
    public void Agrees_with_the_definition_where_work_is_cut_in_many_pieces()
    {
        // More channels than one slice of filters, more tiles than one chunk.
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (24, 1, 1), (72, 2, 1), (100, 2, 1));
        AssertAgrees(RandomNetworks.Create(architecture, 18, 22, classes: 6), count: 5);
    }

    [Theory]
    [MemberData(nameof(GoldenNetworks.Names), MemberType = typeof(GoldenNetworks))]
    public void Agrees_with_the_original_code(string name)
    {
        var input = GoldenNetworks.Input(name);
        int[] shape = [.. input.Shape];
        var network = DeployNetwork.FromTrainingForm(
            GoldenNetworks.All[name], GoldenNetworks.TrainingState(name), shape[2], shape[3], Normalization.Identity(shape[1]));
        foreach (var width in _widths)
        {
            using var engine = new InferenceEngine(network, threads: 2, width);
            Compare.Close(GoldenFiles.Floats($"{name}-logits-deploy.npy").Values, Run(engine, input.Values, shape[0]), 1e-5, $"{name} at {width}");
        }
    }

    [Fact]
    public void Agrees_with_the_definition_on_A0()
    {
        AssertAgrees(RandomNetworks.Create(RepVggVariants.A0, 64, 64, classes: 20), count: 1);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public void A_batch_that_fills_its_buffers_agrees_with_the_definition(int count)
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 2), (16, 2, 2));
        AssertAgrees(RandomNetworks.Create(architecture, 8, 8, classes: 5), count);
    }

    [Theory]
    [InlineData(SqueezeExcitation.BeforeRelu)]
    [InlineData(SqueezeExcitation.AfterRelu)]
    public void Agrees_with_the_definition_with_squeeze_and_excitation(SqueezeExcitation where)
    {
        var architecture = RandomNetworks.Architecture(3, 1, where, (16, 1, 2), (32, 2, 2), (48, 2, 2));
        AssertAgrees(RandomNetworks.Create(architecture, 24, 20, classes: 10), count: 2);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_batch_gives_each_image_the_bits_that_it_has_alone(bool winogradThroughout)
    {
        StrategyChoice? choose = winogradThroughout ? WinogradThroughout : null;
        var architecture = RandomNetworks.Architecture(3, 2, SqueezeExcitation.AfterRelu, (16, 1, 2), (24, 2, 1), (40, 3, 2), (70, 1, 2));
        var network = RandomNetworks.Create(architecture, 30, 28, classes: 10);
        const int Most = 40;
        float[] pixels = RandomNetworks.Pixels(network, Most);
        foreach (var width in _widths)
        {
            using var alone = new InferenceEngine(network, threads: 1, width, choose);
            float[] expected = Enumerable.Range(0, Most)
                .SelectMany(n => Run(alone, pixels.AsSpan(n * alone.InputLength, alone.InputLength), 1)).ToArray();
            using var engine = new InferenceEngine(network, threads: 3, width, choose);
            foreach (int count in new[] { 1, 2, 3, 4, 5, 6, 7, 8, 9, 32, Most })
                Assert.Equal(expected[..(count * 10)], Run(engine, pixels.AsSpan(0, count * alone.InputLength), count));
        }
    }

    [Theory]
    [InlineData(4, 52, 52, 1)]
    [InlineData(5, 66, 66, 1)]
    [InlineData(8, 112, 112, 1)]
    [InlineData(16, 112, 112, 3)]
    [InlineData(64, 54, 17, 2)]
    public void As_many_threads_as_there_is_work_give_the_same_bits(int threads, int height, int width, int images)
    {
        // The last row of tiles is smaller, and the shares of the threads are about as large as a panel of a row.
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (32, 1, 2), (40, 2, 2), (24, 2, 2));
        var network = RandomNetworks.Create(architecture, height, width, classes: 5);
        float[] pixels = RandomNetworks.Pixels(network, images), expected = new float[5 * images], actual = new float[5 * images];
        using var one = new InferenceEngine(network, 1);
        one.Run(pixels, images, expected);
        using var engine = new InferenceEngine(network, threads);
        for (int i = 0; i < 5; i++)
        {
            Array.Clear(actual);
            engine.Run(pixels, images, actual);
            Assert.Equal(expected, actual);
        }
    }

    [Fact]
    public void Many_callers_of_one_engine_get_the_bits_that_one_caller_gets()
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (16, 1, 1), (24, 2, 2), (40, 3, 2));
        var network = RandomNetworks.Create(architecture, 28, 28, classes: 10);
        float[] pixels = RandomNetworks.Pixels(network, 8);
        using var engine = new InferenceEngine(network, threads: 4);
        float[] expected;
        using (var single = new InferenceEngine(network, threads: 1))
            expected = Run(single, pixels, 8);

        int wrong = 0;
        var callers = Enumerable.Range(0, 6).Select(caller => new Thread(() =>
        {
            for (int round = 0; round < 25; round++)
            {
                int first = (caller + round) % 8, count = 1 + round % (8 - first);
                float[] logits = Run(engine, pixels.AsSpan(first * engine.InputLength, count * engine.InputLength), count);
                if (!logits.AsSpan().SequenceEqual(expected.AsSpan(first * 10, count * 10)))
                    Interlocked.Increment(ref wrong);
            }
        })).ToList();
        callers.ForEach(thread => thread.Start());
        callers.ForEach(thread => thread.Join());
        Assert.Equal(0, wrong);
    }

    [Fact]
    public void A_run_allocates_nothing_once_warm()
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.AfterRelu, (16, 1, 2), (32, 2, 2));
        var network = RandomNetworks.Create(architecture, 32, 32, classes: 10);
        // Other tests may occupy the worker threads, so both kinds of run, with and without them, are warmed up.
        InferenceEngine[] engines = [new(network, threads: 1), new(network, threads: 2)];
        float[] pixels = RandomNetworks.Pixels(network, 9), logits = new float[9 * 10];
        void RunAll()
        {
            foreach (var engine in engines)
            {
                engine.Run(pixels.AsSpan(0, engine.InputLength), 1, logits.AsSpan(0, 10));
                engine.Run(pixels, 9, logits);
            }
        }
        for (int i = 0; i < 10; i++)
            RunAll();
        Assert.Equal(0, Allocations.Of(50, RunAll));
        foreach (var engine in engines)
            engine.Dispose();
    }

    [Fact]
    public void NaN_pixels_give_NaN_logits()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(1, 1, SqueezeExcitation.None, (16, 1, 1), (16, 2, 2)), 12, 12, classes: 3);
        float[] pixels = RandomNetworks.Pixels(network, 1);
        pixels[70] = float.NaN;
        foreach (var width in _widths)
        {
            using var engine = new InferenceEngine(network, threads: 1, width);
            Assert.All(Run(engine, pixels, 1), logit => Assert.True(float.IsNaN(logit)));
        }
    }

    [Fact]
    public void Says_what_it_is()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1)), 6, 5, classes: 4);
        using var engine = new InferenceEngine(network, threads: 2);
        Assert.Equal((3, 6, 5, NetworkOutput.Logits), (engine.InputChannels, engine.ImageHeight, engine.ImageWidth, engine.Output));
        Assert.Equal((90, 4, 2), (engine.InputLength, engine.Classes, engine.Threads));
        using var all = new InferenceEngine(network);
        Assert.Equal(Environment.ProcessorCount, all.Threads);
    }

    [Fact]
    public void Refuses_what_it_cannot_run()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1)), 6, 5, classes: 4);
        Assert.Throws<ArgumentNullException>(() => new InferenceEngine((DeployNetwork)null!));
        Assert.Throws<ArgumentOutOfRangeException>(() => new InferenceEngine(network, -1));
        var engine = new InferenceEngine(network);
        Assert.Throws<ArgumentOutOfRangeException>(() => engine.Run(new float[90], -1, new float[4]));
        var pixels = Assert.Throws<ArgumentException>(() => engine.Run(new float[89], 1, new float[4]));
        Assert.Contains("1 images need 90 pixel values (90 each), but the span has 89", pixels.Message);
        var logits = Assert.Throws<ArgumentException>(() => engine.Run(new float[180], 2, new float[4]));
        Assert.Contains("2 images need 8 logits (4 each), but the span has 4", logits.Message);
        engine.Run(ReadOnlySpan<float>.Empty, 0, []);
        engine.Dispose();
        engine.Dispose();
        Assert.Throws<ObjectDisposedException>(() => engine.Run(new float[90], 1, new float[4]));
    }

    private static void AssertAgrees(DeployNetwork network, int count)
    {
        float[] pixels = RandomNetworks.Pixels(network, count);
        float[] expected = ReferenceNetwork.Logits(network, pixels, count);
        foreach (var width in _widths)
        {
            using var engine = new InferenceEngine(network, threads: 2, width);
            Compare.Close(expected, Run(engine, pixels, count), 1e-5, $"logits at {width}");
            using var direct = new InferenceEngine(network, threads: 1, width, (_, _, _) => ConvolutionStrategy.Direct);
            Compare.Close(expected, Run(direct, pixels, count), 1e-5, $"logits at {width}, every convolution direct");
            using var winograd = new InferenceEngine(network, threads: 3, width, WinogradThroughout);
            Compare.Close(expected, Run(winograd, pixels, count), 1e-5, $"logits at {width}, every convolution in Winograd's domain");
        }
    }

    // The first convolution reads the image, which is not divided into channel blocks.
    private static ConvolutionStrategy WinogradThroughout(BlockSpec shape, int height, int width) =>
        shape.InputChannels <= 3 ? ConvolutionStrategy.Direct : ConvolutionStrategy.Winograd;

    private static float[] Run(InferenceEngine engine, ReadOnlySpan<float> pixels, int count)
    {
        var logits = new float[count * engine.Classes];
        engine.Run(pixels, count, logits);
        return logits;
    }
}
