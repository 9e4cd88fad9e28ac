using CsCheck;
using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Diagnostics;
using RepVgg.Inference;
using RepVgg.Inference.Float32;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Runtime.Simd;
using RepVgg.Testing;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Reliability.Tests.Properties;

/// <summary>Fusion and inference of random networks.</summary>
public class AlgebraProperties
{
    private const int Images = 3;

    // Relative to the largest value. Small networks with random batch norms can cancel most of a value.
    private const double Tolerance = 1e-4;

    [Fact]
    public void A_fused_network_gives_the_logits_of_the_training_form() => RandomCases.Fusable.Sample(
        network =>
        {
            var state = network.TrainingState;
            var deployed = DeployNetwork.FromTrainingForm(network.Architecture, state, network.Height, network.Width, Normalization.Identity(network.Channels));
            if (network.Form == TrainingForm.RepVgg)
            {
                var images = RandomStates.Images(Images, network.Channels, network.Height, network.Width);
                float[] expected = new ReferenceTrainingForm(network.Architecture, state).Logits(images);
                Compare.Close(expected, Logits(deployed, images.Values, 1), Tolerance);
            }
            foreach (var (block, error) in FusionCheck.Compare(network.Architecture, state, deployed, Images, threads: 1).Blocks)
                Assert.True(error <= Tolerance, FormattableString.Invariant($"{block}: {error}"));
        });

    [Fact]
    public void The_equivalent_convolution_of_training_is_the_fused_one() => RandomCases.Fusable.Where(network => HasEquivalentConvolution(network.Form)).Sample(
        network =>
        {
            var state = network.TrainingState;
            var fused = Fusion.Fuse(network.Architecture, state);
            using var backend = new CpuBackend(1);
            using var training = new TrainingNetwork(network.Architecture, network.Classes, backend, seed: 1);
            training.ImportState(state);
            foreach (var block in network.Architecture.Blocks)
            {
                using var step = backend.BeginStep(training: false);
                var (kernel, bias) = training.EquivalentConvolution(block.Name);
                Close($"{block.Name}.rbr_reparam.weight", kernel);
                Close($"{block.Name}.rbr_reparam.bias", bias);
            }

            void Close(string name, Backends.Tensor tensor)
            {
                var values = new float[fused[name].Values.Length];
                backend.CopyOut(tensor, values);
                Compare.Close(fused[name].Values, values, 1e-5, name);
            }
        });

    [Fact]
    public void A_sum_of_branches_has_the_sum_of_their_kernels() => Branches.Sample(
        branches =>
        {
            var (first, second) = branches.Create();
            float[] sum = first.Plus(second).Kernel.Values;
            Assert.Equal(sum, second.Plus(first).Kernel.Values);
            float[] a = Kernel(first), b = Kernel(second);
            for (int i = 0; i < sum.Length; i++)
                Assert.Equal((float)((double)a[i] + b[i]), sum[i]);
        }, iter: 300);

    [Fact]
    public void A_scaled_branch_has_the_scaled_kernel_and_bias() => Branches.Sample(
        branches =>
        {
            // A power of two, so that no value is rounded.
            const double Factor = 4;
            var (first, second) = branches.Create();
            var sum = first.Plus(second);
            int channels = sum.OutputChannels;
            var shifted = sum.Then([.. Enumerable.Repeat(1.0, channels)], [.. Enumerable.Range(0, channels).Select(c => (double)c)]);
            var scaled = shifted.Then([.. Enumerable.Repeat(Factor, channels)], new double[channels]);
            Assert.Equal(Array.ConvertAll(Kernel(shifted), value => (float)(value * Factor)), Kernel(scaled));
            Assert.Equal(Array.ConvertAll(shifted.Bias.Values, value => (float)(value * Factor)), scaled.Bias.Values);
        }, iter: 300);

