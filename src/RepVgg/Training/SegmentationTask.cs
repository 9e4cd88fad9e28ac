using System.Text.Json.Nodes;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Teaches a network the label of every pixel of images.</summary>
/// <remarks>Source of the loss: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, section 3.3.</remarks>
internal sealed class SegmentationTask : TrainingTask
{
    private readonly Backend _backend;
    private readonly MaskedSamples _train;
    private readonly MaskedSamples? _validation;
    private readonly TrainingOptions _options;
    private readonly MaskedImageAugmenter _augmenter;
    private readonly ConfusionAccumulator _metrics;
    private readonly float[] _classWeights;

    /// <summary>Creates the task.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="network">The network, for segmentation.</param>
    /// <param name="train">The training set.</param>
    /// <param name="validation">The validation set; null for none.</param>
    /// <param name="normalization">Applied to every image before the network.</param>
    /// <param name="options">The options of the run.</param>
    /// <exception cref="ArgumentException">The options or the data are invalid; the message states which value and why.</exception>
    public SegmentationTask(Backend backend, TrainingNetwork network, MaskedSamples train, MaskedSamples? validation, Normalization normalization, TrainingOptions options)
    {
        Check(network, train, validation, normalization, options);
        (_backend, _train, _validation, Normalization, _options) = (backend, train, validation, normalization, options);
        _augmenter = new MaskedImageAugmenter(options.SegmentationAugmentation!, normalization, train.Images.Height, train.Images.Width, train.Ignored);
        _classWeights = [.. options.ClassWeights ?? []];
        _metrics = backend.CreateConfusionAccumulator(train.Classes, train.Ignored);
    }

    /// <inheritdoc/>
    public override int TrainingCount => _train.Count;

    /// <inheritdoc/>
    public override int ValidationCount => _validation?.Count ?? 0;

    /// <inheritdoc/>
    public override (int Height, int Width) ImageSize => (_train.Images.Height, _train.Images.Width);

    /// <inheritdoc/>
    public override Normalization Normalization { get; }

    /// <inheritdoc/>
    public override BatchLoader CreateTrainingLoader(int epoch, int epochOfOptions)
    {
        int[] order = [.. Enumerable.Range(0, _train.Count)];
        new RandomStream(_options.Seed, RandomStream.Purpose.Shuffle, (ulong)epoch).Shuffle(order);
        return new BatchLoader<MaskedBatch>(new MaskedSource(_train, _augmenter), order, BatchLoader.TrainingBatches(_train.Count, _options.BatchSize), _options.Seed, epoch, _backend);
    }

    /// <inheritdoc/>
    public override BatchLoader CreateValidationLoader() =>
        new BatchLoader<MaskedBatch>(new MaskedSource(_validation!, _augmenter), null, (_validation!.Count + _options.BatchSize - 1) / _options.BatchSize, 0, 0, _backend);

    /// <inheritdoc/>
    public override Tensor Loss(Tensor logits, IReadOnlyList<Tensor> auxiliary, Batch batch)
    {
        var masks = ((MaskedBatch)batch).Masks;
        var loss = _backend.PixelCrossEntropy(logits, masks, _train.Ignored, _classWeights);
        _metrics.Add(loss, logits, masks);
        foreach (var head in auxiliary)
            loss = _backend.Add(loss, _backend.Scale(_backend.PixelCrossEntropy(head, masks, _train.Ignored, _classWeights), _options.AuxiliaryLossWeight));
        return loss;
    }

    /// <inheritdoc/>
    public override void Evaluate(Tensor logits, Batch batch)
    {
        var masks = ((MaskedBatch)batch).Masks;
        _metrics.Add(_backend.PixelCrossEntropy(logits, masks, _train.Ignored), logits, masks);
    }

    /// <inheritdoc/>
    public override double ReadMetrics(PassMetrics pass) => pass.Add(_metrics.ReadAndReset());

    /// <inheritdoc/>
    public override JsonObject? Describe(CancellationToken cancellation)
    {
        var data = RunFingerprint.Describe(_train.Images, _validation?.Images, cancellation);
        if (data is null || RunFingerprint.Describe(_train.Masks, _validation?.Masks, cancellation) is not { } masks)
            return null;
        data["Masks"] = masks;
        data["Ignored label"] = _train.Ignored;
        return data;
    }

    /// <inheritdoc/>
    public override void Dispose() => _metrics.Dispose();

    private static void Check(TrainingNetwork network, MaskedSamples train, MaskedSamples? validation, Normalization normalization, TrainingOptions options)
    {
        var (height, width) = (train.Images.Height, train.Images.Width);
        options.Validate(height, width);
        if (network.Segmentation is not { } architecture)
            throw new ArgumentException("The network has no head for segmentation.", nameof(network));
        architecture.ValidateImageSize(height, width);
        if (options.SegmentationAugmentation is null)
            throw new ArgumentException("SegmentationAugmentation is null; SegmentationAugmentation.None stands for none.", nameof(options));
        foreach (var (name, isUsed) in (ReadOnlySpan<(string, bool)>)
        [
            (nameof(options.Augmentation), options.Augmentation != Augmentation.None), (nameof(options.LabelSmoothing), options.LabelSmoothing > 0), (nameof(options.BalancedSampling), options.BalancedSampling),
            (nameof(options.Distillation), options.Distillation is not null), (nameof(options.ProgressiveResizing), options.ProgressiveResizing is not null),
        ])
        {
            if (isUsed)
                throw new ArgumentException($"{name} is for classification and cannot be used for segmentation. Leave it out.", nameof(options));
        }
        CheckSet(train, "training");
        options.CheckAccumulation(train.Count);
        if (normalization.Problem(train.Images.Channels) is { } problem)
            throw new ArgumentException($"The normalization cannot be used: {problem}.", nameof(normalization));
        if (train.Count < 2)
            throw new ArgumentException($"The training set has {train.Count} image; batch normalization needs at least two.", nameof(train));
        if (options.ClassWeights is { } weights)
            ClassWeights.Check(weights, train.Classes);
        if (validation is null)
            return;
        CheckSet(validation, "validation");
        if ((validation.Images.Height, validation.Images.Width, validation.Ignored) != (height, width, train.Ignored))
            throw new ArgumentException("The validation set has another image size or another ignored label than the training set.", nameof(validation));

        void CheckSet(MaskedSamples set, string name)
        {
            if (set.Count == 0)
                throw new ArgumentException($"The {name} set is empty.");
            if (!set.HasLabels())
                throw new ArgumentException($"No pixel of the masks of the {name} set has a label: all have the ignored label {set.Ignored}.");
            if (set.Images.Channels != architecture.Backbone.InputChannels)
                throw new ArgumentException($"The {name} images have {set.Images.Channels} channel(s), but {architecture.Backbone.Name} reads {architecture.Backbone.InputChannels}.");
            if (set.Classes != architecture.Classes)
                throw new ArgumentException($"The {name} set has {set.Classes} classes, but the network has {architecture.Classes}.");
        }
    }
}
