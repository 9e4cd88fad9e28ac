using System.Collections.Immutable;
using System.Drawing;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Segmentation;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggSegmentationTrainer
{
    /// <summary>Options of <see cref="RepVggSegmentationTrainer"/>: the network, the data columns, the training hyperparameters and the device. The trainer copies the options, so later changes have no effect on it.</summary>
    public sealed class Options : RepVggScoringOptions
    {
        /// <summary>
        /// Name of the label column: a Vector&lt;Byte&gt; with the content of a PNG file, as LoadRawImageBytes gives it, or with the dimensions (height, width) and a label for every pixel. The grey value of a
        /// pixel of the file, or its index of the palette, is the label. A mask has the size of its image, as the image is seen: after its EXIF orientation was applied (<see cref="ApplyExifOrientation"/>).
        /// </summary>
        public string LabelColumnName { get; set; } = "Label";

        /// <summary>Name of the feature column: images of any size (MLImage), or the content of image files (Vector&lt;Byte&gt;).</summary>
        public string FeatureColumnName { get; set; } = "Features";

        /// <summary>Name of the output column with the class of every pixel: Vector&lt;Byte&gt; with the dimensions (height, width).</summary>
        public string PredictedMaskColumnName { get; set; } = "PredictedMask";

        /// <summary>Name of an output column with the probabilities of the classes for every pixel: Vector&lt;Single&gt; with the dimensions (classes, height, width). Null for none.</summary>
        public string? ScoreColumnName { get; set; }

        /// <summary>Number of classes, 2 to 255; null for the largest label of the training data plus 1.</summary>
        public int? NumberOfClasses { get; set; }

        /// <summary>The names of the classes, in the order of their labels; null if they have none.</summary>
        public IReadOnlyList<string>? ClassNames { get; set; }

        /// <summary>The label of pixels without one, which training and metrics leave out.</summary>
        public byte IgnoredLabel { get; set; } = byte.MaxValue;

        /// <summary>The label of each colour, for masks in colours; alpha values are not used. Null for masks whose values are the labels.</summary>
        public IReadOnlyDictionary<Color, byte>? MaskColors { get; set; }

        /// <summary>
        /// The backbone, such as <see cref="RepVggVariants.A0"/>, with <see cref="RepVggArchitecture.OutputStride"/> and <see cref="RepVggArchitecture.DilatedBlocks"/>; without an output stride it gets 8. Null
        /// selects a variant by image size, or the architecture of the pretrained weights.
        /// </summary>
        public RepVggArchitecture? Architecture { get; set; }

        /// <summary>Rows and columns of each grid of averages of the pyramid, in ascending order.</summary>
        public ImmutableArray<int> Bins { get; set; } = [1, 2, 3, 6];

        /// <summary>Channels after the 3x3 convolution of the head; null for those of the backbone's last stage, and 512 at most.</summary>
        public int? HeadWidth { get; set; }

        /// <summary>Channels of the auxiliary head, which is used only in training; null for half of <see cref="HeadWidth"/>, 0 for no auxiliary head.</summary>
        public int? AuxiliaryWidth { get; set; }

        /// <summary>
        /// File of weights to start from: those of a classifier in the training form, whose classifier is left out, in any format that the library reads. Null initializes the network with random weights.
        /// </summary>
        public string? PretrainedWeightsPath { get; set; }

        /// <summary>What the file of <see cref="PretrainedWeightsPath"/> does not say, such as the epsilon of its batch norms; null for nothing.</summary>
        public WeightsFileOptions? PretrainedWeightsOptions { get; set; }

        /// <summary>Number of stages of the pretrained backbone, counted from the stem, that are not trained.</summary>
        public int FrozenStages { get; set; }

        /// <summary>Whether all batch norms keep the running statistics of the pretrained weights. Requires <see cref="PretrainedWeightsPath"/>.</summary>
        public bool FreezeBatchNorm { get; set; }

        /// <summary>Height in pixels of the network's input and of the masks that it predicts; if only one of height and width is given, they are square. Null is a size that suits the images of the first rows.</summary>
        public int? ImageHeight { get; set; }

        /// <summary>Width in pixels; null as for <see cref="ImageHeight"/>.</summary>
        public int? ImageWidth { get; set; }

        /// <summary>Number of colour channels: 3 (R, G, B) or 1 (grey).</summary>
        public int ImageChannels { get; set; } = 3;

        /// <summary>
        /// Whether training takes crops of the network's size from images of their own size. By default, whole images are resized to the network's input, in training and at prediction. Networks that are trained
        /// on crops are for large images, whose masks <see cref="RepVggSegmentationTransformer.Predict(byte[], bool?)"/> computes with a sliding window; validation after each epoch is on the middle of each image.
        /// </summary>
        /// <remarks>Whole images are resized by nearest neighbours, as ML.NET's own resizing to Fill does in the saved model, which leaves out most pixels of images that are much larger than the input.</remarks>
        public bool TrainOnCrops { get; set; }

        /// <summary>The colour on which transparent images are put. Its alpha value is not used.</summary>
        public Color BackgroundColor { get; set; } = Color.White;

        /// <summary>Whether the images in a column of bytes are turned or mirrored as their EXIF orientation says.</summary>
        public bool ApplyExifOrientation { get; set; } = true;

        /// <summary>Mean and scale per channel, in pixel units. Null uses that of the pretrained weights, or measures the training images.</summary>
        public Normalization? Normalization { get; set; }

        /// <summary>Data to validate on after every epoch, whole images or with <see cref="TrainOnCrops"/> the middle of each; null sets <see cref="ValidationSetFraction"/> of the training data aside.</summary>
        public IDataView? ValidationSet { get; set; }

        /// <summary>Share of the training data to validate on, 0 or more and less than 1, if there is no <see cref="ValidationSet"/>; 0 for no validation.</summary>
        public double ValidationSetFraction { get; set; } = 0.1;

        /// <summary>Number of passes over the training set.</summary>
        public int Epochs { get; set; } = 30;

        /// <summary>Number of images per batch, at least 2. Batch norms of the pyramid average few values, so that more are better.</summary>
        public int BatchSize { get; set; } = 16;

        /// <summary>Number of consecutive batches whose gradients make one optimizer step.</summary>
        public int GradientAccumulationSteps { get; set; } = 1;

        /// <summary>The algorithm that updates the weights.</summary>
        public OptimizerOptions Optimizer { get; set; } = new SgdOptions();

        /// <summary>Peak learning rate, more than 0. Null is the optimizer's usual one, and a tenth of it with <see cref="PretrainedWeightsPath"/>: 0.01 for SGD, as in the paper.</summary>
        public float? LearningRate { get; set; }

        /// <summary>Learning rate schedule; by default (1 - step / steps)^0.9, as in the paper.</summary>
        public LearningRateScheduler LearningRateScheduler { get; set; } = new() { Shape = ScheduleShape.Polynomial, Power = 0.9 };

        /// <summary>Factor by which the learning rate of the layers of the heads is multiplied. Null is 10 with <see cref="PretrainedWeightsPath"/>, as in the paper's code, and otherwise 1.</summary>
        public float? HeadLearningRateScale { get; set; }

        /// <summary>Weight decay; null for the optimizer's usual one: 1e-4 for SGD, as in the paper.</summary>
        public float? WeightDecay { get; set; }

        /// <summary>Maximum L2 norm of the gradients of all weights together, more than 0; null for none.</summary>
        public float? GradientClipNorm { get; set; }

        /// <summary>Share of the channels that is dropped in front of the last layer of each head, 0 or more and less than 1.</summary>
        public float Dropout { get; set; } = 0.1f;

        /// <summary>Weight of the loss of the auxiliary head; at least 0.</summary>
        public float AuxiliaryLossWeight { get; set; } = 0.4f;

        /// <summary>Weight of each class in the training loss, more than 0, in the order of the labels; null if all are 1.</summary>
        public IReadOnlyList<float>? ClassWeights { get; set; }

        /// <summary>Random augmentation of training images and masks.</summary>
        public SegmentationAugmentation Augmentation { get; set; } = new();

        /// <summary>Decay of the exponential moving average of the weights per step, such as 0.999; 0 for no average.</summary>
        public float EmaDecay { get; set; }

        /// <summary>Number of epochs whose weights are averaged at the end of training; see <see cref="RepVggTrainer.Options.AveragedCheckpoints"/>.</summary>
        public int AveragedCheckpoints { get; set; }

        /// <summary>Early stopping; null disables it.</summary>
        public EarlyStoppingCriteria? EarlyStoppingCriteria { get; set; }

        /// <summary>The metric by which the best epoch is selected on the validation set.</summary>
        public TrainingMetric MonitoredMetric { get; set; } = TrainingMetric.MeanIoU;

        /// <summary>Callback that receives the progress of training after every batch, on the training thread.</summary>
        public Action<TrainingProgress>? MetricsCallback { get; set; }

        /// <summary>Seed of the initial weights, the validation split, shuffling and augmentation; null draws one from the MLContext's random numbers.</summary>
        public int? Seed { get; set; }

        /// <summary>The device to train on. Scoring needs neither a GPU nor TorchSharp.</summary>
        public TrainingDevice Device { get; set; } = TrainingDevice.Auto;

        /// <summary>On a GPU, trains with activations in bfloat16.</summary>
        public bool Bfloat16 { get; set; }

        /// <summary>Maximum memory for the images and masks of each set, in bytes; others are stored in temporary files.</summary>
        public long CacheLimit { get; set; } = SampleCache.DefaultMemoryLimit;

        /// <summary>Path of the checkpoint file, which is written after every epoch, and from which training with the same options and data resumes. Null for no checkpoints.</summary>
        public string? CheckpointPath { get; set; }

        /// <summary>Token that cancels training; checked at every row that is read and at every batch.</summary>
        public CancellationToken CancellationToken { get; set; }

        /// <summary>Whether Fit throws or returns the best model so far when it is cancelled.</summary>
        public CancellationBehavior OnCancellation { get; set; } = CancellationBehavior.Throw;

        /// <summary>Whether Fit throws or returns the best model so far when training diverges.</summary>
        public DivergenceBehavior OnDivergence { get; set; } = DivergenceBehavior.Throw;

        internal Options Clone()
        {
            var clone = (Options)MemberwiseClone();
            clone.ClassNames = ClassNames?.ToArray();
            clone.ClassWeights = ClassWeights?.ToArray();
            clone.MaskColors = MaskColors?.ToDictionary();
            return clone;
        }

        internal override void Check()
        {
            base.Check();
            foreach (var (name, value) in (ReadOnlySpan<(string, string?)>)
            [
                (nameof(LabelColumnName), LabelColumnName), (nameof(FeatureColumnName), FeatureColumnName), (nameof(PredictedMaskColumnName), PredictedMaskColumnName),
                (nameof(ScoreColumnName), ScoreColumnName ?? "none"),
            ])
            {
                if (string.IsNullOrWhiteSpace(value))
                    throw new ArgumentException($"{name} is empty; it must be a column's name.");
            }
            if (ScoreColumnName == PredictedMaskColumnName)
                throw new ArgumentException($"ScoreColumnName and PredictedMaskColumnName are both '{ScoreColumnName}'; they must differ.");
            if (TestTimeAugmentation != TestTimeAugmentation.None)
                throw new ArgumentException($"TestTimeAugmentation is {TestTimeAugmentation}, which is for classifiers. Leave it out.");
            if (NumberOfClasses is < 2 or > PspNetArchitecture.MaximumClasses)
                throw new ArgumentException($"NumberOfClasses is {NumberOfClasses}; it must be 2 to {PspNetArchitecture.MaximumClasses}.");
            if (ClassNames is { } names && NumberOfClasses is { } classes && names.Count != classes)
                throw new ArgumentException($"ClassNames has {names.Count} names, but NumberOfClasses is {classes}.");
            if ((NumberOfClasses ?? ClassNames?.Count) is { } count && ClassNames is not null && count is < 2 or > PspNetArchitecture.MaximumClasses)
                throw new ArgumentException($"ClassNames has {count} names; 2 to {PspNetArchitecture.MaximumClasses} classes are possible.");
            if (ImageHeight is <= 0 || ImageWidth is <= 0)
                throw new ArgumentException($"The image size is {ImageHeight} x {ImageWidth}; both must be 1 or more.");
            if (ImageChannels is not (1 or 3))
                throw new ArgumentException($"ImageChannels is {ImageChannels}; it must be 1 or 3.");
            if (!(ValidationSetFraction is >= 0 and < 1))
                throw new ArgumentException(FormattableString.Invariant($"ValidationSetFraction is {ValidationSetFraction}; it must be 0 or more and less than 1."));
            if (PretrainedWeightsPath is null && (FrozenStages > 0 || FreezeBatchNorm || PretrainedWeightsOptions is not null))
                throw new ArgumentException("FrozenStages, FreezeBatchNorm and PretrainedWeightsOptions need PretrainedWeightsPath: a new network's weights and statistics have to be learned.");
            if (FrozenStages < 0)
                throw new ArgumentException($"FrozenStages is {FrozenStages}; it must be 0 or more.");
            PretrainedWeightsOptions?.Check();
            MaskColorTable.Check(MaskColors);
            ArgumentOutOfRangeException.ThrowIfNegative(CacheLimit);
            ArgumentNullException.ThrowIfNull(Augmentation);
            RequireDefined(OnCancellation, nameof(OnCancellation));
            RequireDefined(OnDivergence, nameof(OnDivergence));
        }

        /// <summary>Describes the image column.</summary>
        internal ImageSettings ToImageSettings() =>
            new("feature", FeatureColumnName, ImageChannels, ImageHeight, ImageWidth, ImageResizingEstimator.ResizingKind.Fill, ImageResizingEstimator.Anchor.Center)
            {
                BackgroundColor = BackgroundColor,
                Decoding = new ImageDecoding(ApplyExifOrientation, MaximumImagePixels ?? ImageDecoding.DefaultMaximum),
            };

        internal TrainingOptions ToTrainingOptions(ulong seed) => new()
        {
            Epochs = Epochs,
            BatchSize = BatchSize,
            GradientAccumulationSteps = GradientAccumulationSteps,
            Optimizer = Optimizer,
            LearningRate = LearningRate ?? (PretrainedWeightsPath is null ? null : Optimizer.DefaultLearningRate / 10),
            LearningRateScheduler = LearningRateScheduler,
            HeadLearningRateScale = HeadLearningRateScale ?? (PretrainedWeightsPath is null ? 1 : 10),
            WeightDecay = WeightDecay,
            GradientClipNorm = GradientClipNorm,
            Dropout = Dropout,
            AuxiliaryLossWeight = AuxiliaryLossWeight,
            ClassWeights = ClassWeights,
            SegmentationAugmentation = Augmentation,
            EmaDecay = EmaDecay,
            AveragedCheckpoints = AveragedCheckpoints,
            EarlyStoppingCriteria = EarlyStoppingCriteria,
            MonitoredMetric = MonitoredMetric,
            Seed = seed,
            CheckpointPath = CheckpointPath,
            ReturnBestOnDivergence = OnDivergence == DivergenceBehavior.ReturnBest,
        };
    }
}
