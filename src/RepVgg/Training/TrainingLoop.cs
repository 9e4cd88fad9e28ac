using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Trains a network, on any backend.</summary>
internal static class TrainingLoop
{
    /// <summary>Trains a network and copies the best weights to it.</summary>
    /// <remarks>
    /// On the CPU backend the result depends on the data, the options and the network's initial weights alone: it does
    /// not depend on the number of threads or on whether the run was interrupted and resumed from its checkpoint. The
    /// times in the history are measured and differ between runs.
    /// </remarks>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="network">The network. Training starts from its current weights, unless a checkpoint is resumed.</param>
    /// <param name="train">The training set.</param>
    /// <param name="validation">The validation set; null for none. The whole set is evaluated after every epoch, in evaluation mode.</param>
    /// <param name="normalization">Applied to every image before the network.</param>
    /// <param name="options">The training options.</param>
    /// <param name="progress">Called after every batch, on the calling thread; may be null.</param>
    /// <param name="cancellationToken">Checked before every batch. Cancellation does not throw: <see cref="TrainingResult.StopReason"/> reports it, and the result has the best weights so far.</param>
    /// <returns>The best weights, the history, and how the run ended.</returns>
    /// <exception cref="ArgumentException">The options or the data are invalid; the message states which value and why.</exception>
    /// <exception cref="TrainingDivergedException">Training diverged: the loss or a weight is not finite, or the loss is far too large. See also <see cref="TrainingOptions.ReturnBestOnDivergence"/>.</exception>
    /// <exception cref="InvalidOperationException">The checkpoint belongs to another run.</exception>
    /// <exception cref="InvalidDataException">The checkpoint is damaged.</exception>
    /// <exception cref="IOException">The checkpoint cannot be written.</exception>
    public static TrainingResult Run(
        Backend backend,
        TrainingNetwork network,
        ISampleSource train,
        ISampleSource? validation,
        Normalization normalization,
        TrainingOptions options,
        Action<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default) =>
        Run(backend, network, train, validation, normalization, options, progress, TimeProvider.System, cancellationToken);

    /// <summary>Trains a network; times are measured with the given clock.</summary>
    internal static TrainingResult Run(
        Backend backend,
        TrainingNetwork network,
        ISampleSource train,
        ISampleSource? validation,
        Normalization normalization,
        TrainingOptions options,
        Action<TrainingProgress>? progress,
        TimeProvider clock,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(backend);
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(train);
        ArgumentNullException.ThrowIfNull(normalization);
        ArgumentNullException.ThrowIfNull(options);
        CheckInputs(network, train, validation, normalization, options);
        options = Prepare(options, network.Architecture);
        using var task = new ClassificationTask(backend, network, train, validation, normalization, options);
        using var run = new TrainingRun(backend, network, task, options, progress, clock, cancellationToken);
        return run.Execute();
    }

    /// <summary>Trains a network for segmentation and copies the best weights to it. See the remarks of the method for classification.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="network">The network. Training starts from its current weights, unless a checkpoint is resumed.</param>
    /// <param name="train">The training set.</param>
    /// <param name="validation">The validation set; null for none. An image of another size than the network's input is cut or gets a border.</param>
    /// <param name="normalization">Applied to every image before the network.</param>
    /// <param name="options">The training options, with <see cref="TrainingOptions.SegmentationAugmentation"/>.</param>
    /// <param name="progress">Called after every batch, on the calling thread; may be null.</param>
    /// <param name="cancellationToken">Checked before every batch. Cancellation does not throw.</param>
    /// <returns>The best weights, the history, and how the run ended.</returns>
    /// <exception cref="ArgumentException">The options or the data are invalid; the message states which value and why.</exception>
    /// <exception cref="TrainingDivergedException">Training diverged.</exception>
    public static TrainingResult Run(
        Backend backend, TrainingNetwork network, MaskedSamples train, MaskedSamples? validation, Normalization normalization, TrainingOptions options,
        Action<TrainingProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        options = Prepare(options, network.Architecture);
        using var task = new SegmentationTask(backend, network, train, validation, normalization, options);
        using var run = new TrainingRun(backend, network, task, options, progress, TimeProvider.System, cancellationToken);
        return run.Execute();
    }

