using System.Text.Json.Serialization;
using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Options of a training run. The defaults are suitable for training on small images from random weights.</summary>
/// <remarks>All options except those with <see cref="JsonIgnoreAttribute"/> must be the same to resume a run; see <see cref="RunFingerprint"/>.</remarks>
internal sealed record TrainingOptions
{
    /// <summary>Passes over the training set, at least 1.</summary>
    public int Epochs { get; init; } = 30;

    /// <summary>
    /// Images per step, at least 2. If the number of images is not a multiple of the batch size, the sizes of the batches
    /// of an epoch differ by at most one image.
    /// </summary>
    public int BatchSize { get; init; } = 64;

    /// <summary>
    /// Number of consecutive batches whose gradients make one optimizer step, from 1 to the batches of an epoch. If it does not divide the number of batches of an epoch, the last
    /// step of the epoch has fewer batches.
    /// </summary>
    /// <remarks>
    /// The gradient of a step is that of the weighted mean of the losses of all its images, as of one large batch. Batch norms use the statistics of each batch, and update their
    /// running statistics with each batch. Schedules, the moving average and the number of steps of an optimizer count optimizer steps.
    /// </remarks>
    public int GradientAccumulationSteps { get; init; } = 1;

    /// <summary>The algorithm that updates the weights.</summary>
    public OptimizerOptions Optimizer { get; init; } = new SgdOptions();

    /// <summary>Peak learning rate, more than 0; null for the optimizer's usual one: 0.1 for SGD, 0.001 for AdamW.</summary>
    public float? LearningRate { get; init; }

    /// <summary>
    /// Number of images per optimizer step to which <see cref="LearningRate"/> belongs, at least 1: it is multiplied by <see cref="BatchSize"/> * <see cref="GradientAccumulationSteps"/> / LearningRateBaseSize.
    /// Null for no scaling.
    /// </summary>
    /// <remarks>Source: Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.1, the linear scaling rule. The RepVGG paper has 0.1 for 256 images.</remarks>
    public int? LearningRateBaseSize { get; init; }

    /// <summary>The peak learning rate of the run.</summary>
    internal float ActualLearningRate
    {
        get
        {
            float rate = LearningRate ?? Optimizer.DefaultLearningRate;
            return LearningRateBaseSize is { } size ? (float)((double)rate * BatchSize * GradientAccumulationSteps / size) : rate;
        }
    }

    /// <summary>
    /// Factor of the learning rate from each block to the one before it, more than 0 and at most 1: of L blocks, block i (from 0, the stem) has LayerLearningRateDecay^(L - i)
    /// times the learning rate. The classifier and the auxiliary heads have the factor 1. 0.75 is typical for fine-tuning.
    /// </summary>
    /// <remarks>Source: Clark et al., "ELECTRA", ICLR 2020; <c>--layer-decay</c> of timm numbers the layers in the same way. Frozen blocks count.</remarks>
    public float LayerLearningRateDecay { get; init; } = 1;

    /// <summary>Learning rate schedule.</summary>
    public LearningRateScheduler LearningRateScheduler { get; init; } = new();

    /// <summary>
    /// Weight decay of the kernels of convolutions and of the linear layer, of the weights of the identity branches' batch norms, and of the
    /// scales of the identity branches of Csla and HyperSearch, at least 0; null for the optimizer's usual one: 1e-4 for SGD, 0.01 for AdamW.
    /// </summary>
    /// <remarks>The rule of the RepVGG authors: weight decay is not applied to biases or to the other batch norms.</remarks>
    public float? WeightDecay { get; init; }

    /// <summary>The weight decay of the run.</summary>
    internal float ActualWeightDecay => WeightDecay ?? Optimizer.DefaultWeightDecay;

    /// <summary>
    /// Maximum L2 norm of the gradients of all trained weights together, more than 0; null for none. Larger gradients are scaled to this
    /// norm, as torch.nn.utils.clip_grad_norm_ does it.
    /// </summary>
    public float? GradientClipNorm { get; init; }

