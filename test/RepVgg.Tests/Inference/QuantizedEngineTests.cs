using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Inference.Int8;
using RepVgg.Networks;
using RepVgg.Quantizers;
using RepVgg.Testing;
using RepVgg.Tests.Quantizers;
using Xunit;

namespace RepVgg.Tests.Inference;

/// <summary>Quantized networks in the engine: every integer against the golden data and the definition, with all instructions.</summary>
public class QuantizedEngineTests
{
    /// <summary>The instructions that this machine can execute; the portable equivalents of others are always among them.</summary>
    internal static IEnumerable<IntegerInstructions> Instructions => Enum.GetValues<IntegerInstructions>().Where(instructions => instructions switch
    {
        IntegerInstructions.Words256 => RepVgg.Runtime.Simd.WordLanes256.IsSupported,
        IntegerInstructions.Bytes256 => RepVgg.Runtime.Simd.ByteLanes256.IsSupported,
        IntegerInstructions.Words512 => RepVgg.Runtime.Simd.WordLanes512.IsSupported,
        IntegerInstructions.Bytes256Words512 => RepVgg.Runtime.Simd.ByteLanes512.IsSupported,
        _ => true,
    });

    [Theory]
    [InlineData("")]
    [InlineData("-reduced")]
    public void Activations_are_the_golden_integers(string kind)
    {
        var network = GoldenQuantization.Network(kind, quantizesClassifier: false);
        var (pixels, count) = GoldenQuantization.Images("input");
        var expected = GoldenQuantization.Activations(kind);
        foreach (var instructions in Instructions)
        {
            for (int blocks = 1; blocks <= network.Blocks.Length; blocks++)
            {
                var part = network with { Blocks = network.Blocks[..blocks], Output = NetworkOutput.FeatureMap };
                using var engine = new InferenceEngine(part, threads: 2, instructions);
                float[] maps = new float[count * engine.OutputLength];
                engine.Run(pixels, count, maps);
                float scale = part.Blocks[^1].Output!.Value.Scale;
                Assert.Equal(expected[part.Blocks[^1].Shape.Name + ".output"], Array.ConvertAll(maps, value => (byte)MathF.Round(value / scale)));
            }
        }
    }

    [Theory]
    [InlineData("", false)]
    [InlineData("", true)]
    [InlineData("-reduced", false)]
    [InlineData("-reduced", true)]
    public void Logits_are_the_golden_ones(string kind, bool quantizesClassifier)
    {
        var network = GoldenQuantization.Network(kind, quantizesClassifier);
        var (pixels, count) = GoldenQuantization.Images("input");
        float[] expected = GoldenFiles.Floats($"int8/logits-{(quantizesClassifier ? "int8" : "float")}-head{kind}.npy").Read();
        foreach (var instructions in Instructions)
        {
            using var engine = new InferenceEngine(network, threads: 2, instructions);
            float[] logits = new float[expected.Length];
            engine.Run(pixels, count, logits);
            Compare.Close(expected, logits, 1e-6, $"logits with {instructions}");
        }
    }

    public static TheoryData<string, int, int, string> Networks() => new()
    {
        { "RepVGG-S1", 21, 33, "" },
        { "RepVGG-S1", 4, 5, "" },
        { "RepVGG-S1", 7, 1, "" },
        { "RepVGG-S4", 3, 9, "stage0" },
        { "RepVGG-A0", 37, 45, "" },
        { "RepVGG-B1g2", 41, 36, "" },
        { "RepVGG-B1g4", 36, 41, "" },
        { "RepVGG-D2se", 40, 37, "" },
        { "RepVGGplus-L2pse", 39, 33, "" },
        { "RepVGG-A0", 37, 45, "stage0" },
        { "RepVGG-A0", 37, 45, "stage0 stage2.1 stage2.2 stage4.0" },
        { "RepVGG-D2se", 40, 37, "stage1.0 stage3.2" },
    };

    [Theory]
    [MemberData(nameof(Networks))]
    public void Integers_are_those_of_the_definition(string name, int height, int width, string floatBlocks) => AssertIntegers(name, height, width, floatBlocks, variant => variant);

    [Theory]
    [InlineData("RepVGG-S1", 20, 32)]
    [InlineData("RepVGG-A0", 44, 64)]
    [InlineData("RepVGG-B1g2", 48, 37)]
    public void Integers_are_those_of_the_definition_with_padding_on_one_side(string name, int height, int width) =>
        AssertIntegers(name, height, width, "", variant => variant.PaddedForTensorFlow(height, width));

