using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Diagnostics;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Samples.Images;
using RepVgg.Samples.Workflow;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;

namespace RepVgg.Samples.Ablation;

/// <summary>Trains cases on the same images and measures them on the same test images.</summary>
/// <param name="images">The training and the test images.</param>
/// <param name="normalization">Normalisation of the images, the same for all runs.</param>
/// <param name="createBackend">Creates the backend for a network.</param>
/// <param name="threads">Number of threads of the inference engine; 0 for all cores.</param>
/// <param name="cancellation">Is observed before every batch.</param>
internal sealed class AblationTrainer(LabelledImages images, Normalization normalization, Func<RepVggArchitecture, Backend> createBackend, int threads, CancellationToken cancellation)
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
        var result = TrainingDisplay.Run(report => TrainingLoop.Run(backend, network, images.Training, validation: null, normalization, options, report, cancellation));
        cancellation.ThrowIfCancellationRequested();
        run = run with { ImagesPerSecond = [.. result.History.Select(epoch => epoch.TrainingImagesPerSecond)] };
        if (!run.Case.Fuses)
            return run with { Accuracy = Accuracy(backend, network) };
        var fused = DeployNetwork.FromTrainingForm(architecture, result.Weights, images.Training.Height, images.Training.Width, normalization);
        return run with { Accuracy = Accuracy(fused), FusedDifference = FusionCheck.Compare(architecture, result.Weights, fused, threads: threads).Largest };
    }

    /// <summary>Measures the fused network with the inference engine.</summary>
    private double Accuracy(DeployNetwork network)
    {
        using var engine = new InferenceEngine(network, threads);
        var pixels = new float[TestBatch * engine.InputLength];
        var logits = new float[TestBatch * engine.Classes];
        var labels = new int[TestBatch];
        int correct = 0;
        for (int start = 0; start < images.Test.Count; start += TestBatch)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(TestBatch, images.Test.Count - start);
            for (int i = 0; i < count; i++)
                labels[i] = images.Test.Read(start + i, pixels.AsSpan(i * engine.InputLength, engine.InputLength));
            engine.Run(pixels.AsSpan(0, count * engine.InputLength), count, logits.AsSpan(0, count * engine.Classes));
            correct += CountCorrect(logits.AsSpan(0, count * engine.Classes), labels.AsSpan(0, count));
        }
        return (double)correct / images.Test.Count;
    }

    /// <summary>Measures the training form in evaluation mode.</summary>
    private double Accuracy(Backend backend, TrainingNetwork network)
    {
        var augmenter = new ImageAugmenter(Augmentation.None, normalization, images.Test.Channels, images.Test.Height, images.Test.Width);
        using var loader = BatchLoader.Evaluation(images.Test, augmenter, TestBatch, backend);
        int correct = 0;
        for (int step = 0; step < loader.Batches; step++)
        {
            var batch = loader.Next(cancellation) ?? throw new OperationCanceledException(cancellation);
            var logits = new float[batch.Count * network.Classes];
            using (backend.BeginStep(training: false))
                backend.CopyOut(network.Forward(backend.CreateInput(batch.Staged!)), logits);
            correct += CountCorrect(logits, batch.Labels);
        }
        return (double)correct / images.Test.Count;
    }

    private static int CountCorrect(ReadOnlySpan<float> logits, ReadOnlySpan<int> labels)
    {
        int correct = 0, classes = logits.Length / labels.Length;
        for (int i = 0; i < labels.Length; i++)
        {
            if (Logits.IndexOfMax(logits.Slice(i * classes, classes)) == labels[i])
                correct++;
        }
        return correct;
    }
}