    /// <summary>Label smoothing: share of the target probability that is distributed evenly over all classes, 0 or more and less than 1.</summary>
    public float LabelSmoothing { get; init; }

    /// <summary>Weight of each class in the training loss, more than 0; null if all weights are 1. They are multiplied by the weights of the images.</summary>
    public IReadOnlyList<float>? ClassWeights { get; init; }

    /// <summary>
    /// Whether an epoch takes about the same number of images of every class, instead of every image once. Images of small classes then occur several times
    /// in an epoch, and some images of large classes not at all.
    /// </summary>
    public bool BalancedSampling { get; init; }

    /// <summary>A teacher from which the network learns, too; null for none. Reported losses are those of the targets alone.</summary>
    public Distillation? Distillation { get; init; }

    /// <summary>
    /// Whether the kernels of the blocks are regularized by the RepVGG authors' custom L2 penalty on the equivalent kernels
    /// instead of ordinary weight decay. The factor is <see cref="WeightDecay"/>. It may improve accuracy and quantization.
    /// The penalty is part of the gradients, also for AdamW and in <see cref="GradientClipNorm"/>.
    /// </summary>
    /// <remarks>WeightDecay / 2 times <see cref="Networks.TrainingNetwork.CustomL2"/> is added to the loss for the backward pass. Reported losses do not include it.</remarks>
    public bool CustomL2 { get; init; }

    /// <summary>Share of the pooled features that is dropped (set to zero) before the classifier in training, 0 or more and less than 1.</summary>
    public float Dropout { get; init; }

    /// <summary>
    /// Stochastic depth (DropPath), which must be 0 in quantization-aware training: share of the images for which the convolutions of a block with an identity branch are
    /// dropped in training, 0 or more and less than 1. The share rises linearly from 0 for the first block to this value for the last.
    /// </summary>
    public float StochasticDepth { get; init; }

    /// <summary>
    /// Multiplies the learning rate of the layers that compute logits: the classifier and the last layers of the auxiliary
    /// heads; at least 0. A typical value for fine-tuning is 10.
    /// </summary>
    public float HeadLearningRateScale { get; init; } = 1;

    /// <summary>Weight of the loss of each auxiliary head, of RepVGGplus and of networks for segmentation; at least 0. The paper of PSPNet has 0.4.</summary>
    public float AuxiliaryLossWeight { get; init; } = 0.1f;

    /// <summary>Decay of the exponential moving average of the weights per step, 0 or more and less than 1, such as 0.999; 0 disables averaging.</summary>
    /// <remarks>If averaging is enabled, the averaged weights are validated and returned. At step t (from 0) the decay is at most (1 + t) / (10 + t).</remarks>
    public float EmaDecay { get; init; }

    /// <summary>
    /// Number of epochs whose weights and running statistics are averaged at the end of the run, 0 or more: the best ones by <see cref="MonitoredMetric"/>, or without a validation set the last ones. The average
    /// is validated, and returned if its metric is not worse than that of the best epoch. 0 and 1 disable it.
    /// </summary>
    /// <remarks>
    /// Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018; the choice of the epochs is that of timm's avg_checkpoints. With
    /// <see cref="EmaDecay"/>, the weights of an epoch are those of the moving average. A run that is cancelled or diverges returns the weights of the best epoch.
    /// </remarks>
    public int AveragedCheckpoints { get; init; }

    /// <summary>
    /// Number of epochs at the end of the run, from 0 to <see cref="Epochs"/>, in which batch norms use their running statistics without updating them, and the ranges of quantized activations
    /// are fixed, so that the network is trained exactly as it will be run. Less than <see cref="Epochs"/> if the ranges have not been measured before.
    /// </summary>
    /// <remarks>For quantization-aware training. Source: Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018, section 3.2.3.</remarks>
    public int FrozenStatisticsEpochs { get; init; }

    /// <summary>Random augmentation of the training images.</summary>
    public Augmentation Augmentation { get; init; } = Augmentation.None;

    /// <summary>Random augmentation of training images and their masks, for segmentation; null for classification.</summary>
    public SegmentationAugmentation? SegmentationAugmentation { get; init; }