    private static void AssertIntegers(string name, int height, int width, string floatBlocks, Func<RepVggArchitecture, RepVggArchitecture> change)
    {
        const int Count = 3;
        // Widths that are no multiple of any vector, and few blocks.
        var variant = RandomStates.Reduce(RepVggVariants.Find(name));
        variant = variant with { Stages = [.. variant.Stages.Select(stage => stage with { Width = stage.Width + 4 * variant.Groups })] };
        variant = change(variant);
        var network = RandomNetworks.Create(variant, height, width, 11);
        var images = RandomNetworks.Pixels(network, Count).Chunk(variant.InputChannels * height * width).ToArray();
        string[] left = floatBlocks.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var quantized = Quantization.Calibrate(network, images, new QuantizationOptions { FloatBlocks = [.. left.Where(block => network.Blocks.Any(b => b.Shape.Name == block))], QuantizeClassifier = true });
        Assert.Equal(network.Blocks.Length - quantized.Blocks.Count(block => left.Contains(block.Shape.Name)), quantized.IntegerBlocks);

        float[]? logits = null;
        var activations = images.Select(image => ReferenceQuantizedNetwork.Activations(quantized, image)).ToArray();
        foreach (var instructions in Instructions)
        {
            for (int blocks = 1; blocks <= network.Blocks.Length; blocks += blocks < 3 ? 1 : 4)
            {
                var part = quantized with { Blocks = quantized.Blocks[..blocks], Output = NetworkOutput.FeatureMap, QuantizedClassifier = null, Pooled = null, Classifier = new(0, 0, [], []) };
                if (part.Blocks[^1].Output is not { } stored)
                    continue;
                using var engine = new InferenceEngine(part, threads: 2, instructions);
                float[] maps = new float[Count * engine.OutputLength];
                engine.Run(images.SelectMany(image => image).ToArray(), Count, maps);
                for (int image = 0; image < Count; image++)
                {
                    byte[] expected = activations[image][blocks]!;
                    byte[] actual = Array.ConvertAll(maps[(image * expected.Length)..((image + 1) * expected.Length)], value => (byte)MathF.Round(value / stored.Scale));
                    // Blocks in floating point and squeeze-and-excitation differ by rounding from the definition in double precision, so that some values
                    // are on the other side of a boundary between two bytes.
                    bool isExact = left.Length == 0 && variant.SqueezeExcitation == SqueezeExcitation.None;
                    AssertAgree(expected, actual, isExact ? 0 : 1, $"block {blocks} with {instructions}");
                }
            }
            using var whole = new InferenceEngine(quantized, threads: 1, instructions);
            float[] own = new float[Count * whole.OutputLength];
            whole.Run(images.SelectMany(image => image).ToArray(), Count, own);
            logits ??= own;
            Compare.Close(logits, own, left.Length == 0 && variant.SqueezeExcitation == SqueezeExcitation.None ? 0 : 0.02, $"logits with {instructions}");
        }
    }

    [Theory]
    [InlineData(1, 18, 22)]
    [InlineData(2, 17, 19)]
    public void Winograd_convolutions_give_the_integers_of_the_definition(int groups, int height, int width)
    {
        const int Count = 2;
        // Channels that are no multiple of any vector, edges of tiles of every size, and more input channels than are transformed together.
        var architecture = RandomNetworks.Architecture(3, groups, SqueezeExcitation.None, (52, 2, 1), (60, 2, 1), (216, 2, 1));
        var network = RandomNetworks.Create(architecture, height, width, 3);
        var images = RandomNetworks.Pixels(network, Count).Chunk(3 * height * width).ToArray();
        var quantized = Quantization.Calibrate(network, images);
        // Weights near the largest absolute value only, with many inputs of 255.
        var extreme = quantized with
        {
            Blocks = quantized.Blocks.SetItem(1, quantized.Blocks[1] with
            {
                Convolution = quantized.Blocks[1].Convolution! with { Weights = [.. quantized.Blocks[1].Convolution!.Weights.Select((weight, i) => (sbyte)(weight % 2 == 0 ? 127 : i % 3 == 0 ? -128 : 126))] },
            }).SetItem(0, quantized.Blocks[0] with { Output = new QuantizationParameters(quantized.Blocks[0].Output!.Value.Scale / 50, 0) }),
        };
        foreach (var tested in new[] { quantized, extreme })
        {
            var expected = images.Select(image => ReferenceQuantizedNetwork.Activations(tested, image)).ToArray();
            foreach (var instructions in Instructions)
            {
                foreach (int blocks in new[] { 2, 4, 6 })
                {
                    var part = tested with { Blocks = tested.Blocks[..blocks], Output = NetworkOutput.FeatureMap, Classifier = new(0, 0, [], []) };
                    using var engine = new InferenceEngine(part, threads: 2, instructions);
                    float[] maps = new float[Count * engine.OutputLength];
                    engine.Run(images.SelectMany(image => image).ToArray(), Count, maps);
                    float scale = part.Blocks[^1].Output!.Value.Scale;
                    byte[] actual = Array.ConvertAll(maps, value => (byte)MathF.Round(value / scale));
                    AssertAgree([.. expected.SelectMany(maps => maps[blocks]!)], actual, 0, $"block {blocks} with {instructions}");
                }
            }
        }
    }

