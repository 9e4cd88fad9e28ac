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

    /// <summary>How far the numbers of a sound device may be off, relative to the largest of each tensor.</summary>
    public static double ToleranceOf(TorchBackendOptions options) =>
        options.Bfloat16 ? 0.1 : options.CudaDevice is not null && options.AllowTf32 ? 0.02 : 1e-3;

    /// <summary>Compares.</summary>
    /// <param name="candidate">The device in question.</param>
    /// <param name="reference">The CPU backend.</param>
    /// <param name="tolerance">Largest relative difference.</param>
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
                + $"(difference {worst.Difference:g3} of the largest value, allowed {tolerance:g3}). Look for a driver, GPU or TorchSharp package that do not fit together.")
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

    /// <summary>The largest difference relative to the largest expected value; infinite for what is no number.</summary>
    private static double Difference(float[] expected, float[] actual, out int index)
    {
        double scale = expected.Max(value => Math.Abs((double)value)), worst = 0;
        index = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double difference = Math.Abs((double)expected[i] - actual[i]);
            if (!double.IsFinite(difference))
                difference = double.PositiveInfinity;
            if (difference > worst)
                (worst, index) = (difference, i);
        }
        return scale > 0 ? worst / scale : worst;
    }
}