    /// <summary>Smaller training images in the first epochs; null for the full size in every epoch.</summary>
    public ProgressiveResizing? ProgressiveResizing { get; init; }

    /// <summary>Early stopping; null disables it.</summary>
    public EarlyStoppingCriteria? EarlyStoppingCriteria { get; init; }

    /// <summary>The metric by which the best weights are selected on the validation set. Not used without a validation set.</summary>
    public TrainingMetric MonitoredMetric { get; init; } = TrainingMetric.Accuracy;

    /// <summary>Minimum number of training samples of every class; 0 allows classes without samples.</summary>
    [JsonIgnore]
    public int MinimumSamplesPerClass { get; init; } = 1;

    /// <summary>Seed of shuffling, augmentation, dropout and stochastic depth.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>
    /// Whether a run that diverges returns the best weights so far, as a cancelled run does, instead of throwing
    /// <see cref="TrainingDivergedException"/>. It throws in any case if no epoch has finished.
    /// </summary>
    [JsonIgnore]
    public bool ReturnBestOnDivergence { get; init; }

    /// <summary>
    /// Path of the checkpoint file, which is written after every epoch; null for none. If the file exists, a run with the
    /// same data and options resumes from it. A finished run returns its result from the file without further training.
    /// </summary>
    [JsonIgnore]
    public string? CheckpointPath { get; init; }

    /// <summary>Gets the size of the training images of an epoch.</summary>
    /// <param name="epoch">The epoch, from 1.</param>
    /// <param name="train">The training set.</param>
    /// <param name="architecture">The architecture of the network.</param>
    /// <returns>Height and width in pixels.</returns>
    public (int Height, int Width) ImageSize(int epoch, ISampleSource train, RepVggArchitecture architecture) =>
        ProgressiveResizing?.SizeOf(epoch, Epochs, train.Height, train.Width, architecture.TotalStride) ?? (train.Height, train.Width);

