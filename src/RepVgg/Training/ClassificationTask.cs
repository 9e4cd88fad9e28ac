using System.Text.Json.Nodes;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Teaches a network the labels of images.</summary>
internal sealed class ClassificationTask : TrainingTask
{
    private readonly Backend _backend;
    private readonly TrainingNetwork _network;
    private readonly ISampleSource _train;
    private readonly ISampleSource? _validation;
    private readonly TrainingOptions _options;
    private readonly ImageAugmenter _augmenter;
    private readonly MetricAccumulator _metrics;
    private TeacherTargets? _teacher;
    private (int Height, int Width) _imageSize;

    /// <summary>Creates the task. Network, data and options have been checked.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="network">The network.</param>
    /// <param name="train">The training set.</param>
    /// <param name="validation">The validation set; null for none.</param>
    /// <param name="normalization">Applied to every image before the network.</param>
    /// <param name="options">The options of the run.</param>
    public ClassificationTask(Backend backend, TrainingNetwork network, ISampleSource train, ISampleSource? validation, Normalization normalization, TrainingOptions options)
    {
        (_backend, _network, _train, _validation, Normalization, _options) = (backend, network, train, validation, normalization, options);
        _augmenter = new ImageAugmenter(options.Augmentation, normalization, train.Channels, train.Height, train.Width);
        _metrics = backend.CreateMetricAccumulator();
    }

    /// <inheritdoc/>
    public override int TrainingCount => _train.Count;

    /// <inheritdoc/>
    public override int ValidationCount => _validation?.Count ?? 0;

    /// <inheritdoc/>
    public override (int Height, int Width) ImageSize => (_train.Height, _train.Width);

    /// <inheritdoc/>
    public override Normalization Normalization { get; }

    /// <inheritdoc/>
    public override bool HasTop5Accuracy => _network.Classes > MetricTotals.Top;

    /// <inheritdoc/>
    public override double ShareOfPixels(int epoch)
    {
        var (height, width) = _options.ImageSize(epoch, _train, _network.Architecture);
        return (double)height * width / ((double)_train.Height * _train.Width);
    }

    /// <summary>Creates the loader of an epoch. If its images have another size than those before, creates a teacher of that size and releases the memory for the other one.</summary>
    /// <inheritdoc/>
    public override BatchLoader CreateTrainingLoader(int epoch, int epochOfOptions)
    {
        var augmenter = AugmenterOf(epochOfOptions);
        var size = (augmenter.Height, augmenter.Width);
        if (size != _imageSize)
        {
            _imageSize = size;
            _backend.ReleaseUnusedMemory();
            _teacher?.Dispose();
            _teacher = _options.Distillation is { } distillation ? new TeacherTargets(distillation, Normalization, augmenter.Height, augmenter.Width) : null;
        }
        return BatchLoader.Training(_train, augmenter, _options.BatchSize, _options.Seed, epoch, _backend, TrainingTargets.Of(_options, epochOfOptions, _train, size), _options.BalancedSampling, teacher: _teacher);
    }

    /// <inheritdoc/>
    public override BatchLoader CreateValidationLoader() => BatchLoader.Evaluation(_validation!, _augmenter, _options.BatchSize, _backend);

    /// <inheritdoc/>
    public override Tensor Loss(Tensor logits, IReadOnlyList<Tensor> auxiliary, Batch batch)
    {
        var labeled = (LabeledBatch)batch;
        var targetLoss = TargetLoss(logits, labeled);
        _metrics.Add(targetLoss, logits, labeled.Labels);
        var loss = WithTeacher(logits, targetLoss, labeled);
        foreach (var head in auxiliary)
            loss = _backend.Add(loss, _backend.Scale(WithTeacher(head, TargetLoss(head, labeled), labeled), _options.AuxiliaryLossWeight));
        return loss;
    }

    /// <inheritdoc/>
    public override void Evaluate(Tensor logits, Batch batch)
    {
        var labels = ((LabeledBatch)batch).Labels;
        _metrics.Add(_backend.SoftmaxCrossEntropy(logits, labels, labelSmoothing: 0), logits, labels);
    }

    /// <inheritdoc/>
    public override double ReadMetrics(PassMetrics pass) => pass.Add(_metrics.ReadAndReset());

    /// <inheritdoc/>
    public override JsonObject? Describe(CancellationToken cancellation) => RunFingerprint.Describe(_train, _validation, cancellation);

    /// <inheritdoc/>
    public override DivergenceDiagnosis CreateDiagnosis(CancellationToken cancellation) => new(_backend, _network, _train, AugmenterOf, _options, cancellation);

    /// <inheritdoc/>
    public override void Dispose()
    {
        _teacher?.Dispose();
        _metrics.Dispose();
    }

    private ImageAugmenter AugmenterOf(int epoch)
    {
        var (height, width) = _options.ImageSize(epoch, _train, _network.Architecture);
        return _augmenter.Reduced(height, width);
    }

    private Tensor WithTeacher(Tensor logits, Tensor targetLoss, LabeledBatch batch) => _options.Distillation is { } distillation
        ? distillation.Loss(_backend, logits, targetLoss, batch.TeacherTargets)
        : targetLoss;

    private Tensor TargetLoss(Tensor logits, LabeledBatch batch) => batch.Targets.IsEmpty
        ? _backend.SoftmaxCrossEntropy(logits, batch.Labels, _options.LabelSmoothing)
        : _backend.SoftmaxCrossEntropy(logits, batch.Targets);
}
