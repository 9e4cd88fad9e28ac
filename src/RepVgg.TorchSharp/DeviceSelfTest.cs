using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;

namespace RepVgg.TorchSharp;

/// <summary>Trains a network for a step on two backends and compares what they computed.</summary>
/// <remarks>Some combinations of processor or GPU, driver and library compute wrong numbers without any error, often for some numbers of channels only.</remarks>
internal static class DeviceSelfTest
{
    private const int Batch = 8;

    /// <summary>Sides of the images: two pixels remain of them at the end, and no less than 32 at the beginning.</summary>
    private const int LastMapSize = 2, SmallestImage = 32;

    /// <summary>Tested where the network to be trained is not known. Every operation of a backend takes part.</summary>
    private static readonly RepVggArchitecture _defaultArchitecture = new()
    {
        Name = "a small network",
        Stages = [new("stage0", 16, 1, 2), new("stage1", 32, 3, 1), new("stage2", 48, 1, 2)],
        Groups = 2,
        SqueezeExcitation = SqueezeExcitation.AfterRelu,
    };

    /// <summary>The difference from the reference that is allowed, as the norm of the differences over the norm of each tensor.</summary>
    /// <remarks>
    /// Over all variants libtorch's CPU device was seen 3e-6 off with single precision and 0.05 with bfloat16, whose significand
    /// has 8 bits; TF32's has 11, so an eighth of that is to be expected.
    /// </remarks>
    public static double ToleranceOf(TorchBackendOptions options) =>
        options.Bfloat16 ? 0.3 : options.CudaDevice is not null && options.AllowTf32 ? 0.05 : 0.01;

    /// <summary>Compares a device with the reference on the network that will be trained.</summary>
    /// <param name="candidate">The device in question.</param>
    /// <param name="reference">The CPU backend.</param>
    /// <param name="options">The device's options: they name the network and decide the tolerance.</param>
    /// <exception cref="DeviceUnavailableException">The numbers differ; the message shows where they differ most.</exception>
    public static void Run(Backend candidate, Backend reference, TorchBackendOptions options)
    {
        double tolerance = ToleranceOf(options);
        var architecture = options.Network ?? _defaultArchitecture;
        var worst = Compare(candidate, reference, architecture, options.Classes);
        if (worst.Difference <= tolerance)
            return;
        string advice = options.CudaDevice is not null
            ? "Check that the GPU's driver and the TorchSharp package belong together."
            : "Train with TrainingDevice.Cpu, which does not use libtorch. On virtual machines that hide the processor's caches (lscpu -C prints nothing), libtorch's convolutions are wrong unless "
                + "the environment variable ONEDNN_MAX_CPU_ISA is set to SSE41 before the process starts.";
        throw new DeviceUnavailableException(
            $"{candidate.Description} computes wrong numbers and is not used: in {architecture.Name}, {worst.Name} has a value of {worst.Actual:g6} where {reference.Description} has {worst.Expected:g6} "
            + $"({worst.Difference:p1} of the tensor is off, allowed {tolerance:p1}). {advice}")
        {
            ComputesWrongNumbers = true,
        };
    }

    /// <summary>The tensor that differs most.</summary>
    /// <param name="Name">What the tensor is.</param>
    /// <param name="Difference">Norm of the differences over the norm of the reference's tensor; infinite where a value is not finite.</param>
    /// <param name="Expected">The reference's value where the two differ most.</param>
    /// <param name="Actual">The candidate's value there.</param>
    internal readonly record struct Deviation(string Name, double Difference, float Expected, float Actual);

    /// <summary>Computes every part of the network on both backends, forward, backward and one optimizer step, and in evaluation.</summary>
    /// <remarks>
    /// Each block has input of its own. In a backward pass through the whole network rounding would turn ReLUs on or off in
    /// one block after the other, and the tolerance would have to allow for the sum of it.
    /// </remarks>
    /// <param name="candidate">The device in question.</param>
    /// <param name="reference">The CPU backend.</param>
    /// <param name="architecture">The network; of blocks that repeat in a stage, few take part.</param>
    /// <param name="classes">Its number of classes.</param>
    internal static Deviation Compare(Backend candidate, Backend reference, RepVggArchitecture architecture, int classes)
    {
        architecture = Reduce(architecture);
        using var expected = Create(architecture, classes, reference);
        using var actual = Create(architecture, classes, candidate);
        return Parts(architecture, classes)
            .SelectMany(part =>
            {
                var (results, output) = Train(expected, reference, part, null);
                return results.Zip(Train(actual, candidate, part, output).Results, Deviate);
            })
            .Concat(expected.ExportState().Zip(actual.ExportState(), (left, right) => Deviate((left.Key, left.Value.Values), (right.Key, right.Value.Values))))
            .MaxBy(deviation => deviation.Difference);
    }

