using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.TorchSharp;

namespace RepVgg.TorchSharp.Tests;

/// <summary>For several networks, what the self-test says of libtorch's CPU device, and how wrong a real training step is on it.</summary>
internal static class SelfTestVerdicts
{
    private const int Batch = 32, Size = 28, Classes = 10;

    /// <summary>Prints a line for each network: name, whether it was refused, relative difference of a training step's gradients, message; separated by tabs.</summary>
    public static void Print()
    {
        foreach (var network in (RepVggArchitecture[])[RepVggVariants.S0, RepVggVariants.S1, Custom(12, 20, 28), Custom(24, 48, 96)])
        {
            string refusal = "";
            try
            {
                TorchBackends.Create(new TorchBackendOptions { Threads = 2, Network = network }).Dispose();
            }
            catch (DeviceUnavailableException exception) when (exception.ComputesWrongNumbers)
            {
                refusal = exception.Message;
            }
            using var torch = TorchBackends.Create(new TorchBackendOptions { Threads = 2, SelfTest = false });
            using var cpu = new CpuBackend(2);
            double difference = Difference(Gradients(cpu, network), Gradients(torch, network));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{network.Name}\t{refusal.Length > 0}\t{difference}\t{refusal}"));
        }
    }

    private static RepVggArchitecture Custom(int first, int second, int third) => new()
    {
        Name = $"{first}-{second}-{third}",
        InputChannels = 1,
        Stages = [new("stage0", first, 1, 1), new("stage1", second, 2, 2), new("stage2", third, 2, 2)],
    };

    /// <summary>The gradients of the 3x3 kernels after one pass over the whole network, at the size and batch of a real training run.</summary>
    private static float[] Gradients(Backend backend, RepVggArchitecture architecture)
    {
        var random = new Random(5);
        var images = new float[Batch * Size * Size];
        foreach (ref float pixel in images.AsSpan())
            pixel = (float)(random.NextDouble() * 2 - 1);
        using var network = new TrainingNetwork(architecture, Classes, backend, seed: 2);
        var gradients = new List<float>();
        // The second pass finds the memory that the first one left.
        for (int pass = 0; pass < 2; pass++)
        {
            using var step = backend.BeginStep(training: true);
            backend.Backward(backend.SoftmaxCrossEntropy(network.Forward(backend.CreateInput([Batch, 1, Size, Size], images)), [.. Enumerable.Range(0, Batch).Select(i => i % Classes)], 0));
            gradients.Clear();
            foreach (var (_, tensor) in network.Parameters.Where(parameter => parameter.Name.EndsWith("rbr_dense.conv.weight", StringComparison.Ordinal)))
            {
                var values = new float[tensor.Shape.Aggregate(1, (product, dimension) => product * dimension)];
                backend.CopyGradient(tensor, values);
                gradients.AddRange(values);
            }
        }
        return [.. gradients];
    }

    private static double Difference(float[] expected, float[] actual)
    {
        double difference = Math.Sqrt(expected.Zip(actual, (left, right) => Math.Pow((double)left - right, 2)).Sum()) / Math.Sqrt(expected.Sum(value => (double)value * value));
        return double.IsFinite(difference) ? difference : double.MaxValue;
    }
}
