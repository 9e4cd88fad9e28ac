using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace RepVgg.Testing;

/// <summary>A task that a small network learns in a second: which way stripes run, under noise.</summary>
internal static class SyntheticTask
{
    public const int Size = 12, Classes = 4;

    public static RepVggArchitecture Architecture { get; } = new()
    {
        Name = "tiny",
        InputChannels = 1,
        Stages = [new("stage0", 8, 1, 2), new("stage1", 8, 2, 1), new("stage2", 16, 1, 2)],
        DefaultImageSize = Size,
    };

    public static Normalization Normalization { get; } = new([128], [1f / 64]);

    public static TrainingOptions Options { get; } = new()
    {
        Epochs = 4,
        BatchSize = 32,
        LearningRate = 0.1f,
        LearningRateScheduler = new() { WarmUpEpochs = 0.5 },
        Augmentation = new() { CropPadding = 1 },
        LabelSmoothing = 0.05f,
        Seed = 11,
    };

    /// <summary>Stripes in four directions, random phase, noise of a third of their height.</summary>
    /// <param name="count">Images; every class has the same number.</param>
    /// <param name="seed">Seed of phases and noise.</param>
    /// <param name="mislabelled">Gives every image the next class's label: the better a network learns the task, the worse it does here.</param>
    public static InMemorySamples Samples(int count, int seed, bool mislabelled = false)
    {
        var random = new Random(seed);
        var pixels = new byte[count * Size * Size];
        var labels = new int[count];
        for (int n = 0; n < count; n++)
        {
            labels[n] = n % Classes;
            double phase = random.NextDouble() * 2 * Math.PI;
            var (fy, fx) = labels[n] switch { 0 => (1.0, 0.0), 1 => (0.0, 1.0), 2 => (0.7, 0.7), _ => (0.7, -0.7) };
            for (int i = 0; i < Size * Size; i++)
            {
                double wave = Math.Sin(phase + 1.6 * (fy * (i / Size) + fx * (i % Size)));
                pixels[n * Size * Size + i] = (byte)Math.Clamp(128 + 60 * wave + 20 * (random.NextDouble() + random.NextDouble() - 1) * 2, 0, 255);
            }
        }
        if (mislabelled)
            labels = Array.ConvertAll(labels, label => (label + 1) % Classes);
        return new InMemorySamples(pixels, labels, 1, Size, Size, Classes);
    }

    /// <summary>What of a history must be the same whenever and wherever a run is repeated.</summary>
    public static IEnumerable<EpochResult> WithoutTimes(IEnumerable<EpochResult> history) =>
        history.Select(epoch => epoch with { TrainingImages = 0, TrainingTime = TimeSpan.Zero, ValidationTime = TimeSpan.Zero });

    /// <summary>Trains a fresh network.</summary>
    public static TrainingResult Train(
        ISampleSource train, ISampleSource? validation, TrainingOptions options, Action<TrainingProgress>? progress = null,
        CancellationToken cancellation = default, int threads = 2, ulong networkSeed = 3, RepVggArchitecture? architecture = null, RepOptimizerScales? scales = null)
    {
        using var backend = new CpuBackend(threads);
        using var network = new TrainingNetwork(architecture ?? Architecture, Classes, backend, networkSeed, scales: scales);
        return TrainingLoop.Run(backend, network, train, validation, Normalization, options, progress, cancellation);
    }
}