    /// <summary>Trains one step at each of some learning rates, which rise exponentially, until the loss diverges. The weights of the network cannot be used afterwards.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="network">The network. Training starts from its current weights.</param>
    /// <param name="train">The training set.</param>
    /// <param name="normalization">Applied to every image before the network.</param>
    /// <param name="options">The training options, whose learning rate and schedule, average of weights, progressive resizing and checkpoint are not used.</param>
    /// <param name="search">The learning rates.</param>
    /// <param name="progress">Called after every step, on the calling thread; may be null.</param>
    /// <param name="cancellationToken">Checked before every batch.</param>
    /// <returns>The losses; null if the call was cancelled.</returns>
    /// <exception cref="ArgumentException">The options or the data are invalid; the message states which value and why.</exception>
    public static LearningRateCurve? FindLearningRate(
        Backend backend, TrainingNetwork network, ISampleSource train, Normalization normalization, TrainingOptions options,
        (double First, double Last, int Steps) search, Action<TrainingProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        options = options with { EmaDecay = 0, CheckpointPath = null, ProgressiveResizing = null };
        CheckInputs(network, train, null, normalization, options);
        options = Prepare(options, network.Architecture);
        using var task = new ClassificationTask(backend, network, train, null, normalization, options);
        using var run = new TrainingRun(backend, network, task, options, null, TimeProvider.System, cancellationToken);
        return run.FindLearningRate(search.First, search.Last, search.Steps, progress);
    }

    /// <summary>Computes the logits of images in evaluation mode, without augmentation.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="network">The network.</param>
    /// <param name="images">The images.</param>
    /// <param name="normalization">Applied to every image before the network.</param>
    /// <param name="batchSize">Number of images that are computed at a time.</param>
    /// <param name="cancellationToken">Checked before every batch.</param>
    /// <returns>The logits of each image, in the order of the source; null if the call was cancelled.</returns>
    public static float[][]? Evaluate(Backend backend, TrainingNetwork network, ISampleSource images, Normalization normalization, int batchSize, CancellationToken cancellationToken = default)
    {
        var augmenter = new ImageAugmenter(Augmentation.None, normalization, images.Channels, images.Height, images.Width);
        using var loader = BatchLoader.Evaluation(images, augmenter, batchSize, backend);
        var rows = new List<float[]>(images.Count);
        for (int step = 0; step < loader.Batches; step++)
        {
            if (loader.Next(cancellationToken) is not { } batch)
                return null;
            using var scope = backend.BeginStep(training: false);
            float[] logits = new float[batch.Count * network.Classes];
            backend.CopyOut(network.Forward(backend.CreateInput(batch.Staged!)), logits);
            rows.AddRange(logits.Chunk(network.Classes));
        }
        return [.. rows];
    }

    /// <summary>Checks the network, the data and the options before a run starts.</summary>
    private static void CheckInputs(TrainingNetwork network, ISampleSource train, ISampleSource? validation, Normalization normalization, TrainingOptions options)
    {
        options.Validate(train.Height, train.Width);
        CheckImages(network, train, "training");
        options.Augmentation.CheckChannels(train.Channels);
        network.Architecture.ValidateImageSize(train.Height, train.Width);
        if (normalization.Mean.Length != train.Channels || normalization.Scale.Length != train.Channels)
            throw new ArgumentException($"The normalisation has {normalization.Mean.Length} means and {normalization.Scale.Length} scales; the images have {train.Channels} channels.", nameof(normalization));
        if (network.Quantized is not null && options.FrozenStatisticsEpochs == options.Epochs && !network.HasRanges)
            throw new ArgumentException($"FrozenStatisticsEpochs is {options.FrozenStatisticsEpochs}, the number of all epochs, but quantization-aware training has to measure the ranges of the activations first. Make it smaller.", nameof(options));
        if (network.Quantized is not null && options.StochasticDepth > 0)
            throw new ArgumentException(FormattableString.Invariant($"StochasticDepth is {options.StochasticDepth}, but quantization-aware training rounds the kernel of all branches of a block together, which is not defined for an image whose convolutions are dropped. Set it to 0."), nameof(options));
        options.CheckAccumulation(train.Count);
        options.CheckClassificationMetrics();
        CheckLabels(train, options.MinimumSamplesPerClass);
        if (options.Augmentation.RandomResizedCrop is null)
            SampleShape.CheckSizes(train, "training");
        if (options.ClassWeights is { } weights)
            ClassWeights.Check(weights, train.Classes);
        options.Distillation?.Validate(train.Channels, train.Height, train.Width, train.Classes);
        if (options.ProgressiveResizing is { } resizing)
        {
            resizing.CheckSize(train.Height, train.Width, network.Architecture.TotalStride);
            var (height, width) = options.ImageSize(epoch: 1, train, network.Architecture);
            options.Distillation?.Validate(train.Channels, height, width, train.Classes);
        }

        if (validation is null)
            return;
        CheckImages(network, validation, "validation");
        SampleShape.CheckSizes(validation, "validation");
        if ((validation.Height, validation.Width) != (train.Height, train.Width))
            throw new ArgumentException($"The validation images are {validation.Width}x{validation.Height} pixels, the training images {train.Width}x{train.Height}.", nameof(validation));
    }