    [Fact]
    public void Winograd_convolution_gives_the_logits_of_direct_convolution() => Deployable.Sample(
        network =>
        {
            var deployed = network.Deploy;
            float[] pixels = RandomNetworks.Pixels(deployed, Images);
            Compare.Close(
                Logits(deployed, pixels, 1, (_, _, _) => ConvolutionStrategy.Direct),
                // The first convolution reads the image, which is not divided into blocks of channels.
                Logits(deployed, pixels, 1, (block, _, _) => block.Name == "stage0" ? ConvolutionStrategy.Direct : ConvolutionStrategy.Winograd), Tolerance);
        });

    [Fact]
    public void Logits_are_those_of_the_definition() => Deployable.Sample(
        network =>
        {
            var deployed = network.Deploy;
            float[] pixels = RandomNetworks.Pixels(deployed, Images);
            Compare.Close(ReferenceNetwork.Logits(deployed, pixels, Images), Logits(deployed, pixels, 2), Tolerance);
        });

    [Fact]
    public void The_bits_of_logits_depend_neither_on_the_batch_nor_on_threads() => Gen.Select(Deployable, Gen.Int[1, 9], Gen.Int[2, 5]).Sample(
        (network, count, threads) =>
        {
            var deployed = network.Deploy;
            float[] pixels = RandomNetworks.Pixels(deployed, count);
            using var alone = new InferenceEngine(deployed, threads: 1);
            using var together = new InferenceEngine(deployed, threads);
            var expected = new float[count * network.Classes];
            for (int i = 0; i < count; i++)
                alone.Run(pixels.AsSpan(i * alone.InputLength, alone.InputLength), 1, expected.AsSpan(i * network.Classes, network.Classes));
            var logits = new float[expected.Length];
            together.Run(pixels, count, logits);
            Assert.Equal(expected, logits);
            alone.Run(pixels, count, logits);
            Assert.Equal(expected, logits);
        });

    /// <summary>Whether the equivalent convolution is differentiable: the blocks only sum branches of one layer.</summary>
    private static bool HasEquivalentConvolution(TrainingForm form) => form != TrainingForm.DiverseBranch && TrainingForms.SumNormOf(form) is null;

    private static Gen<NetworkCase> Deployable { get; } = RandomCases.Networks.Select(network => network with { Form = TrainingForm.RepVgg });

    private static Gen<BranchCase> Branches { get; } =
        from groups in Gen.Int[1, 3]
        from inputs in Gen.Int[1, 4]
        from outputs in Gen.Int[1, 4]
        from sizes in Gen.OneOf(1, 3).Array[2]
        from stride in Gen.Int[1, 2]
        from seed in Gen.Int[0, 1000]
        select new BranchCase(groups, inputs * groups, outputs * groups, sizes[0], sizes[1], stride, seed);

    private static float[] Kernel(LinearBranch branch)
    {
        var kernel = new float[9 * branch.InputsPerGroup * branch.OutputChannels];
        branch.ReadKernel(kernel);
        return kernel;
    }

    private static float[] Logits(DeployNetwork network, float[] pixels, int threads, StrategyChoice? choose = null)
    {
        using var engine = new InferenceEngine(network, threads, VectorWidths.Widest, choose);
        var logits = new float[pixels.Length / engine.InputLength * network.Classes];
        engine.Run(pixels, pixels.Length / engine.InputLength, logits);
        return logits;
    }

    /// <summary>Two convolutions that can be added.</summary>
    private sealed record BranchCase(int Groups, int Inputs, int Outputs, int FirstSize, int SecondSize, int Stride, int Seed)
    {
        public (LinearBranch First, LinearBranch Second) Create()
        {
            var random = new Random(Seed);
            return (Convolution(random, FirstSize), Convolution(random, SecondSize));
        }

        private LinearBranch Convolution(Random random, int size) => LinearBranch.Convolution(
            new TensorData([.. Enumerable.Range(0, Outputs * Inputs / Groups * size * size).Select(_ => (float)(random.NextDouble() * 2 - 1))]), Inputs, Outputs, size, size, Stride, Groups);
    }
}