    /// <summary>Leaves out blocks of a stage whose shape others of the stage have: with groups these are two shapes, of layers with even and with odd numbers.</summary>
    private static RepVggArchitecture Reduce(RepVggArchitecture architecture) => architecture with
    {
        Stages = [.. architecture.Stages.Select(stage => stage with { Depth = architecture.Groups == 1 ? Math.Min(stage.Depth, 2) : Math.Min(stage.Depth, 4 - stage.Depth % 2) })],
    };

    /// <summary>Makes the network, with biases that keep what the ReLUs of squeeze-and-excitation read away from zero, where rounding decides whether a gradient passes.</summary>
    private static TrainingNetwork Create(RepVggArchitecture architecture, int classes, Backend backend)
    {
        var network = new TrainingNetwork(architecture, classes, backend, seed: 1);
        foreach (var block in architecture.Blocks)
        {
            if (block.SqueezeExcitationName is { } name)
                backend.CopyIn(network.Tensor($"{name}.down.bias"), [.. Enumerable.Range(0, block.SqueezeWidth).Select(i => i % 2 == 0 ? 1f : -1f)]);
        }
        return network;
    }

    /// <summary>A part of a network that is computed by itself.</summary>
    /// <param name="Name">Prefix of its parameters' names.</param>
    /// <param name="InputShape">[N, C, H, W].</param>
    /// <param name="Forward">Computes it.</param>
    /// <param name="Sum">Computes what its ReLU reads; null where the ReLU is not at its end.</param>
    private sealed record Part(string Name, int[] InputShape, Func<TrainingNetwork, Backend, Tensor, Tensor> Forward, Func<TrainingNetwork, Backend, Tensor, Tensor>? Sum);

    private static IEnumerable<Part> Parts(RepVggArchitecture architecture, int classes)
    {
        int size = Math.Max(LastMapSize * architecture.TotalStride, SmallestImage);
        int number = 0, stage = 0;
        foreach (var shape in architecture.Blocks)
        {
            int block = number++;
            yield return new Part(
                shape.Name, [Batch, shape.InputChannels, size, size],
                (network, backend, input) => network.Blocks[block].Forward(backend, input), (network, backend, input) => network.Blocks[block].SumBranches(backend, input));
            size = ConvolutionSize.OutputOfBlock(size, shape.Stride);
            if (number < architecture.Stages.Take(stage + 1).Sum(spec => spec.Depth))
                continue;
            int index = stage++;
            if (architecture.Stages[index].AuxiliaryHead)
                yield return new Part(architecture.Stages[index].Name + StateLayout.AuxiliarySuffix, [Batch, shape.OutputChannels, size, size], (network, backend, input) => network.Heads[index]!.Forward(backend, input), null);
        }
        int[] labels = [.. Enumerable.Range(0, Batch).Select(i => i % classes)];
        yield return new Part(
            "linear", [Batch, architecture.FeatureWidth, size, size],
            (network, backend, input) => backend.SoftmaxCrossEntropy(backend.Linear(backend.GlobalAveragePool(input), network.Tensor("linear.weight"), network.Tensor("linear.bias")), labels, 0.1f), null);
    }