    /// <summary>Checks that the options have a meaning for an architecture, and reads the file of scales if RepOptimizer has one.</summary>
    /// <param name="options">The options.</param>
    /// <param name="architecture">The architecture.</param>
    /// <returns>The options, with the scales that were read.</returns>
    /// <exception cref="ArgumentException">An option does not suit the training form, or scales are those of another network.</exception>
    /// <exception cref="InvalidDataException">The file of scales cannot be used.</exception>
    /// <exception cref="IOException">The file of scales cannot be read.</exception>
    public static TrainingOptions Prepare(TrainingOptions options, RepVggArchitecture architecture)
    {
        var form = architecture.TrainingForm;
        if (options.CustomL2 && !TrainingForms.HasCustomL2(form))
            throw new ArgumentException($"CustomL2 is true, but the custom L2 penalty is defined for the 3x3 and the 1x1 branch of a RepVGG block, not for the training form {form}. Leave it out, so that ordinary weight decay applies.", nameof(options));
        if (options.CustomL2 && architecture.Blocks.Any(block => !block.Geometry.IsCentred))
            throw new ArgumentException("CustomL2 is true, but the custom L2 penalty is defined for 3x3 and 1x1 kernels that are centred on the same pixel; those of strided blocks of this network are not, because it is padded as TensorFlow pads images of even size. Leave it out, so that ordinary weight decay applies.", nameof(options));
        if (options.StochasticDepth > 0 && !TrainingForms.HasIdentityBranch(form))
            throw new ArgumentException(FormattableString.Invariant($"StochasticDepth is {options.StochasticDepth}, but the training form {form} has no identity branch that is computed by itself, to which it applies. Set it to 0."), nameof(options));
        return options.Optimizer is RepOptimizerOptions repOptimizer ? options with { Optimizer = repOptimizer.For(architecture) } : options;
    }

    private static void CheckImages(TrainingNetwork network, ISampleSource source, string name)
    {
        if (source.Count == 0)
            throw new ArgumentException($"The {name} set is empty.");
        if (source.Channels != network.Architecture.InputChannels)
            throw new ArgumentException($"The {name} images have {source.Channels} channel(s), but {network.Architecture.Name} reads {network.Architecture.InputChannels}.");
        if (source.Classes != network.Classes)
            throw new ArgumentException($"The {name} set has {source.Classes} classes, but the network has {network.Classes}.");
    }

    /// <summary>Counts the samples of each class.</summary>
    public static int[] CountLabels(ISampleSource samples)
    {
        var counts = new int[samples.Classes];
        for (int i = 0; i < samples.Count; i++)
            counts[samples.LabelOf(i)]++;
        return counts;
    }

    private static void CheckLabels(ISampleSource train, int minimum)
    {
        int[] counts = CountLabels(train);
        int present = counts.Count(count => count > 0);
        if (present < 2)
            throw new ArgumentException($"All {train.Count} training samples have label {Array.FindIndex(counts, count => count > 0)}; a classifier needs at least two classes.", nameof(train));
        int[] scarce = [.. Enumerable.Range(0, counts.Length).Where(label => counts[label] < minimum)];
        if (scarce.Length > 0)
        {
            string list = string.Join(", ", scarce.Take(10).Select(label => $"{label} ({counts[label]})")) + (scarce.Length > 10 ? ", ..." : "");
            throw new ArgumentException($"Classes with fewer training samples than {nameof(TrainingOptions.MinimumSamplesPerClass)} = {minimum}: {list}. Add samples, drop those classes, or lower the option.", nameof(train));
        }
    }
}
