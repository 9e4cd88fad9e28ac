using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace RepVgg.Benchmarks;

/// <summary>Epochs of training with the loader that reads and augments the images, alternating with epochs on batches that were prepared before.</summary>
internal static class LoaderBenchmark
{
    private const int Classes = 10;

    /// <summary>Shorter side of whole images, relative to the network's: the working size.</summary>
    private const double WorkingScale = 16.0 / 7;

    public static void Run(CommandLine options)
    {
        var architecture = RepVggVariants.Find(options.Text("network", "A0"));
        int size = options.Number("size", 64), batch = options.Number("batch", 32), images = options.Number("images", 512), rounds = options.Number("rounds", 5), threads = options.Number("threads", Environment.ProcessorCount);
        bool processorTime = options.Text("clock", "wall") == "processor";
        var alternation = new AlternatingRounds(rounds, options.Number("seconds", 2), processorTime);
        int wholeSize = (int)Math.Ceiling(size * WorkingScale);
        (string Name, Augmentation Augmentation, int ImageSize)[] cases =
        [
            ("flips, crops", new Augmentation { HorizontalFlip = true, CropPadding = size / 8 }, size),
            (FormattableString.Invariant($"flips, random resized crops of {wholeSize} x {wholeSize}"), new Augmentation { HorizontalFlip = true, RandomResizedCrop = new RandomResizedCrop() }, wholeSize),
            ("flips, crops, RandAugment, mixup", new Augmentation { HorizontalFlip = true, CropPadding = size / 8, RandAugment = new RandAugment(), Mixing = new Mixing { MixupAlpha = 0.2 } }, size),
        ];
        List<string> lines = ["| augmentation | prepared, images/s | loader, images/s | ratio | smallest | largest | loader alone, us/image |", "|---|---|---|---|---|---|---|"];
        string description = "";
        foreach (var (name, augmentation, imageSize) in cases)
        {
            using var backend = BackendOption.Create(options, architecture, threads);
            using var samples = Samples(images, size, imageSize);
            using var epochs = new Epochs(architecture, backend, samples, new TrainingOptions { BatchSize = batch, LearningRate = 0.01f, Augmentation = augmentation });
            var (loader, prepared) = alternation.Run(epochs.WithLoader, epochs.WithPreparedBatches);
            double[] alone = alternation.Run(epochs.LoaderAlone, null).Ours;
            double[] ratios = [.. prepared.Zip(loader, (before, during) => before / during)];
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"| {name} | {Speed(prepared):F0} | {Speed(loader):F0} | {AlternatingRounds.Median(ratios):F3} | {ratios.Min():F3} | {ratios.Max():F3} | {1e6 / Speed(alone):F0} |"));
            description = backend.Description;
        }
        lines.ForEach(Console.WriteLine);
        Console.WriteLine($"\n{Machine.Description} {description}.{Machine.Load} {Machine.Cores}");
        if (options.Text("write") is not { } path)
            return;
        ResultsFile.Replace(path, "Loader", $"""
            {architecture.Name} at {size}, batches of {batch}: epochs of {images} images with the loader, which reads and augments the images while the network trains, and on batches that were prepared before. Images per second
            {(processorTime ? "of processor time " : "")}by the median of {rounds} rounds in which the sides alternate; median, smallest and largest ratio of a round. The last column is the time of the loader alone. Made by `bench/run loader{(processorTime ? " --clock processor" : "")}` on {Machine.Today}.

            {Machine.Description} {description}.{Machine.Load} {Machine.Cores}

            {string.Join('\n', lines)}
            """);

        double Speed(double[] milliseconds) => 1000 * images / AlternatingRounds.Median(milliseconds);
    }

    /// <summary>Images with smooth areas and noise, at their own size.</summary>
    private static WholeImageCache Samples(int count, int size, int imageSize)
    {
        var random = new Random(1);
        var cache = new WholeImageCache(3, size, size, Classes, (_, _, _, _) => throw new NotSupportedException());
        for (int i = 0; i < count; i++)
        {
            byte[] pixels = new byte[3 * imageSize * imageSize];
            int slope = random.Next(1, 5);
            for (int j = 0; j < pixels.Length; j++)
                pixels[j] = (byte)(j / imageSize * slope + random.Next(32));
            cache.Add(new WholeImage(pixels, imageSize, imageSize), [], i % Classes, i);
        }
        return cache;
    }

    /// <summary>A network that is trained in epochs of both kinds.</summary>
    private sealed class Epochs : IDisposable
    {
        private readonly Backend _backend;
        private readonly TrainingNetwork _network;
        private readonly Optimizer _optimizer;
        private readonly ClassificationTask _task;
        private readonly TrainingStep _step;
        private readonly ISampleSource _samples;
        private readonly TrainingOptions _options;
        private readonly ImageAugmenter _augmenter;
        private readonly List<LabeledBatch> _prepared = [];
        private int _epoch;

        public Epochs(RepVggArchitecture architecture, Backend backend, ISampleSource samples, TrainingOptions options)
        {
            (_backend, _samples, _options) = (backend, samples, options);
            _network = new TrainingNetwork(architecture, Classes, backend, seed: 1);
            _optimizer = backend.CreateOptimizer(_network.ParameterGroups(options.ActualWeightDecay, 1, decayBranchKernels: true), options.Optimizer, null);
            _task = new ClassificationTask(backend, _network, samples, null, Normalization.ImageNet, options);
            _step = new TrainingStep(backend, _network, _optimizer, null, _task, options);
            _augmenter = new ImageAugmenter(options.Augmentation, Normalization.ImageNet, 3, samples.Height, samples.Width);
            using var loader = Loader();
            while (loader.Next() is { } batch)
                _prepared.Add(Copy(batch));
        }

        public void WithLoader()
        {
            using var loader = Loader();
            for (int index = 0; loader.Next() is { } batch; index++)
                Step(batch, index, loader);
        }

        public void LoaderAlone()
        {
            using var loader = Loader();
            while (loader.Next() is not null)
            {
            }
        }

        public void WithPreparedBatches()
        {
            using var loader = Loader();
            for (int index = 0; index < _prepared.Count; index++)
            {
                _prepared[index].Stage(_backend, [3, _augmenter.Height, _augmenter.Width]);
                Step(_prepared[index], index, loader);
            }
        }

        public void Dispose()
        {
            _prepared.ForEach(batch => batch.Staged?.Dispose());
            _task.Dispose();
            _optimizer.Dispose();
            _network.Dispose();
        }

        private BatchLoader<LabeledBatch> Loader()
        {
            _epoch++;
            return BatchLoader.Training(_samples, _augmenter, _options.BatchSize, _options.Seed, _epoch, _backend, TrainingTargets.Of(_options, 1, _samples));
        }

        private void Step(LabeledBatch batch, int index, BatchLoader<LabeledBatch> loader)
        {
            _step.Run(batch, index, loader, index, index, _options.ActualLearningRate);
            _task.ReadMetrics(new PassMetrics());
        }

        private LabeledBatch Copy(LabeledBatch batch)
        {
            var copy = new LabeledBatch(batch.Count, batch.Images.Length / batch.Count) { Count = batch.Count };
            batch.Images.CopyTo(copy.Images);
            batch.Labels.CopyTo(copy.Labels);
            batch.Weights.CopyTo(copy.Weights);
            if (!batch.Targets.IsEmpty)
                batch.Targets.CopyTo(copy.CreateTargets(Classes));
            return copy;
        }
    }
}
