using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Diagnostics;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Training.Data;
using RepVgg.Weights;

namespace RepVgg.Training;

/// <summary>Looks for the reason of a divergence: first a device that computes wrong numbers, then images with absurd pixels.</summary>
/// <param name="backend">The backend of the run.</param>
/// <param name="network">The network of the run.</param>
/// <param name="train">The training set.</param>
/// <param name="augmenterOf">Gets what augments and normalises the images of an epoch.</param>
/// <param name="options">The options of the run.</param>
/// <param name="cancellation">Ends the search.</param>
internal sealed class DivergenceDiagnosis(
    Backend backend, TrainingNetwork network, ISampleSource train, Func<int, ImageAugmenter> augmenterOf, TrainingOptions options, CancellationToken cancellation)
{
    /// <summary>Multiply-adds of the comparison on the CPU: up to about half a minute. If a batch needs more, its first images are compared.</summary>
    private const long MaximumMultiplyAdds = 500_000_000_000;

    /// <summary>Whether the backend is compared with the CPU backend, which is not compared with itself.</summary>
    public bool ComparesDevice { get; } = backend is not CpuBackend;

    /// <summary>Finds the reason.</summary>
    /// <remarks>
    /// The device is compared with the images of the step at which the divergence was noticed. If the loss is not read after every
    /// step (<see cref="Backend.StepsBetweenReads"/>), it can have begun some steps earlier.
    /// </remarks>
    /// <param name="diverged">What was detected.</param>
    /// <param name="weights">The best weights so far, or the initial ones, which are finite; null if they are not known.</param>
    /// <param name="epoch">The epoch of these weights; 0 for the initial weights.</param>
    /// <returns>The exception, with the reason in its message if one was found.</returns>
    public TrainingDivergedException Explain(TrainingDivergedException diverged, StateDict? weights, int epoch)
    {
        string? device = null;
        bool isWrong = false;
        if (ComparesDevice && weights is not null)
            (device, isWrong) = CompareDevice(diverged, weights, epoch);
        string? outliers = isWrong ? null : FindOutliers();
        if (device is null && outliers is null)
            return diverged;
        string[] sentences = isWrong ? [device!] : [.. new[] { outliers, diverged.Advice, device }.OfType<string>()];
        return new TrainingDivergedException(diverged.Epoch, diverged.Step, diverged.Loss, diverged.LearningRate, string.Join(' ', sentences))
        {
            DeviceComputesWrongNumbers = isWrong,
        };
    }

    private (string? Text, bool IsWrong) CompareDevice(TrainingDivergedException diverged, StateDict weights, int epoch)
    {
        try
        {
            var augmenter = augmenterOf(diverged.Epoch);
            using var loader = BatchLoader.Training(train, augmenter, options.BatchSize, options.Seed, diverged.Epoch);
            var batch = loader.Prepare(Math.Clamp(diverged.Step, 1, loader.Batches) - 1);
            long perImage = BackendComparison.MultiplyAddsOfFindFault(network.Architecture, network.Classes, augmenter.Height, augmenter.Width);
            int count = (int)Math.Min(batch.Count, Math.Max(2, MaximumMultiplyAdds / perImage));
            using var reference = new CpuBackend();
            var (fault, isCompared) = BackendComparison.FindFault(
                backend, reference, network, weights, batch.Images[..(batch.Images.Length / batch.Count * count)], (train.Channels, augmenter.Height, augmenter.Width), batch.Labels[..count].ToArray(), cancellation);
            string data = FormattableString.Invariant($"{(epoch == 0 ? "the initial weights" : $"the best weights so far, of epoch {epoch},")} and the images of the step at which it was noticed");
            if (fault is not { } found)
                return (!isCompared ? null : $"The device is probably not the reason: with {data}, {backend.Description} and the CPU compute the same{(network.Quantized is null ? "" : ", apart from the rounding of quantization-aware training, which was not compared")}.", false);
            return ($"The device computes wrong numbers: with {data}, on {backend.Description}, {found.Describe(reference, backend.Tolerance)}. Do not change the learning rate; check the device, its driver and the version of its library, or train on the CPU.", true);
        }
        catch (OperationCanceledException)
        {
            return (null, false);
        }
        catch (Exception error)
        {
            return ($"Whether {backend.Description} computes correct numbers could not be checked: {error.Message}", false);
        }
    }

    private string? FindOutliers()
    {
        try
        {
            return PixelOutliers.Find(train, cancellation) is { } outliers ? $"{outliers.Describe("training")} Correct or remove them first." : null;
        }
        catch (OperationCanceledException)
        {
            return null;
        }
        catch (Exception error) when (error is not OutOfMemoryException)
        {
            return $"Whether training images have absurd pixels could not be checked: {MessageText.Reason(error)}.";
        }
    }
}
