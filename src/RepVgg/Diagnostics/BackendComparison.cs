using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Diagnostics;

/// <summary>Computes training steps of the parts of a network on two backends and compares the results.</summary>
/// <remarks>
/// Each block gets its own input, which is the same on both backends. In a backward pass through the whole network, rounding
/// would change the sign of ReLU inputs in each block, and the tolerance would have to include the accumulated differences.
/// </remarks>
internal static class BackendComparison
{
    private const int Batch = 8;

    /// <summary>Side of the last feature map and minimum side of the input images, in pixels. The image side is max(2 * total stride, 32).</summary>
    private const int LastMapSize = 2, SmallestImage = 32;

    private const string OutputOf = "the output of ";

    private const double CoarseTolerance = 0.5;

    /// <summary>The difference of one tensor between the two backends.</summary>
    /// <param name="Name">Description of the tensor.</param>
    /// <param name="Difference">L2 norm of the difference divided by the L2 norm of the reference tensor; infinite if a value is not finite.</param>
    /// <param name="Expected">Value of the reference at the index of the largest difference.</param>
    /// <param name="Actual">Value of the candidate at that index.</param>
    internal readonly record struct Deviation(string Name, double Difference, float Expected, float Actual)
    {
        /// <summary>Describes the difference, as a clause.</summary>
        /// <param name="reference">The backend of the expected value.</param>
        /// <param name="tolerance">The difference that is allowed.</param>
        public string Describe(Backend reference, double tolerance) => FormattableString.Invariant(
            $"{Name} has a value of {Actual:g6} where {reference.Description} has {Expected:g6} ({Difference:p1} of the tensor is off, allowed {tolerance:p1})");
    }

    /// <summary>Computes each part of the network on both backends, with random weights and inputs: forward and backward pass, one optimizer step, and a forward pass in evaluation mode. Returns the tensor with the largest difference.</summary>
    /// <param name="candidate">The backend to be tested.</param>
    /// <param name="reference">The CPU backend.</param>
    /// <param name="architecture">The network. Blocks of a stage that have the same shape as another block of the stage are left out.</param>
    /// <param name="classes">Number of classes of the network.</param>
    public static Deviation Compare(Backend candidate, Backend reference, RepVggArchitecture architecture, int classes)
    {
        architecture = Reduce(architecture);
        using var expected = Create(architecture, classes, reference);
        using var actual = Create(architecture, classes, candidate);
        int size = Math.Max(LastMapSize * architecture.TotalStride, SmallestImage);
        return Parts(architecture, Batch, size, size, [.. Enumerable.Range(0, Batch).Select(i => i % classes)])
            .SelectMany(part =>
            {
                float[] input = RandomValues(part.InputShape, 2);
                var (results, output) = Train(expected, reference, part, input, null);
                return results.Zip(Train(actual, candidate, part, input, output).Results, ComputeDeviation);
            })
            .Concat(CompareStates(expected, actual))
            .MaxBy(deviation => deviation.Difference);
    }

