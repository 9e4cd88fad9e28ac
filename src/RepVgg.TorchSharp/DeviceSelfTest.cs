using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;

namespace RepVgg.TorchSharp;

/// <summary>Trains a small network for a step on two backends and compares what they computed.</summary>
/// <remarks>There are GPUs, drivers and libraries that fit together badly enough to compute wrong numbers without any error.</remarks>
internal static class DeviceSelfTest
{
    private const int Batch = 8, Size = 16, Classes = 5;

    /// <summary>Groups, a stride, an identity branch and squeeze-and-excitation: every operation of the seam takes part.</summary>
    private static readonly RepVggArchitecture _architecture = new()
    {
        Name = "self-test",
        Stages = [new("stage0", 16, 1, 2), new("stage1", 32, 3, 1), new("stage2", 48, 1, 2)],
        Groups = 2,
        SqueezeExcitation = SqueezeExcitation.AfterRelu,
        DefaultImageSize = Size,
    };

    /// <summary>How far the numbers of a sound device may be off: the norm of the differences over the norm of each tensor.</summary>
    /// <remarks>
    /// Gradients are far less exact than outputs, as rounding turns some ReLUs on or off. With bfloat16's 8 bits they were
    /// seen 0.25 off, with single precision 0.001; TF32 has 11 bits, so an eighth of bfloat16's error is to be expected.
    /// </remarks>
    public static double ToleranceOf(TorchBackendOptions options) =>
        options.Bfloat16 ? 0.5 : options.CudaDevice is not null && options.AllowTf32 ? 0.15 : 0.01;

    /// <summary>Compares.</summary>
    /// <param name="candidate">The device in question.</param>
    /// <param name="reference">The CPU backend.</param>
    /// <param name="tolerance">As <see cref="ToleranceOf"/> has it.</param>
    /// <exception cref="DeviceUnavailableException">The numbers differ; the message shows where they differ most.</exception>
    public static void Run(Backend candidate, Backend reference, double tolerance)
    {
        var expected = Compute(reference);
        var actual = Compute(candidate);
        var worst = expected.Zip(actual)
            .Select(pair => (pair.First.Name, Difference: Difference(pair.First.Values, pair.Second.Values, out int index), Expected: pair.First.Values[index], Actual: pair.Second.Values[index]))
            .MaxBy(result => result.Difference);
        if (!(worst.Difference <= tolerance))
        {
            throw new DeviceUnavailableException(
                $"{candidate.Description} computes wrong numbers and is not used: in a small network, {worst.Name} has a value of {worst.Actual:g6} where {reference.Description} has {worst.Expected:g6} "
                + $"({worst.Difference:p1} of the tensor is off, allowed {tolerance:p1}). Look for a driver, GPU or TorchSharp package that do not fit together.")
            {
                ComputesWrongNumbers = true,
            };
        }
    }

    private static List<(string Name, float[] Values)> Compute(Backend backend)
    {
        var random = new Random(1);
        var images = new float[Batch * 3 * Size * Size];
        foreach (ref float pixel in images.AsSpan())
            pixel = (float)(random.NextDouble() * 4 - 2);
        int[] labels = [.. Enumerable.Range(0, Batch).Select(i => i % Classes)];

        using var network = new TrainingNetwork(_architecture, Classes, backend, seed: 1);
        using var optimizer = backend.CreateSgd([new ParameterGroup([.. network.Parameters.Select(parameter => parameter.Tensor)], 1e-4f)], 0.9f, nesterov: true);
        var results = new List<(string, float[])>();
        using (backend.BeginStep(training: true))
        {
            var logits = network.Forward(backend.CreateInput([Batch, 3, Size, Size], images));
            var loss = backend.SoftmaxCrossEntropy(logits, labels, 0.1f);
            backend.Backward(loss);
            results.Add(("the training logits", Read(backend, logits)));
            results.Add(("the loss", Read(backend, loss)));
            foreach (var (name, tensor) in network.Parameters)
            {
                var gradient = new float[Count(tensor)];
                backend.CopyGradient(tensor, gradient);
                results.Add(($"the gradient of {name}", gradient));
            }
            optimizer.Step(0.05f);
        }
        results.AddRange(network.ExportState().Select(tensor => (tensor.Key, tensor.Value.Values)));
        using (backend.BeginStep(training: false))
            results.Add(("the evaluation logits", Read(backend, network.Forward(backend.CreateInput([Batch, 3, Size, Size], images)))));
        return results;
    }

    private static float[] Read(Backend backend, Tensor tensor)
    {
        var values = new float[Count(tensor)];
        backend.CopyOut(tensor, values);
        return values;
    }

    private static int Count(Tensor tensor) => tensor.Shape.Aggregate(1, (product, dimension) => product * dimension);

    /// <summary>The norm of the difference relative to the expected norm, infinite for what is no number; and where the two differ most.</summary>
    private static double Difference(float[] expected, float[] actual, out int index)
    {
        double norm = 0, difference = 0, worst = -1;
        index = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double square = Math.Pow((double)expected[i] - actual[i], 2);
            if (!double.IsFinite(square))
                square = double.PositiveInfinity;
            norm += (double)expected[i] * expected[i];
            difference += square;
            if (square > worst)
                (worst, index) = (square, i);
        }
        return Math.Sqrt(norm > 0 ? difference / norm : difference);
    }
}
