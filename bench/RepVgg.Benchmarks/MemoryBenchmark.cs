using System.Diagnostics;
using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;
using TorchSharp;

namespace RepVgg.Benchmarks;

/// <summary>Resident memory and TorchSharp's live tensors over many training steps of one training form, and the peak.</summary>
internal static class MemoryBenchmark
{
    private const int Classes = 10;

    public static void Run(CommandLine options)
    {
        var architecture = RepVggVariants.Find(options.Text("network", "S1"));
        if (options.TrainingForm("form") is { } form)
            architecture = architecture with { TrainingForm = form };
        int size = options.Number("size", architecture.DefaultImageSize), batch = options.Number("batch", 32), steps = options.Number("steps", 500);
        using var backend = BackendOption.Create(options, architecture, options.Number("threads", 0));
        using var network = new TrainingNetwork(architecture, Classes, backend, seed: 1);
        using var optimizer = backend.CreateOptimizer([new ParameterGroup(network.Parameters, 1e-4f)], new SgdOptions(0.9f));
        using var average = backend.CreateWeightAverage([.. network.Parameters, .. network.Buffers]);
        using var totals = backend.CreateMetricAccumulator();
        int[] shape = [batch, architecture.InputChannels, size, size];
        var random = new Random(1);
        var images = new float[shape.Aggregate(1, (product, dimension) => product * dimension)];
        int[] labels = [.. Enumerable.Range(0, batch).Select(i => i % Classes)];
        Console.WriteLine($"{architecture.Name}, training form {architecture.TrainingForm}, {size}x{size}, batch {batch}, {backend.Description}");
        Console.WriteLine("   step   live tensors   resident MiB");
        for (int step = 1; step <= steps; step++)
        {
            foreach (ref float pixel in images.AsSpan())
                pixel = random.NextSingle() * 2 - 1;
            using (var staged = backend.Stage(shape, images))
            using (backend.BeginStep(training: true))
            {
                var logits = network.Forward(backend.CreateInput(staged));
                var loss = backend.SoftmaxCrossEntropy(logits, labels, 0.1f);
                totals.Add(loss, logits, labels);
                backend.Backward(loss);
                optimizer.Step(0.01f);
                average.Update(0.999f);
            }
            if (step % backend.StepsBetweenReads == 0)
                totals.ReadAndReset();
            if (step is 1 or 10 || step % 50 == 0)
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{step,7}   {torch.Tensor.TotalCount,12}   {Environment.WorkingSet / 1048576.0,12:F1}"));
        }
        using var process = Process.GetCurrentProcess();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Peak of the resident memory: {process.PeakWorkingSet64 / 1048576.0:F1} MiB."));
    }
}
