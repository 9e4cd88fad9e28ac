using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;

namespace RepVgg.Benchmarks;

/// <summary>The losses of two backends that train the same network on the same batches from the same weights.</summary>
internal static class BackendComparison
{
    private const int Classes = 10;

    public static void Run(CommandLine options)
    {
        var architecture = RepVggVariants.Find(options.Text("network", "S1"));
        int size = options.Number("size", architecture.DefaultImageSize), batch = options.Number("batch", 32), steps = options.Number("steps", 20), threads = options.Number("threads", 0);
        using var reference = new CpuBackend(threads);
        using var other = BackendOption.Create(options, architecture, threads);
        Console.WriteLine($"{architecture.Name}, {size}x{size}, batch {batch}: {reference.Description} and {other.Description}");
        var expected = Losses(reference, architecture, size, batch, steps);
        var actual = Losses(other, architecture, size, batch, steps);
        double worst = 0;
        for (int step = 0; step < steps; step++)
        {
            double difference = Math.Abs(actual[step] - expected[step]) / Math.Abs(expected[step]);
            worst = Math.Max(worst, difference);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  step {step + 1,3}   {expected[step]:f6}   {actual[step]:f6}   {difference:e1}"));
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"largest relative difference: {worst:e1}"));
    }

    private static double[] Losses(Backend backend, RepVggArchitecture architecture, int size, int batch, int steps)
    {
        using var network = new TrainingNetwork(architecture, Classes, backend, seed: 1);
        using var optimizer = backend.CreateOptimizer([new ParameterGroup(network.Parameters, 1e-4f)], new SgdOptions(0.9f, Nesterov: true));
        var random = new Random(1);
        var labels = new int[batch];
        var images = new float[batch * architecture.InputChannels * size * size];
        var losses = new double[steps];
        var value = new float[1];
        for (int step = 0; step < steps; step++)
        {
            // A stripe whose place is the class, in noise: something to learn, but not by heart.
            foreach (ref int label in labels.AsSpan())
                label = random.Next(Classes);
            for (int i = 0; i < images.Length; i++)
                images[i] = 4 * random.NextSingle() - 2 + (i % size * Classes / size == labels[i / (images.Length / batch)] ? 1 : 0);
            using (backend.BeginStep(training: true))
            {
                var loss = backend.SoftmaxCrossEntropy(network.Forward(backend.CreateInput([batch, architecture.InputChannels, size, size], images)), labels, 0);
                backend.CopyOut(loss, value);
                backend.Backward(loss);
            }
            optimizer.Step(0.003f);
            losses[step] = value[0];
        }
        return losses;
    }
}
