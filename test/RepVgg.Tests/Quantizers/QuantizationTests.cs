using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Quantizers;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Quantizers;

/// <summary>Post-training quantization against the golden integers, and the parts of it against their definitions.</summary>
public class QuantizationTests
{
    [Theory]
    [InlineData("", false)]
    [InlineData("-reduced", true)]
    public void Integers_are_the_golden_ones(string kind, bool reducedRange)
    {
        var (pixels, count) = GoldenQuantization.Images("calibration");
        var expected = GoldenQuantization.Network(kind, quantizesClassifier: true);
        var actual = Quantization.Calibrate(GoldenQuantization.FloatNetwork(), pixels.Chunk(pixels.Length / count).ToArray(), new QuantizationOptions
        {
            Calibrator = Calibrator.MinMax,
            ReducedRange = reducedRange,
            BiasCorrection = false,
            QuantizeClassifier = true,
        });
        AssertSame(expected.Input!.Value, actual.Input!.Value);
        AssertSame(expected.Pooled!.Value, actual.Pooled!.Value);
        AssertSame(expected.QuantizedClassifier!, actual.QuantizedClassifier!);
        foreach (var (block, own) in expected.Blocks.Zip(actual.Blocks))
        {
            AssertSame(block.Output!.Value, own.Output!.Value);
            AssertSame(block.Convolution!, own.Convolution!);
        }
    }

    private static void AssertSame(QuantizationParameters expected, QuantizationParameters actual)
    {
        Assert.Equal(expected.ZeroPoint, actual.ZeroPoint);
        Compare.Close([expected.Scale], [actual.Scale], 1e-6);
    }

    private static void AssertSame(QuantizedWeights expected, QuantizedWeights actual)
    {
        Assert.Equal(expected.Weights.AsEnumerable(), actual.Weights);
        Assert.Equal(expected.Biases.AsEnumerable(), actual.Biases);
        Compare.Close(expected.Scales.AsSpan(), actual.Scales.AsSpan(), 1e-6);
    }

    [Fact]
    public void Equalization_makes_the_ranges_of_channels_equal_and_keeps_the_function()
    {
        var network = RandomNetworks.Create(RandomStates.Reduce(RepVggVariants.Find("RepVGG-B1g2")), 36, 40, 5);
        var equalized = ChannelEqualization.Apply(network);
        float[] pixels = RandomNetworks.Pixels(network, 2);
        Compare.Close(ReferenceNetwork.Logits(network, pixels, 2), ReferenceNetwork.Logits(equalized, pixels, 2), 1e-5);
        Assert.True(Difference(equalized) < 1.01 && Difference(network) > 1.5, $"{Difference(network)} {Difference(equalized)}");

        // The largest ratio of the ranges of a channel in the second block and in the third, which has two groups.
        static double Difference(DeployNetwork network)
        {
            var (first, second) = (network.Blocks[2], network.Blocks[3]);
            int channels = first.Shape.OutputChannels, inputs = channels / second.Shape.Groups, outputs = second.Shape.OutputChannels / second.Shape.Groups;
            double worst = 1;
            for (int channel = 0; channel < channels; channel++)
            {
                double own = first.Kernel.Skip(channel * first.Kernel.Length / channels).Take(first.Kernel.Length / channels).Max(Math.Abs), next = 0;
                for (int o = channel / inputs * outputs; o < (channel / inputs + 1) * outputs; o++)
                    next = Math.Max(next, second.Kernel.Skip((o * inputs + channel % inputs) * 9).Take(9).Max(Math.Abs));
                worst = Math.Max(worst, Math.Max(own / next, next / own));
            }
            return worst;
        }
    }

    [Fact]
    public void That_nothing_would_be_quantized_is_refused()
    {
        var network = RandomNetworks.Create(RandomStates.Reduce(RepVggVariants.Find("RepVGG-S1")), 12, 12, 5);
        var images = RandomNetworks.Pixels(network, 2).Chunk(network.Architecture.InputChannels * 144).ToArray();
        var options = new QuantizationOptions { FloatBlocks = [.. network.Blocks.Select(block => block.Shape.Name)] };
        Assert.Contains("nothing is quantized", Assert.Throws<ArgumentException>(() => Quantization.Calibrate(network, images, options)).Message, StringComparison.Ordinal);
        Assert.NotNull(Quantization.Calibrate(network, images, options with { QuantizeClassifier = true }).QuantizedClassifier);
    }

