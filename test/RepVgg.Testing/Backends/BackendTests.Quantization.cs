using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Quantizers;
using RepVgg.Reparameterization;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Testing;

/// <content>Quantization-aware training: the rounding of activations and weights, against the quantizers of post-training quantization.</content>
public abstract partial class BackendTests
{
    /// <summary>Ranges of either sign, values outside, exact ties, and lengths that no vector divides.</summary>
    [BackendTheory]
    [InlineData(0f, 2.55f)]
    [InlineData(-1f, 3.5f)]
    [InlineData(-2f, 0f)]
    [InlineData(-127f, 128f)]
    public void Fake_quantization_is_the_mapping_to_bytes_and_back(float low, float high)
    {
        var parameters = QuantizationParameters.FromRange(low, high);
        var random = new Random(61);
        const int N = 2, C = 5, H = 7, W = 3;
        float[] values = [.. Enumerable.Range(0, N * C * H * W).Select(i => i % 4 == 0
            ? parameters.Scale * (random.Next(-20, 280) - parameters.ZeroPoint + 0.5f)
            : (float)(low - 1 + random.NextDouble() * (high - low + 2)))];
        float[] direction = Random(random, values.Length);
        using var bounds = Backend.CreateBuffer(new TensorData([2], [low, high]));
        using (Backend.BeginStep(training: false, record: true))
        {
            var x = Backend.CreateInput([N, C, H, W], values, requiresGradient: true);
            var y = Backend.FakeQuantize(x, new RangeState(bounds));
            Backend.BackwardFrom(y, direction);
            float[] expected = Array.ConvertAll(values, value => parameters.Dequantize(parameters.Quantize(value)));
            Compare.Close(expected, Read(y), 1e-7);
            for (int i = 0; i < values.Length; i++)
            {
                float level = MathF.Round(values[i] / parameters.Scale) + parameters.ZeroPoint;
                Assert.Equal(level is >= 0 and <= 255 ? direction[i] : 0, Gradient(x)[i]);
            }
        }
        Assert.Equal([low, high], Read(bounds));
    }

    [BackendFact]
    public void The_range_of_an_activation_is_a_moving_average_that_begins_with_the_first_batch()
    {
        using var bounds = Backend.CreateBuffer(TensorData.Zeros(2));
        var state = new RangeState(bounds, Momentum: 0.25f);
        // More than one block of the elementwise passes.
        float[] batch = new float[40_000];
        Step(training: true, -1, 2);
        Compare.Close([-1, 2], Read(bounds), 1e-7);
        Step(training: true, -3, 4);
        Compare.Close([-1.5f, 2.5f], Read(bounds), 1e-6);
        // Bounds contain 0.
        Step(training: true, 1, 6.5f);
        Compare.Close([-1.125f, 3.5f], Read(bounds), 1e-6);
        Step(training: false, -9, 9);
        state.Frozen = true;
        Step(training: true, -9, 9);
        Compare.Close([-1.125f, 3.5f], Read(bounds), 1e-6);

        void Step(bool training, float low, float high)
        {
            Array.Fill(batch, Math.Max(low, 0));
            (batch[39_998], batch[17]) = (low, high);
            using (Backend.BeginStep(training))
            {
                float[] actual = Read(Backend.FakeQuantize(Backend.CreateInput([4, 10_000], batch), state));
                float[] range = Read(bounds);
                var parameters = QuantizationParameters.FromRange(range[0], range[1]);
                Compare.Close([.. batch.Select(value => parameters.Dequantize(parameters.Quantize(value)))], actual, 1e-6);
            }
        }
    }