    [Fact]
    public void Sums_that_Winograd_could_not_compute_exactly_are_computed_directly()
    {
        // All weights and inputs are the largest, so that every sum inside the map is 255 * 127 * 9 * inputs.
        const int Limit = 1 << 25;
        foreach (int inputs in new[] { Limit / (255 * 127 * 9), (Limit / (255 * 127 * 9)) + 1 })
        {
            var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (inputs, 1, 1), (8, 1, 1));
            var network = RandomNetworks.Create(architecture, 16, 16, 3);
            var weights = new QuantizedWeights([.. Enumerable.Repeat((sbyte)127, 8 * inputs * 9)], [.. Enumerable.Repeat(1f, 8)], [.. Enumerable.Range(0, 8)]);
            Assert.Equal(255L * 127 * 9 * inputs < Limit, IntegerWinograd.IsExact(weights));
            var first = new QuantizedWeights([.. new sbyte[inputs * 27]], [.. Enumerable.Repeat(1f, inputs)], [.. Enumerable.Repeat(255, inputs)]);
            var quantized = new QuantizedNetwork(architecture, 16, 16, Normalization.Identity(3),
            [
                new QuantizedBlock { Shape = network.Blocks[0].Shape, Convolution = first, Output = new QuantizationParameters(1, 0) },
                new QuantizedBlock { Shape = network.Blocks[1].Shape, Convolution = weights, Output = new QuantizationParameters(255f * 127 * inputs / 20, 0) },
            ])
            {
                Input = new QuantizationParameters(1, 0),
                Output = NetworkOutput.FeatureMap,
                Classifier = new(0, 0, [], []),
            };
            float[] pixels = new float[3 * 256];
            byte[] expected = ReferenceQuantizedNetwork.Activations(quantized, pixels)[^1]!;
            foreach (var instructions in Instructions)
            {
                using var engine = new InferenceEngine(quantized, threads: 1, instructions);
                float[] map = new float[engine.OutputLength];
                engine.Run(pixels, 1, map);
                Assert.Equal(expected, Array.ConvertAll(map, value => (byte)MathF.Round(value / quantized.Blocks[1].Output!.Value.Scale)));
            }
        }
    }

    [Fact]
    public void Results_do_not_depend_on_threads_or_batches_or_the_type_of_pixels_and_runs_allocate_nothing()
    {
        var network = RandomNetworks.Create(RandomStates.Reduce(RepVggVariants.Find("RepVGG-A0")), 70, 66, 5);
        const int Count = 9;
        float[] pixels = RandomNetworks.Pixels(network, Count);
        var quantized = Quantization.Calibrate(network, pixels.Chunk(pixels.Length / Count).ToArray());
        using var alone = new InferenceEngine(quantized, threads: 1);
        float[] expected = new float[Count * 5], one = new float[5];
        for (int i = 0; i < Count; i++)
        {
            alone.Run(pixels.AsSpan(i * alone.InputLength, alone.InputLength), 1, one);
            one.CopyTo(expected, i * 5);
        }
        foreach (int threads in new[] { 1, 2, 3 })
        {
            using var engine = new InferenceEngine(quantized, threads);
            float[] logits = new float[Count * 5];
            engine.Run(pixels, Count, logits);
            Assert.Equal(expected, logits);
            engine.Run(Array.ConvertAll(pixels, pixel => (byte)pixel), Count, logits);
            Assert.Equal(expected, logits);
            Assert.Equal(0, Allocations.Of(20, () => engine.Run(pixels, Count, logits)));
        }
    }

    private static void AssertAgree(byte[] expected, byte[] actual, int tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        int worst = 0, different = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            worst = Math.Max(worst, Math.Abs(expected[i] - actual[i]));
            different += expected[i] == actual[i] ? 0 : 1;
        }
        Assert.True(worst <= tolerance && different <= expected.Length / 50, $"{what}: {different} of {expected.Length} integers differ, by up to {worst}.");
    }
}