    /// <summary>
    /// Computes a network on both backends with given weights and images: each part's forward and backward pass, one optimizer step,
    /// and a forward pass in evaluation mode. The input of a part is the output of the part before it on the reference.
    /// </summary>
    /// <param name="candidate">The backend to be tested.</param>
    /// <param name="reference">The CPU backend.</param>
    /// <param name="network">The network to be tested: its architecture, classes and frozen batch norms. Its weights are not used.</param>
    /// <param name="weights">The weights, which are finite.</param>
    /// <param name="images">Normalised images, NCHW.</param>
    /// <param name="imageShape">Channels, height and width of an image.</param>
    /// <param name="labels">The label of each image.</param>
    /// <param name="cancellation">Checked before each part.</param>
    /// <returns>
    /// A difference that the candidate's precision does not explain; null if there is none up to the first part in which the reference's results are not finite.
    /// If that is the first part of all, nothing was compared.
    /// </returns>
    /// <exception cref="OperationCanceledException">The call was cancelled.</exception>
    public static (Deviation? Fault, bool IsCompared) FindFault(
        Backend candidate, Backend reference, TrainingNetwork network, StateDict weights, ReadOnlySpan<float> images, (int Channels, int Height, int Width) imageShape, int[] labels, CancellationToken cancellation)
    {
        var architecture = network.Architecture;
        using var expected = new TrainingNetwork(architecture, network.Classes, reference, seed: 1, freezeBatchNorm: network.FreezesBatchNorm);
        using var actual = new TrainingNetwork(architecture, network.Classes, candidate, seed: 1, freezeBatchNorm: network.FreezesBatchNorm);
        expected.ImportState(weights);
        actual.ImportState(weights);
        float[] input = images.ToArray();
        bool isCompared = false;
        foreach (var part in Parts(architecture, labels.Length, imageShape.Height, imageShape.Width, labels))
        {
            cancellation.ThrowIfCancellationRequested();
            var (results, outputGradient) = Train(expected, reference, part, input, null);
            if (results.Any(result => !IsFinite(result.Values)))
                return (null, isCompared);
            var found = Train(actual, candidate, part, input, outputGradient).Results;
            for (int i = 0; i < results.Count; i++)
            {
                var deviation = ComputeDeviation(results[i], found[i]);
                // Gradients of real weights and images can be small sums of large terms, so only a coarse difference counts.
                if (deviation.Difference > (IsOutput(results[i].Name) ? candidate.Tolerance : Math.Max(candidate.Tolerance, CoarseTolerance)) && !IsNegligible(results[i].Values, found[i].Values))
                    return (deviation, true);
            }
            isCompared = true;
            if (part.Sum is not null)
                input = results[0].Values;
        }
        return (CompareStates(expected, actual).FirstOrDefault(deviation => double.IsPositiveInfinity(deviation.Difference)) is { Name: not null } fault ? fault : null, true);
    }

    /// <summary>Number of multiply-adds per image of <see cref="FindFault"/> on one backend.</summary>
    public static long MultiplyAddsOfFindFault(RepVggArchitecture architecture, int classes, int height, int width) =>
        // Two training steps, each of a forward pass and a backward pass of twice the work, and the forward pass in evaluation mode.
        7 * ModelStatistics.Of(architecture, WeightsForm.Training, classes, height, width).MultiplyAdds;

    private static IEnumerable<Deviation> CompareStates(TrainingNetwork expected, TrainingNetwork actual) =>
        expected.ExportState().Zip(actual.ExportState(), (left, right) => ComputeDeviation((left.Key, left.Value.Values), (right.Key, right.Value.Values)));

    private static bool IsOutput(string name) => name.StartsWith(OutputOf, StringComparison.Ordinal);

    private static bool IsFinite(float[] values) => Array.TrueForAll(values, float.IsFinite);

    /// <summary>Whether all values are so small on both backends that they are rounding errors.</summary>
    private static bool IsNegligible(float[] expected, float[] actual) => Array.TrueForAll(expected, IsTiny) && Array.TrueForAll(actual, IsTiny);

    private static bool IsTiny(float value) => Math.Abs(value) < 1e-6f;

    /// <summary>Removes blocks of a stage whose shape equals that of another block of the stage.</summary>
    /// <remarks>
    /// Without groups, a stage has two shapes: that of its first block and that of the others. Where blocks have two layers, a third one is the
    /// block of one layer at the end of a stage of odd depth. With groups, the layers of even and of odd index have different shapes.
    /// </remarks>
    internal static RepVggArchitecture Reduce(RepVggArchitecture architecture)
    {
        int layers = TrainingForms.LayersPerBlock(architecture.TrainingForm);
        return architecture with { Stages = [.. architecture.Stages.Select(stage => stage with { Depth = Math.Min(stage.Depth, ReducedDepth(stage.Depth)) })] };

        int ReducedDepth(int depth) => architecture.Groups == 1 ? 2 * layers + depth % layers : 4 - depth % 2;
    }

