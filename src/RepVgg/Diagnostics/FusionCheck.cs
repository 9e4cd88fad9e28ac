using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Diagnostics;

/// <summary>The differences between a deploy network and the training form from which it was fused.</summary>
/// <param name="Blocks">For each block, in order of execution, its name and the relative difference between the sum of its branches and its fused convolution on the same input.</param>
/// <param name="Logits">Relative difference of the logits of the whole network.</param>
public sealed record FusionReport(IReadOnlyList<(string Block, double Error)> Blocks, double Logits)
{
    /// <summary>The largest of all differences; NaN if a difference is NaN.</summary>
    public double Largest => Blocks.Aggregate(Logits, (largest, block) => Math.Max(largest, block.Error));
}

/// <summary>Compares the training form and the deploy form of a network on random images.</summary>
/// <remarks>
/// A relative difference is the largest absolute difference divided by the largest absolute value of the training form.
/// The input of each block is the feature map that the training form computes. The logits of the deploy form are computed by the inference engine.
/// Both forms have the strides and the epsilon of the same architecture, so the comparison does not show whether they are those that the weights were trained with.
/// </remarks>
public static class FusionCheck
{
    /// <summary>Runs both forms on the same random images and computes the differences.</summary>
    /// <param name="architecture">Architecture of the training form, including the epsilon of its batch norms.</param>
    /// <param name="training">Weights of the training form. Auxiliary heads are ignored.</param>
    /// <param name="deployed">The deploy network to compare. Its image size is used, its normalisation is not applied.</param>
    /// <param name="images">Number of random images, whose values have a standard normal distribution.</param>
    /// <param name="seed">Seed of the random images.</param>
    /// <param name="threads">Number of threads; 0 uses all cores.</param>
    /// <returns>The differences.</returns>
    /// <exception cref="ArgumentException">The two are not forms of the same network.</exception>
    /// <exception cref="NotSupportedException">The training form of the architecture cannot be fused.</exception>
    public static FusionReport Compare(RepVggArchitecture architecture, StateDict training, DeployNetwork deployed, int images = 2, int seed = 1, int threads = 0)
    {
        ArgumentNullException.ThrowIfNull(deployed);
        ArgumentOutOfRangeException.ThrowIfLessThan(images, 1);
        ArgumentNullException.ThrowIfNull(architecture);
        ArgumentNullException.ThrowIfNull(training);
        Fusion.RequireFusable(architecture);
        // The deploy form does not tell from which training form it was fused.
        if (!architecture.Blocks.Select(Shape).SequenceEqual(deployed.Architecture.Blocks.Select(Shape)))
            throw new ArgumentException($"{deployed.Architecture.Name} is not the deploy form of this {architecture.Name}: their blocks differ.", nameof(deployed));
        int[] shape = [images, architecture.InputChannels, deployed.ImageHeight, deployed.ImageWidth];
        float[] pixels = RandomImages(shape.Aggregate(1, (product, size) => checked(product * size)), seed);

        using var backend = new CpuBackend(threads);
        var headless = architecture with { Stages = [.. architecture.Stages.Select(stage => stage with { AuxiliaryHead = false })] };
        using var network = new TrainingNetwork(headless, StateLayout.RequireClasses(training), backend, 0);
        network.ImportState(WithoutAuxiliary(training));
        if (network.Classes != deployed.Classes)
            throw new ArgumentException($"The training form has {network.Classes} classes and the deploy form {deployed.Classes}.", nameof(deployed));

        var blocks = new List<(string, double)>();
        var (map, mapShape) = (pixels, shape);
        foreach (var (block, fused) in network.Blocks.Zip(deployed.Blocks))
        {
            using var kernel = backend.CreateBuffer(new TensorData([fused.Shape.OutputChannels, fused.Shape.InputChannels / fused.Shape.Groups, 3, 3], [.. fused.Kernel]));
            using var bias = backend.CreateBuffer(new TensorData([fused.Shape.OutputChannels], [.. fused.Bias]));
            using var step = backend.BeginStep(training: false);
            var input = backend.CreateInput(mapShape, map);
            float[] expected = CopyOut(backend, block.SumBranches(backend, input));
            float[] actual = CopyOut(backend, backend.Conv2d(input, kernel, bias, fused.Shape.Geometry.Of(3, 3)));
            blocks.Add((fused.Shape.Name, RelativeError(expected, actual)));
            var output = block.Forward(backend, input);
            (map, mapShape) = (CopyOut(backend, output), [.. output.Shape]);
        }

        var logits = new float[images * network.Classes];
        using (backend.BeginStep(training: false))
            backend.CopyOut(network.Forward(backend.CreateInput(shape, pixels)), logits);
        var deployedLogits = new float[logits.Length];
        using (var engine = new InferenceEngine(deployed with { Normalization = Normalization.Identity(architecture.InputChannels) }, threads))
            engine.Run(pixels, images, deployedLogits);
        return new FusionReport(blocks, RelativeError(logits, deployedLogits));

        static (string, BlockShape, SqueezeExcitation) Shape(BlockSpec block) =>
            (block.Name, BlockShape.Of(block), block.SqueezeExcitation);
    }

    private static StateDict WithoutAuxiliary(StateDict training)
    {
        var state = new StateDict();
        foreach (var (name, tensor) in training)
        {
            if (!StateLayout.IsAuxiliary(name))
                state[name] = tensor;
        }
        return state;
    }

    private static float[] CopyOut(Backend backend, Tensor tensor)
    {
        var values = new float[tensor.Shape.Aggregate(1, (product, size) => product * size)];
        backend.CopyOut(tensor, values);
        return values;
    }

    private static double RelativeError(float[] expected, float[] actual)
    {
        double scale = 0, largest = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            // Math.Max returns NaN if an argument is NaN, which a comparison with > would ignore.
            scale = Math.Max(scale, Math.Abs((double)expected[i]));
            largest = Math.Max(largest, Math.Abs((double)expected[i] - actual[i]));
        }
        return largest == 0 ? 0 : largest / scale;
    }

    private static float[] RandomImages(int count, int seed)
    {
        var random = new Random(seed);
        var values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return values;
    }
}