    [BackendFact]
    public void An_empty_range_changes_nothing()
    {
        using var bounds = Backend.CreateBuffer(TensorData.Zeros(2));
        using (Backend.BeginStep(training: false, record: true))
        {
            var x = Backend.CreateInput([1, 3], [0.3f, -7.1f, 100], requiresGradient: true);
            var y = Backend.FakeQuantize(x, new RangeState(bounds));
            Backend.BackwardFrom(y, [1, 2, 3]);
            Assert.Equal([0.3f, -7.1f, 100], Read(y));
            Assert.Equal([1, 2, 3], Gradient(x));
        }
        using (Backend.BeginStep(training: true))
            Assert.Equal(new float[4], Read(Backend.FakeQuantize(Backend.CreateInput([2, 2], new float[4]), new RangeState(bounds))));
        Assert.Equal([0, 0], Read(bounds));
    }

    [BackendFact]
    public void The_gradient_is_added_to_that_of_another_use_of_the_activation()
    {
        using var bounds = Backend.CreateBuffer(new TensorData([2], [0, 2]));
        using (Backend.BeginStep(training: false, record: true))
        {
            float[] values = [.. Enumerable.Range(0, 37).Select(i => i * 0.1f - 1)];
            var x = Backend.CreateInput([1, 37], values, requiresGradient: true);
            var range = new RangeState(bounds);
            Backend.BackwardFrom(Backend.Add(Backend.Add(Backend.Scale(x, 3), Backend.FakeQuantize(x, range)), Backend.FakeQuantize(x, range)), [.. Enumerable.Repeat(1f, 37)]);
            Compare.Close([.. values.Select(value => value is > -0.001f and < 2.001f ? 5f : 3f)], Gradient(x), 1e-6);
        }
    }

    [BackendTheory]
    [InlineData(127)]
    [InlineData(64)]
    [InlineData(3)]
    public void The_rounding_of_weights_is_that_of_the_quantizer(int largest)
    {
        const int Outputs = 6, Filter = 4 * 9;
        float[] values = Random(new Random(62), Outputs * Filter);
        values.AsSpan(2 * Filter, Filter).Clear();
        foreach (int[] shape in (int[][])[[Outputs, 4, 3, 3], [Outputs, Filter]])
        {
            using var weights = Backend.CreateParameter(new TensorData(shape, values));
            using (Backend.BeginStep(training: true))
            {
                var error = Backend.QuantizationError(weights, largest);
                Assert.Equal(shape, error.Shape);
                float[] rounded = [.. values.Zip(Read(error), (value, change) => value + change)];
                var expected = WeightQuantizer.Quantize(values, new double[Outputs], 1, largest);
                Compare.Close([.. expected.Weights.Select((weight, i) => weight * expected.Scales[i / Filter])], rounded, 1e-6);
            }
        }
    }

    [BackendFact]
    public void Misuse_of_quantization_is_refused()
    {
        using var bounds = Backend.CreateBuffer(TensorData.Zeros(3));
        using var kernel = Backend.CreateParameter(TensorData.Zeros(2, 2, 3, 3));
        using (Backend.BeginStep(training: true))
        {
            var input = Backend.CreateInput([1, 2], [1, 2]);
            Mentions<ArgumentException>(() => Backend.FakeQuantize(input, new RangeState(bounds)), "2 values", "[3]");
            Mentions<ArgumentException>(() => Backend.FakeQuantize(kernel, new RangeState(bounds)), "parameter");
            Mentions<ArgumentException>(() => Backend.QuantizationError(input, 127), "[1, 2]");
            Mentions<ArgumentOutOfRangeException>(() => Backend.QuantizationError(kernel, 128), "1 to 127");
        }
    }