    /// <summary>Computes a part forward and backward from random input and a random gradient, lets the optimizer step, and evaluates it.</summary>
    /// <param name="network">The network on the backend.</param>
    /// <param name="backend">Where it is computed.</param>
    /// <param name="part">What is computed.</param>
    /// <param name="outputGradient">The gradient that the other backend started from; null makes one.</param>
    private static (List<(string Name, float[] Values)> Results, float[] OutputGradient) Train(TrainingNetwork network, Backend backend, Part part, float[]? outputGradient)
    {
        var parameters = network.Parameters.Where(parameter => parameter.Name.StartsWith($"{part.Name}.", StringComparison.Ordinal)).ToArray();
        using var optimizer = backend.CreateSgd([new ParameterGroup([.. parameters.Select(parameter => parameter.Tensor)], 1e-4f)], 0.9f, nesterov: true);
        float[] values = Draw(part.InputShape, 2);
        var results = new List<(string, float[])>();

        // This pass leaves memory with other values behind. An operation that reads memory which it did not write is right by
        // chance where that memory comes from the system, all zero.
        using (backend.BeginStep(training: true))
        {
            var output = (part.Sum ?? part.Forward)(network, backend, backend.CreateInput(part.InputShape, values, requiresGradient: true));
            outputGradient ??= output.Shape.Count == 0 ? [1f] : part.Sum is null ? Draw(output.Shape, 0.01) : ClearNearZero(Draw(output.Shape, 0.01), Read(backend, output));
            backend.BackwardFrom(output, outputGradient);
        }
        using (backend.BeginStep(training: true))
        {
            var input = backend.CreateInput(part.InputShape, values, requiresGradient: true);
            var output = part.Forward(network, backend, input);
            backend.BackwardFrom(output, outputGradient);
            results.Add(($"the output of {part.Name}", Read(backend, output)));
            results.Add(($"the gradient of the input of {part.Name}", ReadGradient(backend, input)));
            results.AddRange(parameters.Where(parameter => !HasNoGradient(parameter.Name, parameter.Tensor.Shape)).Select(parameter => ($"the gradient of {parameter.Name}", ReadGradient(backend, parameter.Tensor))));
            optimizer.Step(0.05f);
        }
        using (backend.BeginStep(training: false))
            results.Add(($"the output of {part.Name} in evaluation", Read(backend, part.Forward(network, backend, backend.CreateInput(part.InputShape, values)))));
        return (results, outputGradient);
    }

    /// <summary>Where a ReLU reads almost zero, rounding decides whether a gradient passes: none is given there.</summary>
    private static float[] ClearNearZero(float[] gradient, float[] beforeRelu)
    {
        for (int i = 0; i < gradient.Length; i++)
        {
            if (Math.Abs(beforeRelu[i]) < 0.01f)
                gradient[i] = 0;
        }
        return gradient;
    }

    /// <summary>Whether a branch's kernel has one weight for each output channel. The batch norm behind it takes any scale away, so its gradient is rounding and nothing else.</summary>
    private static bool HasNoGradient(string name, IReadOnlyList<int> shape) =>
        name.EndsWith(".rbr_1x1.conv.weight", StringComparison.Ordinal) && shape[1] * shape[2] * shape[3] == 1;

    /// <summary>The same values for the same shape: uniform in [-range, range].</summary>
    private static float[] Draw(IReadOnlyList<int> shape, double range)
    {
        var random = new Random(1);
        var values = new float[Count(shape)];
        foreach (ref float value in values.AsSpan())
            value = (float)((random.NextDouble() * 2 - 1) * range);
        return values;
    }

    private static float[] Read(Backend backend, Tensor tensor)
    {
        var values = new float[Count(tensor.Shape)];
        backend.CopyOut(tensor, values);
        return values;
    }

    private static float[] ReadGradient(Backend backend, Tensor tensor)
    {
        var values = new float[Count(tensor.Shape)];
        backend.CopyGradient(tensor, values);
        return values;
    }

    private static int Count(IReadOnlyList<int> shape) => shape.Aggregate(1, (product, dimension) => product * dimension);

    private static Deviation Deviate((string Name, float[] Values) expected, (string Name, float[] Values) actual)
    {
        double norm = 0, difference = 0, worst = -1;
        int index = 0;
        for (int i = 0; i < expected.Values.Length; i++)
        {
            double square = Math.Pow((double)expected.Values[i] - actual.Values[i], 2);
            if (!double.IsFinite(square))
                square = double.PositiveInfinity;
            norm += (double)expected.Values[i] * expected.Values[i];
            difference += square;
            if (square > worst)
                (worst, index) = (square, i);
        }
        return new Deviation(expected.Name, Math.Sqrt(norm > 0 ? difference / norm : difference), expected.Values[index], actual.Values[index]);
    }
}