    /// <summary>Creates the network. The biases of squeeze-and-excitation are set to 1 or -1, to keep the inputs of its ReLU away from zero, where rounding would change the gradient.</summary>
    private static TrainingNetwork Create(RepVggArchitecture architecture, int classes, Backend backend)
    {
        var network = new TrainingNetwork(architecture, classes, backend, seed: 1);
        foreach (var block in architecture.Blocks)
        {
            if (block.SqueezeExcitation != SqueezeExcitation.None)
                backend.CopyIn(network.Tensor($"{block.SqueezeLayer}.bias"), [.. Enumerable.Range(0, block.SqueezeWidth).Select(i => i % 2 == 0 ? 1f : -1f)]);
        }
        return network;
    }

    /// <summary>A part of a network that is computed separately.</summary>
    /// <param name="Name">Prefix of the names of the part's parameters.</param>
    /// <param name="InputShape">Shape of the input, [N, C, H, W].</param>
    /// <param name="Forward">Computes the output of the part.</param>
    /// <param name="Sum">Computes the input of the part's ReLU (the sum of the branches); null if the part is not a block.</param>
    private sealed record Part(string Name, int[] InputShape, Func<TrainingNetwork, Backend, Tensor, Tensor> Forward, Func<TrainingNetwork, Backend, Tensor, Tensor>? Sum);

    private static IEnumerable<Part> Parts(RepVggArchitecture architecture, int batch, int height, int width, int[] labels)
    {
        int nextBlock = 0;
        var blocks = architecture.Blocks.ToArray();
        foreach (var (stage, spec) in architecture.Stages.Index())
        {
            for (int i = 0; i < architecture.BlocksOf(spec); i++)
            {
                int block = nextBlock++;
                yield return new Part(
                    blocks[block].Name, [batch, blocks[block].InputChannels, height, width],
                    (network, backend, input) => network.Blocks[block].Forward(backend, input), (network, backend, input) => network.Blocks[block].SumBranches(backend, input));
                height = ConvolutionSize.OutputOfBlock(height, blocks[block].Stride);
                width = ConvolutionSize.OutputOfBlock(width, blocks[block].Stride);
            }
            if (spec.AuxiliaryHead)
                yield return new Part(spec.Name + StateLayout.AuxiliarySuffix, [batch, spec.Width, height, width], (network, backend, input) => network.AuxiliaryHeads[stage]!.Forward(backend, input, input.Shape[2], input.Shape[3], drops: null), null);
        }
        yield return new Part(
            "linear", [batch, architecture.FeatureWidth, height, width],
            (network, backend, input) => backend.SoftmaxCrossEntropy(backend.Linear(backend.GlobalAveragePool(input), network.Tensor("linear.weight"), network.Tensor("linear.bias")), labels, 0.1f), null);
    }

