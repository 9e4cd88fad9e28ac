using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Diagnostics;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Tool.Images;
using RepVgg.Tool.Workflow;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace RepVgg.Tool.Ablation;

/// <summary>Trains cases on the same images and measures them on the same test images.</summary>
/// <param name="images">The training and the test images.</param>
/// <param name="normalization">Normalisation of the images, the same for all runs.</param>
/// <param name="createBackend">Creates the backend for a network.</param>
/// <param name="threads">Number of threads that evaluate; 0 for all cores.</param>
/// <param name="cancellation">Is observed before every batch.</param>
internal sealed class AblationTrainer(DecodedImages images, Normalization normalization, Func<RepVggArchitecture, Backend> createBackend, int threads, CancellationToken cancellation)
{
    private const int TestBatch = 100;

    /// <summary>Trains a case and evaluates the weights of the last epoch.</summary>
    /// <param name="entry">The case.</param>
    /// <param name="seed">The seed.</param>
    /// <returns>The result. A run that diverges, or whose network cannot be built, trained or fused, is a result with a failure.</returns>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public AblationRun Run(AblationCase entry, int seed)
    {
        var run = new AblationRun(entry, seed);
        try
        {
            return Complete(run);
        }
        catch (Exception error) when (error is TrainingDivergedException or ArgumentException or OverflowException or InsufficientMemoryException)
        {
            return run with { Failure = error.Message.ReplaceLineEndings(" ") };
        }
    }

    private AblationRun Complete(AblationRun run)
    {
        var architecture = run.Case.Architecture;
        using var backend = createBackend(architecture);
        using var network = new TrainingNetwork(architecture, images.Training.Classes, backend, (ulong)run.Seed);
        var options = run.Case.Options with { Seed = (ulong)run.Seed };
        var processorTimes = new List<TimeSpan> { Environment.CpuUsage.TotalTime };
        var result = TrainingDisplay.Run(report => TrainingLoop.Run(backend, network, images.Training, validation: null, normalization, options, Report(report, processorTimes), cancellation));
        cancellation.ThrowIfCancellationRequested();
        run = run with
        {
            ImagesPerSecond = [.. result.History.Select(epoch => epoch.TrainingImagesPerSecond)],
            ProcessorMilliseconds = [.. processorTimes.Zip(processorTimes.Skip(1), (start, end) => (end - start).TotalMilliseconds / images.Training.Count)],
        };
        int height = images.Training.Height, width = images.Training.Width;
        if (!run.Case.Fuses)
        {
            using var unfused = new TrainingFormEngine(architecture, result.Weights, height, width, normalization, threads);
            return run with { Accuracy = Accuracy(unfused) };
        }
        var fused = DeployNetwork.FromTrainingForm(architecture, result.Weights, height, width, normalization);
        using var engine = new InferenceEngine(fused, threads);
        return run with { Accuracy = Accuracy(engine), FusedDifference = FusionCheck.Compare(architecture, result.Weights, fused, threads: threads).Largest };
    }

    /// <summary>Adds the processor time of this process at the end of every epoch.</summary>
    private static Action<TrainingProgress> Report(Action<TrainingProgress> report, List<TimeSpan> processorTimes) => progress =>
    {
        if (progress.EpochResult is not null)
            processorTimes.Add(Environment.CpuUsage.TotalTime);
        report(progress);
    };

    private double Accuracy(INetworkEngine engine)
    {
        int length = images.Test.Channels * images.Test.Height * images.Test.Width, classes = engine.OutputLength, correct = 0;
        var pixels = new float[TestBatch * length];
        var logits = new float[TestBatch * classes];
        var labels = new int[TestBatch];
        for (int start = 0; start < images.Test.Count; start += TestBatch)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(TestBatch, images.Test.Count - start);
            for (int i = 0; i < count; i++)
                labels[i] = images.Test.Read(start + i, pixels.AsSpan(i * length, length));
            engine.Run(pixels.AsSpan(0, count * length), count, logits.AsSpan(0, count * classes));
            for (int i = 0; i < count; i++)
            {
                if (Logits.IndexOfMax(logits.AsSpan(i * classes, classes)) == labels[i])
                    correct++;
            }
        }
        return (double)correct / images.Test.Count;
    }
}