    /// <summary>The gradients of a block with frozen statistics are those of one convolution with the rounded equivalent kernel, straight through the rounding to the branches.</summary>
    [BackendTheory]
    [InlineData(TrainingForm.RepVgg, 1)]
    [InlineData(TrainingForm.RepVgg, 2)]
    [InlineData(TrainingForm.QARepVgg, 1)]
    [InlineData(TrainingForm.Plain, 2)]
    [InlineData(TrainingForm.Csla, 1)]
    [InlineData(TrainingForm.MobileOne, 1)]
    public void Gradients_pass_straight_through_the_rounding_of_the_equivalent_kernel(TrainingForm form, int stride)
    {
        const int Channels = 3, Size = 7, Images = 2, Largest = 3;
        var architecture = RandomNetworks.Architecture(Channels, 1, SqueezeExcitation.None, (Channels, 1, stride), (4, 1, 1)) with { TrainingForm = form };
        var block = architecture.Blocks.First();
        using var network = new TrainingNetwork(architecture, 2, Backend, 5, quantized: new QuantizedLayers([], false, Largest)) { FreezesStatistics = true };
        network.ImportPretrained(RandomStates.Training(architecture, 2, 7));
        var random = new Random(63);
        float[] pixels = Random(random, Images * Channels * Size * Size);
        float[] bounds = [-4, 4];
        network.ImportState(WithRanges(network.ExportState(), bounds));

        float[] direction, expectedOutput, kernelGradient, inputGradient;
        var branches = network.Blocks[0].Branches;
        var sumNorm = TrainingForms.SumNormOf(form) is { } norm ? network.Norm($"{block.Name}.{norm}") : null;
        using (Backend.BeginStep(training: true))
        {
            using var rounded = Backend.CreateParameter(Rounded(Kernel()));
            using var range = Backend.CreateBuffer(new TensorData([2], bounds));
            var x = Backend.CreateInput([Images, Channels, Size, Size], pixels, requiresGradient: true);
            var y = Backend.Conv2d(Backend.FakeQuantize(x, new RangeState(range) { Frozen = true }), rounded, null, stride, 1, 1);
            expectedOutput = Read(y);
            direction = Random(random, expectedOutput.Length);
            Backend.BackwardFrom(y, direction);
            (kernelGradient, inputGradient) = (Gradient(rounded), Gradient(x));
        }
        var expected = new Dictionary<string, float[]>();
        using (Backend.BeginStep(training: true))
        {
            Backend.BackwardFrom(Kernel(), kernelGradient);
            foreach (var (name, tensor) in network.Parameters.Where(parameter => IsKernel(parameter.Name)))
                expected[name] = Gradient(tensor);
        }
        using (Backend.BeginStep(training: true))
        {
            var x = Backend.CreateInput([Images, Channels, Size, Size], pixels, requiresGradient: true);
            using var range = Backend.CreateBuffer(new TensorData([2], bounds));
            var input = Backend.FakeQuantize(x, new RangeState(range) { Frozen = true });
            var y = Backend.Add(network.Blocks[0].SumBranches(Backend, input), network.Blocks[0].QuantizationError(Backend, input));
            Backend.BackwardFrom(y, direction);
            // Without the bias, which is the result at an input of zeros.
            Compare.Close(expectedOutput, Minus(Read(y), Bias()), 1e-4);
            Compare.Close(inputGradient, Gradient(x), 1e-4);
            foreach (var (name, gradient) in expected)
                Compare.Close(gradient, Gradient(network.Tensor(name)), 1e-4, name);
        }

        Tensor Kernel()
        {
            var sum = Backend.EquivalentKernel(branches);
            return sumNorm is null ? sum : Backend.EquivalentKernel([new Branch(sum, sumNorm)]);
        }

        TensorData Rounded(Tensor kernel)
        {
            float[] values = Read(kernel);
            var quantized = WeightQuantizer.Quantize(values, new double[Channels], 1, Largest);
            return new TensorData([.. kernel.Shape], [.. quantized.Weights.Select((weight, i) => weight * quantized.Scales[i / (values.Length / Channels)])]);
        }

        float[] Bias()
        {
            var weights = Fusion.Fuse(architecture, network.ExportState());
            return weights[$"{block.Name}.rbr_reparam.bias"].Values;
        }

        static float[] Minus(float[] map, float[] bias) => [.. map.Select((value, i) => value - bias[i / (map.Length / Images / bias.Length) % bias.Length])];

        static bool IsKernel(string name) => name.EndsWith("conv.weight", StringComparison.Ordinal) || name.EndsWith("1x1.weight", StringComparison.Ordinal);
    }