    /// <summary>Computes the forward and backward pass of a part from a random output gradient, one optimizer step, and the forward pass in evaluation mode.</summary>
    /// <param name="network">The network, created on the backend.</param>
    /// <param name="backend">The backend that computes.</param>
    /// <param name="part">The part of the network to compute.</param>
    /// <param name="values">The input.</param>
    /// <param name="outputGradient">The output gradient that the other backend used; null creates a random one.</param>
    private static (List<(string Name, float[] Values)> Results, float[] OutputGradient) Train(TrainingNetwork network, Backend backend, Part part, float[] values, float[]? outputGradient)
    {
        var parameters = network.Parameters.Where(parameter => parameter.Name.StartsWith($"{part.Name}.", StringComparison.Ordinal)).ToArray();
        using var optimizer = backend.CreateOptimizer([new ParameterGroup(parameters, 1e-4f)], new SgdOptions(0.9f, Nesterov: true));
        var withoutGradient = ParametersWithoutGradient(network.Architecture);
        var results = new List<(string, float[])>();

        // The first pass fills the allocator's free memory with nonzero values, to detect operations that read uninitialized
        // memory. Memory that comes from the operating system is all zero, so such an operation could return correct results by chance.
        using (backend.BeginStep(training: true))
        {
            var output = (part.Sum ?? part.Forward)(network, backend, backend.CreateInput(part.InputShape, values, requiresGradient: true));
            outputGradient ??= output.Shape.Count == 0 ? [1f] : part.Sum is null ? RandomValues(output.Shape, 0.01) : ClearNearZero(RandomValues(output.Shape, 0.01), Read(backend, output));
            backend.BackwardFrom(output, outputGradient);
        }
        using (backend.BeginStep(training: true))
        {
            var input = backend.CreateInput(part.InputShape, values, requiresGradient: true);
            var output = part.Forward(network, backend, input);
            backend.BackwardFrom(output, outputGradient);
            results.Add(($"{OutputOf}{part.Name}", Read(backend, output)));
            results.Add(($"the gradient of the input of {part.Name}", ReadGradient(backend, input)));
            results.AddRange(parameters.Where(parameter => !withoutGradient.Contains(parameter.Name)).Select(parameter => ($"the gradient of {parameter.Name}", ReadGradient(backend, parameter.Tensor))));
            optimizer.Step(0.05f);
        }
        using (backend.BeginStep(training: false))
            results.Add(($"{OutputOf}{part.Name} in evaluation", Read(backend, part.Forward(network, backend, backend.CreateInput(part.InputShape, values)))));
        return (results, outputGradient);
    }

    /// <summary>Sets the output gradient to 0 where the absolute value of the ReLU's input is below 0.01. Rounding can change the sign of such an input, and with it the gradient.</summary>
    private static float[] ClearNearZero(float[] gradient, float[] beforeRelu)
    {
        for (int i = 0; i < gradient.Length; i++)
        {
            if (Math.Abs(beforeRelu[i]) < 0.01f)
                gradient[i] = 0;
        }
        return gradient;
    }

    /// <summary>Returns the names of parameters whose exact gradient is 0, or almost 0, because a batch norm cancels any scale and any constant of its input. The computed gradient is only rounding error.</summary>
    /// <remarks>These are kernels that have one weight per output channel and are followed by a batch norm, and the biases of branches' batch norms where a batch norm follows the sum.</remarks>
    private static HashSet<string> ParametersWithoutGradient(RepVggArchitecture architecture)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        bool hasSumNorm = TrainingForms.SumNormOf(architecture.TrainingForm) is not null;
        foreach (var block in architecture.Blocks)
        {
            foreach (var branch in block.Branches)
            {
                if (block.InputChannels == block.Groups && branch.First is { Size: 1 } first)
                    names.Add($"{block.Name}.{first.KernelName}.weight");
                if (block.InputChannels == block.Groups && branch is { First: null, KernelName: { } kernel, NormName: not null, KernelHeight: 1, KernelWidth: 1 })
                    names.Add($"{block.Name}.{kernel}.weight");
                if (hasSumNorm && branch.NormName is { } norm)
                    names.Add($"{block.Name}.{norm}.bias");
                // Where each output channel has one input channel, its batch norm cancels the one before it, but for the border.
                if (branch.First is { Relu: false } before && (branch.Kind == BranchKind.Average || before.Channels == block.Groups))
                    names.UnionWith([$"{block.Name}.{before.NormName}.weight", $"{block.Name}.{before.NormName}.bias"]);
            }
        }
        return names;
    }

    /// <summary>Returns random values, uniformly distributed in [-range, range]. The seed is fixed, so equal shapes get equal values.</summary>
    private static float[] RandomValues(IReadOnlyList<int> shape, double range)
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

    private static Deviation ComputeDeviation((string Name, float[] Values) expected, (string Name, float[] Values) actual)
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
