using System.Diagnostics;
using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;

namespace RepVgg.Benchmarks;

/// <summary>Training steps (forward, backward, SGD with momentum) on random images, alone or alternating with PyTorch.</summary>
internal static class TrainingBenchmark
{
    private const int Classes = 10;

    public static void Run(CommandLine options)
    {
        var architecture = RepVggVariants.Find(options.Text("network", "S1"));
        int size = options.Number("size", architecture.DefaultImageSize);
        int batch = options.Number("batch", 128);
        int rounds = options.Number("rounds", 7);
        double seconds = options.Number("seconds", 2);
        bool processorTime = options.Text("clock", "wall") == "processor";
        int threads = options.Number("threads", 0);
        using var backend = BackendOption.Create(options, threads);
        using var network = new TrainingNetwork(architecture, Classes, backend, seed: 1);
        using var optimizer = backend.CreateSgd([new ParameterGroup([.. network.Parameters.Select(parameter => parameter.Tensor)], 1e-4f)], 0.9f, nesterov: false);
        var random = new Random(1);
        int[] shape = [batch, architecture.InputChannels, size, size];
        float[] images = [.. Enumerable.Range(0, shape.Aggregate(1, (product, dimension) => product * dimension)).Select(_ => random.NextSingle() * 2 - 1)];
        int[] labels = [.. Enumerable.Range(0, batch).Select(i => i % Classes)];
        Console.WriteLine($"{architecture.Name}, {size}x{size}, batch {batch}, {network.Parameters.Sum(parameter => Count(parameter.Tensor)):N0} parameters, {backend.Description}");

        using var peer = options.Text("peer") is { } python ? new PyTorchPeer(python, architecture, size, batch, threads == 0 ? Environment.ProcessorCount : threads, Classes, processorTime) : null;
        Round(Step, batch, seconds, processorTime);
        peer?.Round(seconds);
        var ours = new List<double>();
        var theirs = new List<double>();
        for (int round = 0; round < rounds; round++)
        {
            // Each side goes first every other time, so that a machine that slows down favours neither.
            if (round % 2 == 1 && peer is not null)
                theirs.Add(peer.Round(seconds));
            ours.Add(Round(Step, batch, seconds, processorTime));
            if (round % 2 == 0 && peer is not null)
                theirs.Add(peer.Round(seconds));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  round {round + 1,2}: {ours[^1],8:F0} images/s{(peer is null ? "" : $"    PyTorch {theirs[^1],8:F0}    ratio {ours[^1] / theirs[^1]:F2}")}"));
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"medians:  {Median(ours),8:F0} images/s{(peer is null ? "" : $"    PyTorch {Median(theirs),8:F0}    ratio {Median(ours) / Median(theirs):F2}; median of the rounds' ratios {Median([.. ours.Zip(theirs, (own, other) => own / other)]):F2}")}"));

        void Step()
        {
            using (backend.BeginStep(training: true))
            {
                var logits = network.Forward(backend.CreateInput(shape, images));
                backend.Backward(backend.SoftmaxCrossEntropy(logits, labels, 0));
            }
            optimizer.Step(0.01f);
        }
    }

    private static double Round(Action step, int batch, double seconds, bool processorTime)
    {
        int steps = 0;
        double start = Now();
        while (Now() - start < seconds)
        {
            step();
            steps++;
        }
        return steps * batch / (Now() - start);

        double Now() => processorTime ? Environment.CpuUsage.TotalTime.TotalSeconds : Stopwatch.GetElapsedTime(0).TotalSeconds;
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private static long Count(Tensor tensor) => tensor.Shape.Aggregate(1L, (product, dimension) => product * dimension);
}