    /// <summary>Checks every value.</summary>
    /// <param name="height">Image height in pixels.</param>
    /// <param name="width">Image width in pixels.</param>
    /// <exception cref="ArgumentException">A value is out of range; the message states the option and its range.</exception>
    public void Validate(int height, int width)
    {
        Require(Epochs >= 1, nameof(Epochs), Epochs, "1 or more");
        Require(BatchSize >= 2, nameof(BatchSize), BatchSize, "2 or more (batch normalisation needs more than one image)");
        Require(GradientAccumulationSteps >= 1, nameof(GradientAccumulationSteps), GradientAccumulationSteps, "1 or more");
        Require(LearningRateBaseSize is null or >= 1, nameof(LearningRateBaseSize), LearningRateBaseSize, "1 or more, or null for none");
        Require(LayerLearningRateDecay is > 0 and <= 1, nameof(LayerLearningRateDecay), LayerLearningRateDecay, "more than 0 and at most 1");
        Require(Optimizer is not null, nameof(Optimizer), null, "given");
        Optimizer!.Validate();
        if (Optimizer is RepOptimizerOptions && GradientClipNorm is not null)
            throw new ArgumentException(FormattableString.Invariant($"GradientClipNorm is {GradientClipNorm}, but RepOptimizer cannot be used with it: the norm of the gradients of plain kernels differs from that of the branches whose training RepOptimizer reproduces. Leave GradientClipNorm out; it belongs to the search for the scales."), nameof(GradientClipNorm));
        Require(LearningRate is null || (LearningRate > 0 && float.IsFinite(LearningRate.Value)), nameof(LearningRate), LearningRate, "more than 0");
        if (!(ActualLearningRate > 0 && float.IsFinite(ActualLearningRate)))
            throw new ArgumentException(FormattableString.Invariant($"LearningRate {LearningRate ?? Optimizer.DefaultLearningRate}, scaled from {LearningRateBaseSize} to {(long)BatchSize * GradientAccumulationSteps} images per step, is {ActualLearningRate}; it must be more than 0 and finite. Change LearningRateBaseSize."), nameof(LearningRateBaseSize));
        Require(ActualWeightDecay >= 0 && float.IsFinite(ActualWeightDecay), nameof(WeightDecay), WeightDecay, "0 or more");
        Require(GradientClipNorm is null || (GradientClipNorm > 0 && float.IsFinite(GradientClipNorm.Value)), nameof(GradientClipNorm), GradientClipNorm, "more than 0, or null for none");
        Require(LabelSmoothing is >= 0 and < 1, nameof(LabelSmoothing), LabelSmoothing, "0 or more and less than 1");
        Require(Dropout is >= 0 and < 1, nameof(Dropout), Dropout, "0 or more and less than 1");
        Require(StochasticDepth is >= 0 and < 1, nameof(StochasticDepth), StochasticDepth, "0 or more and less than 1");
        Require(HeadLearningRateScale >= 0 && float.IsFinite(HeadLearningRateScale), nameof(HeadLearningRateScale), HeadLearningRateScale, "0 or more");
        Require(AuxiliaryLossWeight >= 0 && float.IsFinite(AuxiliaryLossWeight), nameof(AuxiliaryLossWeight), AuxiliaryLossWeight, "0 or more");
        Require(EmaDecay is >= 0 and < 1, nameof(EmaDecay), EmaDecay, "0 or more and less than 1");
        Require(AveragedCheckpoints >= 0, nameof(AveragedCheckpoints), AveragedCheckpoints, "0 or more");
        Require(FrozenStatisticsEpochs >= 0 && FrozenStatisticsEpochs <= Epochs, nameof(FrozenStatisticsEpochs), FrozenStatisticsEpochs, $"from 0 to {Epochs}, the number of epochs");
        Require(Enum.IsDefined(MonitoredMetric), nameof(MonitoredMetric), MonitoredMetric, "Accuracy, Loss or MeanIoU");
        Require(MinimumSamplesPerClass >= 0, nameof(MinimumSamplesPerClass), MinimumSamplesPerClass, "0 or more");
        Require(CheckpointPath is null || CheckpointPath.Trim().Length > 0, nameof(CheckpointPath), CheckpointPath, "a path, or null");
        Require(LearningRateScheduler is not null, nameof(LearningRateScheduler), null, "given");
        Require(Augmentation is not null, nameof(Augmentation), null, "given (Augmentation.None for none)");
        LearningRateScheduler!.Validate();
        Augmentation!.Validate(height, width);
        SegmentationAugmentation?.Validate();
        ProgressiveResizing?.Validate();
        EarlyStoppingCriteria?.Validate();
    }

    /// <summary>Checks that an epoch has enough batches for an optimizer step.</summary>
    /// <exception cref="ArgumentException">It does not.</exception>
    internal void CheckAccumulation(int images)
    {
        int batches = BatchLoader.TrainingBatches(images, BatchSize);
        if (GradientAccumulationSteps > batches)
            throw new ArgumentException($"GradientAccumulationSteps is {GradientAccumulationSteps}, but an epoch has {batches} batch{(batches == 1 ? "" : "es")}: {images} images, {BatchSize} per batch. Set it to {batches} or less, or make BatchSize smaller.", nameof(GradientAccumulationSteps));
    }

    /// <summary>Checks that the metrics by which epochs are compared are measured for classification.</summary>
    /// <exception cref="ArgumentException">One is not.</exception>
    internal void CheckClassificationMetrics()
    {
        Require(MonitoredMetric != TrainingMetric.MeanIoU, nameof(MonitoredMetric), MonitoredMetric, "Accuracy or Loss for classification");
        if (EarlyStoppingCriteria is { Metric: var metric })
            Require(metric != TrainingMetric.MeanIoU, "EarlyStoppingCriteria.Metric", metric, "Accuracy or Loss for classification");
    }

    internal static void Require(bool condition, string name, object? value, string range)
    {
        if (!condition)
            throw new ArgumentException(FormattableString.Invariant($"{name} is {value ?? "null"}; it must be {range}."), name);
    }
}