    /// <summary>After training, the network of integers computes what the training network computes in evaluation mode.</summary>
    [BackendTheory]
    [InlineData(TrainingForm.RepVgg, SqueezeExcitation.None, 1)]
    [InlineData(TrainingForm.RepVgg, SqueezeExcitation.BeforeRelu, 2)]
    [InlineData(TrainingForm.MobileOne, SqueezeExcitation.AfterRelu, 1)]
    [InlineData(TrainingForm.QARepVgg, SqueezeExcitation.None, 1)]
    [InlineData(TrainingForm.Plain, SqueezeExcitation.None, 2)]
    [InlineData(TrainingForm.PostAdditionNorm, SqueezeExcitation.None, 1)]
    [InlineData(TrainingForm.Dirac, SqueezeExcitation.None, 1)]
    public void The_network_of_integers_computes_what_the_training_network_does(TrainingForm form, SqueezeExcitation squeezeExcitation, int groups)
    {
        const int Size = 20, Classes = 5, Images = 8;
        var architecture = RandomNetworks.Architecture(3, groups, squeezeExcitation, (16, 1, 1), (16, 2, 2), (32, 2, 2)) with { TrainingForm = form };
        string[] blocks = [.. architecture.Blocks.Select(block => block.Name)];
        foreach (string block in blocks)
            Check(new QuantizationOptions { FloatBlocks = [.. blocks.Where(other => other != block)] }, share: 0.2);
        Check(new QuantizationOptions { FloatBlocks = [.. blocks], QuantizeClassifier = true }, share: 0.2);
        Check(new QuantizationOptions { FloatBlocks = ["stage0", "stage1.1"], ReducedRange = true }, share: 0.2);
        // Where a sum of floats is rounded to another byte than the sum of integers, the sums of all later layers differ, and more of them are rounded otherwise.
        Check(new QuantizationOptions { QuantizeClassifier = true }, share: 1);

        void Check(QuantizationOptions options, double share)
        {
            using var network = new TrainingNetwork(architecture, Classes, Backend, 3, freezeBatchNorm: true, quantized: options.Layers);
            network.ImportPretrained(RandomStates.Training(architecture, Classes, 4));
            float[] pixels = Random(new Random(64), Images * 3 * Size * Size);
            // A training step measures the ranges and changes nothing else.
            using (Backend.BeginStep(training: true))
                network.Forward(Backend.CreateInput([Images, 3, Size, Size], pixels));
            float[] expected;
            using (Backend.BeginStep(training: false))
                expected = Read(network.Forward(Backend.CreateInput([Images, 3, Size, Size], pixels)));

            var state = network.ExportState();
            var fused = DeployNetwork.FromTrainingForm(architecture, state, Size, Size, Normalization.Identity(3));
            var quantized = Quantization.FromTraining(fused, state, options);
            Assert.Equal(blocks.Length - options.FloatBlocks.Length, quantized.IntegerBlocks);
            float[] integers = new float[expected.Length], floats = new float[expected.Length];
            using (var engine = new InferenceEngine(quantized))
                engine.Run(pixels, Images, integers);
            using (var engine = new InferenceEngine(fused))
                engine.Run(pixels, Images, floats);
            double rounding = Distance(floats, integers), difference = Distance(expected, integers);
            Assert.True(difference < share * rounding && rounding > 1e-4, $"{string.Join(' ', options.FloatBlocks)}: {difference:g3} {rounding:g3}");
        }

        static double Distance(float[] first, float[] second) => Math.Sqrt(first.Zip(second).Sum(pair => Math.Pow((double)pair.First - pair.Second, 2)) / first.Sum(value => (double)value * value));
    }

    private static void Mentions<TError>(Action action, params string[] parts)
        where TError : Exception
    {
        var error = Assert.Throws<TError>(action);
        Assert.All(parts, part => Assert.Contains(part, error.Message, StringComparison.Ordinal));
    }

    private static StateDict WithRanges(StateDict state, float[] bounds)
    {
        foreach (string name in state.Names.Where(ActivationRanges.IsRange).ToArray())
            state[name] = new TensorData([2], [.. bounds]);
        return state;
    }
}