    [Fact]
    public void Dilated_networks_are_refused_and_padding_on_one_side_in_quantization_aware_training()
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 2), (16, 1, 2), (16, 2, 2));
        var dilated = RandomNetworks.Create(architecture with { OutputStride = 4 }, 16, 16, 3);
        Assert.Contains("stage2.0 is dilated", Assert.Throws<ArgumentException>(() => Quantization.Calibrate(dilated, [RandomNetworks.Pixels(dilated, 1)])).Message);
        // A network that was quantized elsewhere.
        var plain = Quantization.Calibrate(RandomNetworks.Create(architecture, 16, 16, 3), [RandomNetworks.Pixels(dilated, 1)]);
        var foreign = plain with { Blocks = [.. plain.Blocks.Zip(dilated.Blocks, (block, other) => block with { Shape = other.Shape })] };
        Assert.Contains("stage2.0 is dilated", Assert.Throws<ArgumentException>(() => new RepVgg.Inference.InferenceEngine(foreign)).Message);
        using var backend = new RepVgg.Backends.Cpu.CpuBackend(1);
        var padded = architecture.PaddedForTensorFlow(16, 16);
        Assert.Contains("stage0 is padded on one side", Assert.Throws<ArgumentException>(() => new TrainingNetwork(padded, 3, backend, 1, quantized: new QuantizationOptions().Layers)).Message);
        var options = new RepVgg.Training.TrainingOptions { CustomL2 = true };
        Assert.Contains("CustomL2", Assert.Throws<ArgumentException>(() => RepVgg.Training.TrainingLoop.Prepare(options, padded)).Message);
        using var network = new TrainingNetwork(padded, 3, backend, 1);
        Assert.Contains("padded on one side", Assert.Throws<NotSupportedException>(() => network.EquivalentConvolution("stage1.0")).Message);
    }

    [Theory]
    [InlineData(7, 6, 1, 1, 1, 1)]
    [InlineData(7, 6, 2, 1, 1, 1)]
    [InlineData(6, 7, 2, 2, 1, 1)]
    [InlineData(1, 1, 2, 1, 1, 1)]
    [InlineData(6, 8, 2, 1, 0, 0)]
    [InlineData(6, 7, 2, 1, 0, 1)]
    public void Bias_correction_keeps_the_mean_of_every_channel(int height, int width, int stride, int groups, int top, int left)
    {
        const int Images = 3;
        var random = new Random(1);
        var shape = new BlockSpec("block", 4, 6, stride, groups, SqueezeExcitation.None) { PaddingTop = top, PaddingLeft = left };
        var block = new DeployBlock(shape, [.. Values(6 * 4 / groups * 9)], [.. Values(6)]);
        float[] input = [.. Values(Images * 4 * height * width)];
        var means = new InputMeans(4, height, width, shape.Geometry);
        means.Add(input, Images);
        double[] biases = [.. block.Bias.Select(bias => (double)bias)];
        // Three levels only, so that rounding matters.
        var weights = WeightQuantizer.Quantize(block.Kernel.AsSpan(), biases, 1, 1);
        means.Correct(block, weights, biases);
        var rounded = block with
        {
            Kernel = [.. weights.Weights.Select((weight, i) => weight * weights.Scales[i / (4 / groups * 9)])],
            Bias = [.. biases.Select(bias => (float)bias)],
        };
        // Without ReLU: a number is added to the biases, which are rounded to 32-bit floats then.
        Compare.Close(Means(block), Means(rounded), 1e-5);

        float[] Means(DeployBlock block)
        {
            block = block with { Bias = [.. block.Bias.Select(bias => bias + 8)] };
            var outputs = Enumerable.Range(0, Images).Select(image => ReferenceNetwork.Block(block, [.. input.Skip(image * 4 * height * width).Take(4 * height * width).Select(value => (double)value)], height, width)).ToArray();
            int plane = outputs[0].Length / 6;
            return [.. Enumerable.Range(0, 6).Select(o => (float)(outputs.Average(output => output.Skip(o * plane).Take(plane).Average()) - 8))];
        }

        IEnumerable<float> Values(int count) => Enumerable.Range(0, count).Select(_ => (float)random.NextDouble() - 0.4f).ToArray();
    }

    [Theory]
    [InlineData(Calibrator.MinMax, 100, 100)]
    [InlineData(Calibrator.Percentile, 8.5, 9.5)]
    [InlineData(Calibrator.Entropy, 2, 30)]
    [InlineData(Calibrator.MeanSquaredError, 60, 99)]
    public void Calibrators_choose_the_range(Calibrator calibrator, double least, double most)
    {
        // Values of an exponential distribution, of which 99.99 percent are below 9.2, and one outlier.
        float[] values = [.. Enumerable.Range(0, 200_000).Select(i => (float)-Math.Log((i + 0.5) / 200_000)), 100];
        var range = new ActivationRange();
        Assert.True(range.Include(values));
        range.Count(values);
        var parameters = range.Choose(new QuantizationOptions { Calibrator = calibrator, Percentile = 99.99 });
        Assert.Equal(0, parameters.ZeroPoint);
        Assert.InRange(parameters.Scale * 255, least, most);
        if (calibrator != Calibrator.MeanSquaredError)
            return;
        // No range of other candidates has a smaller error on the values themselves.
        double chosen = Error(parameters.Scale * 255);
        foreach (double bound in new[] { 6.0, 8, 10, 12, 16, 20, 25, 30, 40, 60, 100 })
            Assert.True(chosen <= Error(bound) * 1.02, $"{bound}: {Error(bound)}, chosen {parameters.Scale * 255}: {chosen}");

        double Error(double bound)
        {
            var candidate = QuantizationParameters.FromRange(0, (float)bound);
            return values.Sum(value => Math.Pow(value - candidate.Dequantize(candidate.Quantize(value)), 2));
        }
    }

    [Fact]
    public void A_channel_of_zeros_has_scale_1_and_biases_never_overflow()
    {
        float[] weights = [0, 0, 1e-30f, -2e-30f, 0.5f, -0.25f];
        double[] biases = [3, 4, 0.125];
        var quantized = WeightQuantizer.Quantize(weights, biases, 0.02f, 127);
        Assert.Equal(1f, quantized.Scales[0]);
        Assert.Equal(150, quantized.Biases[0]);
        Assert.Equal([0, 0, 0, 0, 127, -64], quantized.Weights.Select(weight => (int)weight));
        for (int o = 0; o < 3; o++)
            Assert.Equal(biases[o], quantized.Biases[o] * 0.02 * quantized.Scales[o], 0.01 * biases[o]);
    }

    [Fact]
    public void Wrong_images_and_options_are_refused()
    {
        var network = GoldenQuantization.FloatNetwork();
        float[] image = new float[3 * 16 * 16], invalid = new float[3 * 16 * 16];
        invalid[5] = float.NaN;
        Refuses("no images", [], new());
        Refuses("has 5 pixel values", [image, new float[5]], new());
        Refuses("image 1 has the pixel value NaN at index 5", [image, invalid], new());
        Refuses("has no block 'stage9'", [image], new() { FloatBlocks = ["stage9"] });
        Refuses("percentile is 50", [image], new() { Percentile = 50 });
        Refuses("calibrator 9", [image], new() { Calibrator = (Calibrator)9 });
        var large = network with { Blocks = network.Blocks.SetItem(0, network.Blocks[0] with { Bias = [.. network.Blocks[0].Bias.Select(_ => 3e38f)] }) };
        Assert.Contains("not finite", Assert.Throws<ArgumentException>(() => Quantization.Calibrate(large, [image])).Message, StringComparison.Ordinal);

        void Refuses(string message, float[][] images, QuantizationOptions options) =>
            Assert.Contains(message, Assert.Throws<ArgumentException>(() => Quantization.Calibrate(network, images, options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Constant_activations_are_quantized_exactly()
    {
        // A black image of a network without biases: every activation is 0.
        var network = GoldenQuantization.FloatNetwork();
        network = network with { Blocks = [.. network.Blocks.Select(block => block with { Bias = [.. block.Bias.Select(_ => 0f)] })] };
        float[] image = new float[3 * 16 * 16];
        using var engine = new InferenceEngine(Quantization.Calibrate(network, [image]));
        float[] logits = new float[5];
        engine.Run(image, 1, logits);
        Compare.Close(network.Classifier.Bias.AsSpan(), logits, 1e-6);
    }

    [Fact]
    public void Networks_whose_parts_do_not_fit_together_are_refused()
    {
        var network = GoldenQuantization.Network("", quantizesClassifier: true);
        Refuses("its input is not quantized", network with { Input = null });
        Refuses("positive", network with { Input = new QuantizationParameters(0, 3) });
        Refuses("the zero point 0", network with { Blocks = network.Blocks.SetItem(1, network.Blocks[1] with { Output = new QuantizationParameters(0.1f, 3) }) });
        Refuses("output is not quantized", network with { Blocks = network.Blocks.SetItem(1, network.Blocks[1] with { Output = null }) });
        Refuses("either weights of integers", network with { Blocks = network.Blocks.SetItem(1, network.Blocks[1] with { Convolution = null }) });
        Refuses("pooled features", network with { Pooled = null });
        var wrong = network.Blocks[2].Convolution!;
        Refuses("weights and 12 biases", network with { Blocks = network.Blocks.SetItem(2, network.Blocks[2] with { Convolution = wrong with { Weights = wrong.Weights[1..] } }) });
        Refuses("scales for 12 output channels", network with { Blocks = network.Blocks.SetItem(2, network.Blocks[2] with { Convolution = wrong with { Scales = wrong.Scales[1..] } }) });
        Refuses("output channel 3 of stage1.1 is -1", network with { Blocks = network.Blocks.SetItem(2, network.Blocks[2] with { Convolution = wrong with { Scales = wrong.Scales.SetItem(3, -1) } }) });

        static void Refuses(string message, QuantizedNetwork network) =>
            Assert.Contains(message, Assert.Throws<ArgumentException>(() => new InferenceEngine(network)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Pixels_that_are_not_finite_give_NaN_for_their_image_only()
    {
        var network = GoldenQuantization.Network("", quantizesClassifier: true);
        var (pixels, count) = GoldenQuantization.Images("input");
        using var engine = new InferenceEngine(network);
        float[] expected = new float[count * 5], actual = new float[count * 5];
        engine.Run(pixels, count, expected);
        pixels[engine.InputLength + 7] = float.NegativeInfinity;
        engine.Run(pixels, count, actual);
        for (int i = 5; i < 10; i++)
            expected[i] = float.NaN;
        Assert.Equal(expected, actual);
    }

    [Fact]
    public void The_most_sensitive_blocks_stay_in_floating_point_until_the_loss_is_acceptable()
    {
        // One block with a weight that is a thousand times larger than the others of its filter, so that those are rounded to 0.
        var network = GoldenQuantization.FloatNetwork();
        var outlier = network.Blocks[3];
        network = network with { Blocks = network.Blocks.SetItem(3, outlier with { Kernel = [.. outlier.Kernel.Select((weight, i) => i % 108 == 4 ? 1000 * weight : weight)] }) };
        var (pixels, count) = GoldenQuantization.Images("calibration");
        float[][] images = pixels.Chunk(pixels.Length / count).ToArray();
        var sensitivity = Quantization.MeasureSensitivity(network, images);
        Assert.Equal(network.Blocks.Select(block => block.Shape.Name).Order(), sensitivity.Select(block => block.Name).Order());
        Assert.Equal(sensitivity.OrderByDescending(block => block.RelativeError), sensitivity);
        Assert.Equal("stage2.0", sensitivity[0].Name);

        int calls = 0;
        var quantized = Quantization.CalibrateWithin(network, images, candidate => ++calls == 2, new QuantizationOptions { FloatBlocks = ["stage0"] });
        Assert.Equal(["stage0", "stage2.0"], quantized.Blocks.Where(block => block.Float is not null).Select(block => block.Shape.Name));
        Assert.Equal(2, calls);
        Assert.Equal(0, Quantization.CalibrateWithin(network, images, _ => false).IntegerBlocks);
    }

    [Fact]
    public void Calibration_can_be_cancelled()
    {
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => Quantization.Calibrate(GoldenQuantization.FloatNetwork(), [new float[3 * 16 * 16]], null, source.Token));
    }
}
