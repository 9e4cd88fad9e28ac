using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Data;
using RepVgg.Networks;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggTrainer
{
    /// <summary>What is trained, on what, and how. The trainer takes a copy: changes after that have no effect on it.</summary>
    public sealed class Options
    {
        /// <summary>Name of the label column: a key of UInt32, as <c>MapValueToKey</c> makes it.</summary>
        public string LabelColumnName { get; set; } = "Label";

        /// <summary>
        /// Name of the feature column: images (MLImage) of any size, or Vector&lt;Single&gt; with dimensions
        /// (channels, height, width), or flat with the size given by <see cref="ImageHeight"/> and <see cref="ImageWidth"/>.
        /// Pixels are planar (CHW), colours in the order R, G, B, usually 0..255.
        /// </summary>
        public string FeatureColumnName { get; set; } = "Features";

        /// <summary>Name of the output column with one probability per class.</summary>
        public string ScoreColumnName { get; set; } = "Score";

        /// <summary>Name of the output column with the predicted key.</summary>
        public string PredictedLabelColumnName { get; set; } = "PredictedLabel";

        /// <summary>
        /// Name of the variant, e.g. <c>RepVGG-A0</c> (<see cref="RepVggVariants"/> lists them). Null chooses by the image size:
        /// a small-image variant up to 64 pixels, RepVGG-A0 above; with <see cref="PretrainedWeights"/>, it takes what the file holds.
        /// </summary>
        public string? Architecture { get; set; }

        /// <summary>An architecture of your own, instead of a named one.</summary>
        public RepVggArchitecture? CustomArchitecture { get; set; }

        /// <summary>
        /// File of weights to start from (fine-tuning), in any format that the library reads: PyTorch's .pth, safetensors, a
        /// training checkpoint. Its training form is needed; of another number of classes, the classifier starts afresh. Null
        /// starts from random weights.
        /// </summary>
        public string? PretrainedWeights { get; set; }

        /// <summary>
        /// How many stages of the pretrained network, from the stem on, are left as they are, the statistics of their batch norms
        /// included. The stem counts as the first: RepVGG-A0 has five, and 5 trains the classifier alone.
        /// </summary>
        public int FrozenStages { get; set; }

        /// <summary>With pretrained weights: all batch norms keep their statistics and use them in training too, which helps with small batches. Their weights and biases are trained.</summary>
        public bool FreezeBatchNorm { get; set; }

        /// <summary>Multiplies the learning rate of the classifier; for fine-tuning, 10 is usual.</summary>
        public float HeadLearningRateScale { get; set; } = 1;

        /// <summary>Image height in pixels; null takes it from the feature column's dimensions, or for images from the architecture.</summary>
        public int? ImageHeight { get; set; }

        /// <summary>Image width in pixels; null takes it from the feature column's dimensions, or for images from the architecture.</summary>
        public int? ImageWidth { get; set; }

        /// <summary>Colour channels: 3 (R, G, B) or 1 (grey); null takes it from the feature column, 3 for images.</summary>
        public int? ImageChannels { get; set; }

        /// <summary>How images of another size are brought to the network's.</summary>
        public ImageResizingEstimator.ResizingKind Resizing { get; set; } = ImageResizingEstimator.ResizingKind.IsoCrop;

        /// <summary>Which part of the image stays where resizing crops.</summary>
        public ImageResizingEstimator.Anchor CropAnchor { get; set; } = ImageResizingEstimator.Anchor.Center;

        /// <summary>
        /// Mean and scale per channel, in pixel units; part of the trained model, so that raw pixels are scored. Null measures
        /// mean and standard deviation on the training images; with <see cref="PretrainedWeights"/>, it takes what the file says,
        /// or <see cref="Normalization.ImageNet"/> for the paper's networks where it says nothing.
        /// </summary>
        public Normalization? Normalization { get; set; }

        /// <summary>Passes over the training set.</summary>
        public int Epochs { get; set; } = 30;

        /// <summary>Images of one training step.</summary>
        public int BatchSize { get; set; } = 64;

        /// <summary>Peak learning rate.</summary>
        public float LearningRate { get; set; } = 0.1f;

        /// <summary>How the learning rate moves over the run; half a cosine by default.</summary>
        public LearningRateSchedule LearningRateSchedule { get; set; } = new();

        /// <summary>L2 factor, by the RepVGG authors' rule: on kernels, and on the weights of the identity branches' batch norms.</summary>
        public float WeightDecay { get; set; } = 1e-4f;

        /// <summary>Momentum of the gradient descent.</summary>
        public float Momentum { get; set; } = 0.9f;

        /// <summary>Nesterov's form of the momentum.</summary>
        public bool Nesterov { get; set; }

        /// <summary>Share of the target spread over all classes.</summary>
        public float LabelSmoothing { get; set; }

        /// <summary>Decays the blocks' kernels by the RepVGG authors' own L2 on the equivalent kernels, with the factor <see cref="WeightDecay"/>, in place of the ordinary L2.</summary>
        public bool CustomL2 { get; set; }

        /// <summary>Share of the pooled features that is dropped before the classifier in training, 0 .. less than 1.</summary>
        public float Dropout { get; set; }

        /// <summary>Share of the images for which the last block's convolutions are dropped in training, where it has an identity branch, 0 .. less than 1; falls to 0 at the first block.</summary>
        public float StochasticDepth { get; set; }

        /// <summary>Weight of the loss of each auxiliary head (RepVGGplus only).</summary>
        public float AuxiliaryLossWeight { get; set; } = 0.1f;

        /// <summary>Random changes of the training images; null mirrors every second image and shifts by up to an eighth of the size. <see cref="Augmentation.None"/> leaves them alone.</summary>
        public Augmentation? Augmentation { get; set; }

        /// <summary>Data to validate on after every epoch, with the same columns; null sets a share of the training data aside.</summary>
        public IDataView? ValidationSet { get; set; }

        /// <summary>Share of the training data set aside, class by class, where there is no <see cref="ValidationSet"/>; 0 validates on nothing and keeps the last weights.</summary>
        public float ValidationSetFraction { get; set; } = 0.1f;

        /// <summary>Ends a run that has stopped improving; null never does.</summary>
        public EarlyStopping? EarlyStopping { get; set; }

        /// <summary>By what the best weights are chosen.</summary>
        public TrainingMetric BestBy { get; set; } = TrainingMetric.Accuracy;

        /// <summary>Called after every batch, on the training thread, with where the run stands.</summary>
        public Action<TrainingProgress>? MetricsCallback { get; set; }

        /// <summary>Seed of the initial weights, the split, shuffling and augmentation; null draws one from the MLContext's seed.</summary>
        public int? Seed { get; set; }

        /// <summary>Threads for training and for scoring; 0 takes every core. The results do not depend on it on the CPU.</summary>
        public int Threads { get; set; }

        /// <summary>Share of the exponential moving average of the weights that stays at each step, such as 0.999; 0 for no average. With one, it is the averaged weights that are validated and kept.</summary>
        public float WeightAverageDecay { get; set; }

        /// <summary>On a GPU, trains with activations in bfloat16, which is faster and needs less memory; weights, loss and validation stay in single precision.</summary>
        public bool Bfloat16 { get; set; }

        /// <summary>Where to train. Scoring never needs a GPU nor TorchSharp.</summary>
        public TrainingDevice Device { get; set; } = TrainingDevice.Auto;

        /// <summary>What happens to rows whose image or label cannot be used.</summary>
        public InvalidRowHandling InvalidRows { get; set; } = InvalidRowHandling.Error;

        /// <summary>Memory for the images read, in bytes; what exceeds it goes to a temporary file.</summary>
        public long CacheLimit { get; set; } = SampleCache.DefaultMemoryLimit;

        /// <summary>File that is written after every epoch and from which an interrupted run with the same options and data goes on; null for none.</summary>
        public string? CheckpointPath { get; set; }

        /// <summary>Ends the training early; checked at every row that is read and every batch.</summary>
        public CancellationToken CancellationToken { get; set; }

        /// <summary>What a cancelled Fit does.</summary>
        public CancellationBehavior OnCancellation { get; set; } = CancellationBehavior.Throw;

        internal Options Clone() => (Options)MemberwiseClone();

        internal void CheckNames()
        {
            Require(LabelColumnName, nameof(LabelColumnName));
            Require(FeatureColumnName, nameof(FeatureColumnName));
            Require(ScoreColumnName, nameof(ScoreColumnName));
            Require(PredictedLabelColumnName, nameof(PredictedLabelColumnName));
            if (ScoreColumnName == PredictedLabelColumnName)
                throw new ArgumentException($"ScoreColumnName and PredictedLabelColumnName are both '{ScoreColumnName}'; they must differ.");
            if (Architecture is not null && CustomArchitecture is not null)
                throw new ArgumentException("Give Architecture or CustomArchitecture, not both.");
            if (Architecture is not null)
                RepVggVariants.Find(Architecture);
            CheckFineTuning();
            if (ImageChannels is not (null or 1 or 3))
                throw new ArgumentException($"ImageChannels is {ImageChannels}; it must be 1 or 3.");
            if (!(ValidationSetFraction is >= 0 and < 1))
                throw new ArgumentException($"ValidationSetFraction is {ValidationSetFraction}; it must be 0 or more and less than 1.");
            if (ImageHeight is <= 0 || ImageWidth is <= 0)
                throw new ArgumentException($"The image size is {ImageHeight} x {ImageWidth}; both must be 1 or more.");
            ArgumentOutOfRangeException.ThrowIfNegative(Threads);
            ArgumentOutOfRangeException.ThrowIfNegative(CacheLimit);
        }

        internal TrainingOptions ToTrainingOptions(ulong seed, int height, int width) => new()
        {
            Epochs = Epochs,
            BatchSize = BatchSize,
            LearningRate = LearningRate,
            Schedule = LearningRateSchedule,
            WeightDecay = WeightDecay,
            Momentum = Momentum,
            Nesterov = Nesterov,
            LabelSmoothing = LabelSmoothing,
            Augmentation = Augmentation ?? new Augmentation { HorizontalFlip = true, CropPadding = Math.Min(height, width) / 8 },
            CustomL2 = CustomL2,
            Dropout = Dropout,
            StochasticDepth = StochasticDepth,
            AuxiliaryLossWeight = AuxiliaryLossWeight,
            HeadLearningRateScale = HeadLearningRateScale,
            WeightAverageDecay = WeightAverageDecay,
            EarlyStopping = EarlyStopping,
            BestBy = BestBy,
            Seed = seed,
            // A key type may well have values of which no row is left, after a split or a filter.
            MinimumSamplesPerClass = 0,
            CheckpointPath = CheckpointPath,
        };

        private void CheckFineTuning()
        {
            if (PretrainedWeights is not null && string.IsNullOrWhiteSpace(PretrainedWeights))
                throw new ArgumentException("PretrainedWeights is empty; it must be a file's path, or null.");
            if (FrozenStages < 0)
                throw new ArgumentException($"FrozenStages is {FrozenStages}; it must be 0 or more.");
            if (PretrainedWeights is null && FrozenStages > 0)
                throw new ArgumentException($"FrozenStages is {FrozenStages}, but there are no PretrainedWeights: stages that are frozen at random weights learn nothing. Give a file of weights, or leave FrozenStages at 0.");
            if (PretrainedWeights is null && FreezeBatchNorm)
                throw new ArgumentException("FreezeBatchNorm needs PretrainedWeights: a new network's batch norms have no statistics yet.");
        }

        private static void Require(string name, string option)
        {
            if (string.IsNullOrWhiteSpace(name))
                throw new ArgumentException($"{option} is empty; it must be a column's name.");
        }
    }
}
