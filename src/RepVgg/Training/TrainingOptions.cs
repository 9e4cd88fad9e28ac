namespace RepVgg.Training;

/// <summary>How a network is trained. The defaults are a sound recipe for small images from scratch.</summary>
public sealed record TrainingOptions
{
    /// <summary>Passes over the training set, at least 1.</summary>
    public int Epochs { get; init; } = 30;

    /// <summary>Images of one step, at least 2. Where the set does not divide evenly, the batches of an epoch differ by one image at most.</summary>
    public int BatchSize { get; init; } = 64;

    /// <summary>Peak learning rate, more than 0.</summary>
    public float LearningRate { get; init; } = 0.1f;

    /// <summary>How the learning rate moves.</summary>
    public LearningRateSchedule Schedule { get; init; } = new();

    /// <summary>L2 factor on the kernels of convolutions and of the linear layer, and on the weights of the identity branches' batch norms; at least 0.</summary>
    /// <remarks>The RepVGG authors' rule: no decay on biases nor on the other batch norms.</remarks>
    public float WeightDecay { get; init; } = 1e-4f;

    /// <summary>Momentum of the gradient descent, 0 .. less than 1.</summary>
    public float Momentum { get; init; } = 0.9f;

    /// <summary>Nesterov's form of the momentum, as PyTorch has it.</summary>
    public bool Nesterov { get; init; }

    /// <summary>Share of the target that is spread over all classes, 0 .. less than 1.</summary>
    public float LabelSmoothing { get; init; }

    /// <summary>
    /// Decays the kernels of the blocks by the RepVGG authors' own L2 on the equivalent kernels, with the factor
    /// <see cref="WeightDecay"/>, in place of the ordinary L2; it may help accuracy and quantization.
    /// </summary>
    /// <remarks>The loss gains WeightDecay / 2 times <see cref="Networks.TrainingNetwork.CustomL2"/>; what is reported does not contain it.</remarks>
    public bool CustomL2 { get; init; }

    /// <summary>Share of the pooled features that is dropped before the classifier in training, 0 .. less than 1.</summary>
    public float Dropout { get; init; }

    /// <summary>
    /// Share of the images for which a block's convolutions are dropped in training, where it has an identity branch;
    /// 0 .. less than 1. It rises from 0 at the first block to this at the last.
    /// </summary>
    public float StochasticDepth { get; init; }

    /// <summary>Multiplies the learning rate of the layers that give logits (the classifier, and the auxiliary heads'); at least 0. Fine-tuning often takes 10.</summary>
    public float HeadLearningRateScale { get; init; } = 1;

    /// <summary>Weight of the loss of each auxiliary head (RepVGGplus only); at least 0.</summary>
    public float AuxiliaryLossWeight { get; init; } = 0.1f;

    /// <summary>Share of the exponential moving average of the weights that stays at each step, 0 .. less than 1, such as 0.999; 0 for no average.</summary>
    /// <remarks>With an average, it is the averaged weights that are validated and kept. Over the first t steps the share is (1 + t) / (10 + t) at most.</remarks>
    public float WeightAverageDecay { get; init; }

    /// <summary>Random changes of the training images.</summary>
    public Augmentation Augmentation { get; init; } = Augmentation.None;

    /// <summary>Ends a run that has stopped improving; null never does.</summary>
    public EarlyStopping? EarlyStopping { get; init; }

    /// <summary>By what the best weights are chosen, where there is a validation set.</summary>
    public TrainingMetric BestBy { get; init; } = TrainingMetric.Accuracy;

    /// <summary>Fewest training samples that every class must have; 0 allows classes without any.</summary>
    public int MinimumSamplesPerClass { get; init; } = 1;

    /// <summary>Seed of shuffling, augmentation, dropout and stochastic depth.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>
    /// File that is written after every epoch, and from which a run with the same data and options goes on; null for none.
    /// The file of a finished run gives its result at once.
    /// </summary>
    public string? CheckpointPath { get; init; }

    /// <summary>Checks every value.</summary>
    /// <param name="height">Image height in pixels.</param>
    /// <param name="width">Image width in pixels.</param>
    /// <exception cref="ArgumentException">A value is out of range; the message names it and its range.</exception>
    public void Validate(int height, int width)
    {
        Require(Epochs >= 1, nameof(Epochs), Epochs, "1 or more");
        Require(BatchSize >= 2, nameof(BatchSize), BatchSize, "2 or more (batch normalisation needs more than one image)");
        Require(LearningRate > 0 && float.IsFinite(LearningRate), nameof(LearningRate), LearningRate, "more than 0");
        Require(WeightDecay >= 0 && float.IsFinite(WeightDecay), nameof(WeightDecay), WeightDecay, "0 or more");
        Require(Momentum is >= 0 and < 1, nameof(Momentum), Momentum, "0 or more and less than 1");
        Require(!Nesterov || Momentum > 0, nameof(Nesterov), Nesterov, "false when Momentum is 0");
        Require(LabelSmoothing is >= 0 and < 1, nameof(LabelSmoothing), LabelSmoothing, "0 or more and less than 1");
        Require(Dropout is >= 0 and < 1, nameof(Dropout), Dropout, "0 or more and less than 1");
        Require(StochasticDepth is >= 0 and < 1, nameof(StochasticDepth), StochasticDepth, "0 or more and less than 1");
        Require(HeadLearningRateScale >= 0 && float.IsFinite(HeadLearningRateScale), nameof(HeadLearningRateScale), HeadLearningRateScale, "0 or more");
        Require(AuxiliaryLossWeight >= 0 && float.IsFinite(AuxiliaryLossWeight), nameof(AuxiliaryLossWeight), AuxiliaryLossWeight, "0 or more");
        Require(WeightAverageDecay is >= 0 and < 1, nameof(WeightAverageDecay), WeightAverageDecay, "0 or more and less than 1");
        Require(Enum.IsDefined(BestBy), nameof(BestBy), BestBy, "Accuracy or Loss");
        Require(MinimumSamplesPerClass >= 0, nameof(MinimumSamplesPerClass), MinimumSamplesPerClass, "0 or more");
        Require(CheckpointPath is null || CheckpointPath.Trim().Length > 0, nameof(CheckpointPath), CheckpointPath, "a path, or null");
        Require(Schedule is not null, nameof(Schedule), null, "given");
        Require(Augmentation is not null, nameof(Augmentation), null, "given (Augmentation.None for none)");
        Schedule!.Validate();
        Augmentation!.Validate(height, width);
        EarlyStopping?.Validate();
    }

    internal static void Require(bool condition, string name, object? value, string range)
    {
        if (!condition)
            throw new ArgumentException(FormattableString.Invariant($"{name} is {value ?? "null"}; it must be {range}."), name);
    }
}
