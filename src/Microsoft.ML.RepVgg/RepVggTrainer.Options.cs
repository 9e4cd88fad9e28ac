using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Quantizers;
using RepVgg.Reparameterization;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggTrainer
{
    /// <summary>Options of <see cref="RepVggTrainer"/>: the network, the data columns, the training hyperparameters and the device. The trainer copies the options, so later changes have no effect on it.</summary>
    public sealed class Options : RepVggImageOptions
    {
        /// <summary>Name of the label column: a key of UInt32, as <c>MapValueToKey</c> makes it.</summary>
        public string LabelColumnName { get; set; } = "Label";

        /// <summary>
        /// Name of the feature column: images of any size (MLImage), the content of image files (Vector&lt;Byte&gt;), or Vector&lt;Single&gt; with dimensions
        /// (channels, height, width), or flat with the size given by the options.
        /// Pixels are planar (CHW), colours in the order R, G, B, usually 0..255.
        /// </summary>
        public string FeatureColumnName { get; set; } = "Features";

        /// <summary>
        /// Name of a column of Single with the weights of the rows in the training loss, 0 or more; null if all weights are 1. Rows of the weight 0 are left out. The weights are multiplied by
        /// <see cref="ClassWeights"/>. Validation does not use them.
        /// </summary>
        public string? ExampleWeightColumnName { get; set; }

        /// <summary>Weights of the classes in the training loss, such as <see cref="ClassWeights.Balanced"/>; null if all weights are 1.</summary>
        public ClassWeights? ClassWeights { get; set; }

        /// <summary>
        /// Whether an epoch takes about the same number of images of every class, instead of every image once: images of small classes several times, and some images of large classes not at all.
        /// It is an alternative to <see cref="ClassWeights"/>. The metrics of training are those of the images that were taken.
        /// </summary>
        public bool BalancedSampling { get; set; }

        /// <summary>Name of the output column with one probability per class.</summary>
        public string ScoreColumnName { get; set; } = "Score";

        /// <summary>Name of the output column with the predicted key.</summary>
        public string PredictedLabelColumnName { get; set; } = "PredictedLabel";

        /// <summary>
        /// The architecture: a variant such as <see cref="RepVggVariants.A0"/>, its name such as <c>"RepVGG-A0"</c> (see
        /// <see cref="RepVggVariants.All"/>), or an architecture of the user's own. Null selects a variant by image size: a
        /// small-image variant up to 64 pixels, RepVGG-A0 above. With <see cref="PretrainedWeightsPath"/>, null uses the architecture of the file.
        /// </summary>
        public RepVggArchitecture? Architecture { get; set; }

        /// <summary>
        /// The training form of the blocks, such as <see cref="global::RepVgg.Architectures.TrainingForm.Plain"/>; null uses that of <see cref="Architecture"/> or of the pretrained
        /// weights, which is <see cref="global::RepVgg.Architectures.TrainingForm.RepVgg"/> unless they say otherwise. <see cref="Fusion.CanFuse"/> tells the forms whose
        /// networks cannot be fused: their models score in the training form, and cannot be saved or exported.
        /// </summary>
        public TrainingForm? TrainingForm { get; set; }

        /// <summary>
        /// File of weights to start from (fine-tuning), in any format that the library reads: PyTorch's .pth, safetensors, a
        /// training checkpoint. The file must contain the training form. If its number of classes differs from the data's, the
        /// classifier starts from random weights. Null initializes the whole network with random weights.
        /// </summary>
        public string? PretrainedWeightsPath { get; set; }

        /// <summary>
        /// What the file of <see cref="PretrainedWeightsPath"/> does not say, such as the epsilon of its batch norms, its strides or
        /// the entry of a checkpoint. The epsilon and the strides go before those of <see cref="Architecture"/>. Null for nothing;
        /// the log states what is assumed.
        /// </summary>
        public WeightsFileOptions? PretrainedWeightsOptions { get; set; }

        /// <summary>
        /// Number of stages of the pretrained network, counted from the stem, that are not trained. Their batch norms keep their
        /// statistics too. The stem counts as the first stage: RepVGG-A0 has five stages, and 5 trains only the classifier.
        /// </summary>
        public int FrozenStages { get; set; }

        /// <summary>Whether all batch norms keep the running statistics of the pretrained weights and use them in training instead of batch statistics, which helps with small batches. Their weights and biases are trained. Requires <see cref="PretrainedWeightsPath"/>.</summary>
        public bool FreezeBatchNorm { get; set; }

        /// <summary>Factor by which the learning rate of the classifier is multiplied; 10 is common for fine-tuning.</summary>
        public float HeadLearningRateScale { get; set; } = 1;

        /// <summary>Number of colour channels: 3 (R, G, B) or 1 (grey). Null uses that of the feature column's type; for images, that of the pretrained weights, or 3.</summary>
        public int? ImageChannels { get; set; }

        /// <summary>
        /// Mean and scale per channel, in pixel units. They are part of the trained model, which scores raw pixels. Null computes
        /// mean and standard deviation of the training images, without pixels that are far beyond those of the other images, which the log names. With <see cref="PretrainedWeightsPath"/>, null uses the normalization in
        /// the file, or <see cref="Normalization.ImageNet"/> if the file has none and contains a network of the RepVGG paper.
        /// </summary>
        public Normalization? Normalization { get; set; }

        /// <summary>Number of passes over the training set.</summary>
        public int Epochs { get; set; } = 30;

        /// <summary>Number of images per batch.</summary>
        public int BatchSize { get; set; } = 64;

        /// <summary>
        /// Number of consecutive batches whose gradients make one optimizer step, for larger steps than memory allows: the gradient is that of the weighted mean of the losses of all images of
        /// these batches. Batch norms use the statistics of each batch. If the batches of an epoch cannot be divided by it, the last step of the epoch has fewer batches.
        /// </summary>
        public int GradientAccumulationSteps { get; set; } = 1;

        /// <summary>
        /// The algorithm that updates the weights: <see cref="SgdOptions"/> or <see cref="AdamWOptions"/>, with its hyperparameters, or
        /// <see cref="RepOptimizerOptions"/> for an <see cref="Architecture"/> of the training form Plain, with the scales that
        /// <see cref="RepOptimizerSearch"/> found for it.
        /// </summary>
        public OptimizerOptions Optimizer { get; set; } = new SgdOptions();

        /// <summary>
        /// Scales of the branches of an <see cref="Architecture"/> of the training form Csla, which are constants except those of the identity branches, or of the form
        /// HyperSearch, which starts with them; null for those of <see cref="RepOptimizerScales.Initial"/>. Pretrained weights have their own. RepOptimizer
        /// has its scales in <see cref="RepOptimizerOptions"/>.
        /// </summary>
        public RepOptimizerScales? BranchScales { get; set; }

        /// <summary>
        /// Peak learning rate, more than 0. Null uses the optimizer's usual one: 0.1 for <see cref="SgdOptions"/>, 0.001 for <see cref="AdamWOptions"/>; a hundredth of it for
        /// <see cref="QuantizationMode.Aware"/> with <see cref="PretrainedWeightsPath"/>.
        /// </summary>
        public float? LearningRate { get; set; }

        /// <summary>
        /// Number of images per optimizer step to which <see cref="LearningRate"/> belongs: the peak learning rate is multiplied by <see cref="BatchSize"/> x <see cref="GradientAccumulationSteps"/> /
        /// LearningRateBaseSize. The RepVGG paper has 0.1 for 256 images. Null for no scaling.
        /// </summary>
        public int? LearningRateBaseSize { get; set; }

        /// <summary>
        /// Factor of the learning rate from each block to the one before it, more than 0 and at most 1: of L blocks, block i (from 0, the stem) has LayerLearningRateDecay^(L - i)
        /// times the learning rate, frozen blocks counted; the classifier and the auxiliary heads have the factor 1. 0.75 is typical for fine-tuning.
        /// </summary>
        public float LayerLearningRateDecay { get; set; } = 1;

        /// <summary>How the learning rate changes during training; cosine decay by default.</summary>
        public LearningRateScheduler LearningRateScheduler { get; set; } = new();

        /// <summary>
        /// Weight decay, 0 or more. Null uses the optimizer's usual one: 1e-4 for <see cref="SgdOptions"/>, 0.01 for <see cref="AdamWOptions"/>. As in
        /// the RepVGG authors' code, it applies to the kernels and to the weights of the identity branches' batch norms, and in the forms
        /// <see cref="TrainingForm.Csla"/> and <see cref="TrainingForm.HyperSearch"/> to the scales of the identity branches.
        /// </summary>
        public float? WeightDecay { get; set; }

        /// <summary>
        /// Maximum L2 norm of the gradients of all trained weights together, more than 0: larger gradients are scaled to this norm, as PyTorch's
        /// clip_grad_norm_ does it. Null for none.
        /// </summary>
        public float? GradientClipNorm { get; set; }

        /// <summary>Label smoothing: the fraction of the target probability that is distributed evenly over all classes.</summary>
        public float LabelSmoothing { get; set; }

        /// <summary>A trained network, the teacher, from whose class probabilities the network learns besides the labels; null for none.</summary>
        public KnowledgeDistillation? Distillation { get; set; }

        /// <summary>Whether the blocks' kernels are decayed by the RepVGG authors' custom L2 penalty on the equivalent kernels, with the factor <see cref="WeightDecay"/>, instead of the ordinary L2 weight decay.</summary>
        public bool CustomL2 { get; set; }

        /// <summary>Dropout probability of the pooled features before the classifier in training; 0 or more and less than 1.</summary>
        public float Dropout { get; set; }

        /// <summary>Stochastic depth (DropPath): the probability, per image, that the convolution branches of the last block are dropped in training; 0 or more and less than 1. It decreases to 0 at the first block and applies only to blocks with an identity branch. It must be 0 with <see cref="QuantizationMode.Aware"/>.</summary>
        public float StochasticDepth { get; set; }

        /// <summary>Weight of the loss of each auxiliary head (RepVGGplus only).</summary>
        public float AuxiliaryLossWeight { get; set; } = 0.1f;

        /// <summary>Random augmentation of the training images. Null flips images horizontally with probability 1/2 and crops them after padding by an eighth of the shorter side. <see cref="Augmentation.None"/> disables augmentation.</summary>
        public Augmentation? Augmentation { get; set; }

        /// <summary>Smaller training images in the first epochs, which grow to the size of the network's input, for faster training; null for the full size in every epoch.</summary>
        /// <remarks>Pixels must be whole numbers of 0 .. 255. Validation and the search for a learning rate use the full size.</remarks>
        public ProgressiveResizing? ProgressiveResizing { get; set; }

        /// <summary>Data to validate on after every epoch, with the same columns; null splits off <see cref="ValidationSetFraction"/> of the training data.</summary>
        public IDataView? ValidationSet { get; set; }

        /// <summary>Fraction of the training data that is split off for validation, stratified by class, if there is no <see cref="ValidationSet"/>. With 0 there is no validation, and the last weights are kept.</summary>
        public float ValidationSetFraction { get; set; } = 0.1f;

        /// <summary>Early stopping: ends training when the metric no longer improves; null trains for all epochs.</summary>
        public EarlyStoppingCriteria? EarlyStoppingCriteria { get; set; }

        /// <summary>The metric by which the best weights are selected.</summary>
        public TrainingMetric MonitoredMetric { get; set; } = TrainingMetric.Accuracy;

        /// <summary>
        /// Whether a temperature is fitted to the validation rows after training, by which the logits of the classifier are divided, so that its probabilities say how often it is right. Needs validation rows.
        /// The predicted classes do not change. <see cref="RepVggTransformer.Calibration"/> reports the result; <see cref="RepVggTransformer.FitTemperature"/> does the same with other rows.
        /// </summary>
        public bool CalibrateTemperature { get; set; }

        /// <summary>Whether the classifier is quantized to 8-bit integers, and when. <see cref="RepVggTransformer.QuantizedNetwork"/> of the result is the quantized network.</summary>
        public QuantizationMode Quantization { get; set; }

        /// <summary>
        /// How the classifier is quantized; null for the defaults. Needs a <see cref="Quantization"/>. With <see cref="QuantizationMode.Aware"/>, only
        /// <see cref="QuantizationOptions.FloatBlocks"/>, <see cref="QuantizationOptions.QuantizeClassifier"/> and <see cref="QuantizationOptions.ReducedRange"/> are used.
        /// </summary>
        public QuantizationOptions? QuantizationOptions { get; set; }

        /// <summary>Maximum number of training images on which the ranges of the activations are measured with <see cref="QuantizationMode.PostTraining"/>, at least 1. They are evenly distributed over the training set.</summary>
        public int CalibrationImages { get; set; } = RepVggTransformer.DefaultCalibrationImages;

        /// <summary>
        /// Number of epochs at the end of training, from 0 to <see cref="Epochs"/>, in which the running statistics of batch norms and the ranges of quantized activations are fixed. With
        /// <see cref="QuantizationMode.Aware"/>, and without <see cref="PretrainedWeightsPath"/>, it must be less than <see cref="Epochs"/>. Null is a quarter of the epochs, rounded up, but not all, with <see cref="QuantizationMode.Aware"/> and
        /// <see cref="PretrainedWeightsPath"/>, and otherwise 0.
        /// </summary>
        /// <remarks>Batch norms that do not normalise with the statistics of the batch need a small learning rate, about 0.01 at most with SGD; a warning says if it is larger.</remarks>
        public int? FrozenStatisticsEpochs { get; set; }

        /// <summary>Callback that receives the progress of training after every batch, on the training thread.</summary>
        public Action<TrainingProgress>? MetricsCallback { get; set; }

        /// <summary>Seed of the initial weights, the validation split, shuffling and augmentation; null draws one from the MLContext's random numbers.</summary>
        public int? Seed { get; set; }

        /// <summary>Decay of the exponential moving average of the weights per step, such as 0.999; 0 for no average. If there is an average, the averaged weights are validated and returned.</summary>
        public float EmaDecay { get; set; }

        /// <summary>
        /// Number of epochs whose weights are averaged at the end of training: the best ones by <see cref="MonitoredMetric"/>, or without validation the last ones. The average is validated, and
        /// is the model if its metric is not worse than that of the best epoch; the log and <see cref="RepVggTransformer.AveragedEpochs"/> say so. With <see cref="EmaDecay"/>, the weights of an epoch are those of the
        /// moving average. 0 and 1 disable it. The weights of these epochs are held in memory and in the checkpoint.
        /// </summary>
        public int AveragedCheckpoints { get; set; }

        /// <summary>On a GPU, trains with activations in bfloat16, which is faster and needs less memory; weights, loss and validation stay in single precision.</summary>
        public bool Bfloat16 { get; set; }

        /// <summary>The device to train on. Scoring needs neither a GPU nor TorchSharp.</summary>
        public TrainingDevice Device { get; set; } = TrainingDevice.Auto;

        /// <summary>
        /// Maximum memory for the images of each set, training and validation, in bytes; images beyond it are stored in a temporary file. Whole images (see <see cref="WorkingSize"/>) are kept as the
        /// content of their files where their pixels exceed it, and decoded in every epoch. The result of training does not depend on it.
        /// </summary>
        public long CacheLimit { get; set; } = SampleCache.DefaultMemoryLimit;

        /// <summary>
        /// With <see cref="Augmentation.RandomResizedCrop"/>, training images are kept whole, and larger ones are reduced until their shorter side has this number of pixels; not less than the longer side
        /// of the network's input. Null is 16/7 of that side, such as 512 for 224. It has no effect on vectors of pixels, on images for validation, or without random rectangles.
        /// </summary>
        /// <remarks>
        /// A square rectangle is enlarged if its share of the image's area is less than (network's side / working size)^2: 19 % with the default, so that 88 % of the rectangles of the usual
        /// scales, 8 % to 100 %, are not. A larger value needs more memory, and more time if the images do not fit into it.
        /// </remarks>
        public int? WorkingSize { get; set; }

        /// <summary>Path of the checkpoint file, which is written after every epoch. If the file exists, training with the same options and data resumes from it; otherwise an <see cref="InvalidOperationException"/> states what differs. All images are read once to compare them. Null for no checkpoints.</summary>
        public string? CheckpointPath { get; set; }

        /// <summary>Token that cancels training; checked at every row that is read and at every batch.</summary>
        public CancellationToken CancellationToken { get; set; }

        /// <summary>Whether Fit throws or returns the best model so far when it is cancelled.</summary>
        public CancellationBehavior OnCancellation { get; set; } = CancellationBehavior.Throw;

        /// <summary>Whether Fit throws or returns the best model so far when training diverges, which <see cref="RepVggTransformer.StopReason"/> then reports.</summary>
        public DivergenceBehavior OnDivergence { get; set; } = DivergenceBehavior.Throw;

        /// <summary>Sets the hyperparameters of training to those of a preset. Other options keep their values, and so do the scales of a <see cref="RepOptimizerOptions"/> if the preset is for RepOptimizer.</summary>
        /// <param name="preset">The preset, such as <see cref="TrainingPreset.Paper"/>.</param>
        /// <returns>These options.</returns>
        public Options Apply(TrainingPreset preset)
        {
            ArgumentNullException.ThrowIfNull(preset);
            Epochs = preset.Epochs;
            BatchSize = preset.BatchSize;
            Optimizer = Optimizer is RepOptimizerOptions given && preset.Optimizer is RepOptimizerOptions { Scales: null, ScalesPath: null } wanted
                ? wanted with { Scales = given.Scales, ScalesPath = given.ScalesPath }
                : preset.Optimizer;
            LearningRate = preset.LearningRate;
            LearningRateBaseSize = preset.LearningRateBaseSize;
            LearningRateScheduler = preset.LearningRateScheduler;
            HeadLearningRateScale = preset.HeadLearningRateScale;
            LayerLearningRateDecay = preset.LayerLearningRateDecay;
            WeightDecay = preset.WeightDecay;
            LabelSmoothing = preset.LabelSmoothing;
            Dropout = preset.Dropout;
            StochasticDepth = preset.StochasticDepth;
            AuxiliaryLossWeight = preset.AuxiliaryLossWeight;
            EmaDecay = preset.EmaDecay;
            Augmentation = preset.Augmentation;
            ProgressiveResizing = preset.ProgressiveResizing;
            CropFraction = preset.CropFraction;
            Quantization = preset.Quantization;
            return this;
        }

        /// <summary>Whether trained weights are fine-tuned with the rounding of the quantized network.</summary>
        private bool IsAwareFineTuning => Quantization == QuantizationMode.Aware && PretrainedWeightsPath is not null;

        internal Options Clone() => (Options)MemberwiseClone();

        internal override void Check()
        {
            base.Check();
            Require(LabelColumnName, nameof(LabelColumnName));
            Require(FeatureColumnName, nameof(FeatureColumnName));
            if (ExampleWeightColumnName is not null)
                Require(ExampleWeightColumnName, nameof(ExampleWeightColumnName));
            Require(ScoreColumnName, nameof(ScoreColumnName));
            Require(PredictedLabelColumnName, nameof(PredictedLabelColumnName));
            if (ScoreColumnName == PredictedLabelColumnName)
                throw new ArgumentException($"ScoreColumnName and PredictedLabelColumnName are both '{ScoreColumnName}'; they must differ.");
            CheckFineTuning();
            Distillation?.Check();
            if (ImageChannels is not (null or 1 or 3))
                throw new ArgumentException($"ImageChannels is {ImageChannels}; it must be 1 or 3.");
            if (!(ValidationSetFraction is >= 0 and < 1))
                throw new ArgumentException(FormattableString.Invariant($"ValidationSetFraction is {ValidationSetFraction}; it must be 0 or more and less than 1."));
            if (CalibrateTemperature && ValidationSet is null && ValidationSetFraction == 0)
                throw new ArgumentException("CalibrateTemperature is true, but there are no validation rows to fit the temperature to. Set Options.ValidationSet, or Options.ValidationSetFraction to more than 0.");
            ArgumentOutOfRangeException.ThrowIfNegative(CacheLimit);
            if (WorkingSize is < 1)
                throw new ArgumentException($"WorkingSize is {WorkingSize}; it must be at least the longer side of the network's input, in pixels.");
            if (TrainingForm is { } form)
                RequireDefined(form, nameof(TrainingForm));
            RequireDefined(Quantization, nameof(Quantization));
            if (Quantization == QuantizationMode.Aware && TrainingForm is { } aware)
                QuantizedLayers.CheckForm(aware);
            if (QuantizationOptions is not null && Quantization == QuantizationMode.None)
                throw new ArgumentException("QuantizationOptions needs Quantization: PostTraining or Aware.");
            if (CalibrationImages < 1)
                throw new ArgumentException(FormattableString.Invariant($"CalibrationImages is {CalibrationImages}; it must be 1 or more."));
            RequireDefined(OnCancellation, nameof(OnCancellation));
            RequireDefined(OnDivergence, nameof(OnDivergence));
        }

        /// <summary>Gets the working size of whole images.</summary>
        /// <param name="height">Height of the network's input in pixels.</param>
        /// <param name="width">Width of the network's input in pixels.</param>
        /// <exception cref="ArgumentException">The option is less than the longer side of the network's input.</exception>
        internal int WorkingSizeFor(int height, int width)
        {
            int longer = Math.Max(height, width);
            return WorkingSize is not { } size ? (16 * longer + 6) / 7
                : size >= longer ? size
                : throw new ArgumentException($"WorkingSize is {size}, less than the longer side of the network's input, {longer} pixels: the images would be enlarged again. Give {longer} or more, or null for the default.");
        }

        internal TrainingOptions ToTrainingOptions(ulong seed, int height, int width) => new()
        {
            Epochs = Epochs,
            BatchSize = BatchSize,
            GradientAccumulationSteps = GradientAccumulationSteps,
            Optimizer = Optimizer,
            LearningRate = LearningRate ?? (IsAwareFineTuning ? Optimizer.DefaultLearningRate / 100 : null),
            LearningRateBaseSize = LearningRateBaseSize,
            LayerLearningRateDecay = LayerLearningRateDecay,
            LearningRateScheduler = LearningRateScheduler,
            WeightDecay = WeightDecay,
            GradientClipNorm = GradientClipNorm,
            LabelSmoothing = LabelSmoothing,
            BalancedSampling = BalancedSampling,
            ProgressiveResizing = ProgressiveResizing,
            Augmentation = Augmentation ?? new Augmentation { HorizontalFlip = true, CropPadding = Math.Min(height, width) / 8 },
            CustomL2 = CustomL2,
            Dropout = Dropout,
            StochasticDepth = StochasticDepth,
            AuxiliaryLossWeight = AuxiliaryLossWeight,
            HeadLearningRateScale = HeadLearningRateScale,
            EmaDecay = EmaDecay,
            AveragedCheckpoints = AveragedCheckpoints,
            FrozenStatisticsEpochs = FrozenStatisticsEpochs ?? (IsAwareFineTuning ? Math.Min((Epochs + 3) / 4, Epochs - 1) : 0),
            EarlyStoppingCriteria = EarlyStoppingCriteria,
            MonitoredMetric = MonitoredMetric,
            Seed = seed,
            // After a split or a filter, the key type can have values that occur in no row.
            MinimumSamplesPerClass = 0,
            CheckpointPath = CheckpointPath,
            ReturnBestOnDivergence = OnDivergence == DivergenceBehavior.ReturnBest,
        };

        private void CheckFineTuning()
        {
            if (PretrainedWeightsPath is not null && string.IsNullOrWhiteSpace(PretrainedWeightsPath))
                throw new ArgumentException("PretrainedWeightsPath is empty; it must be a file's path, or null.");
            if (FrozenStages < 0)
                throw new ArgumentException(FormattableString.Invariant($"FrozenStages is {FrozenStages}; it must be 0 or more."));
            if (PretrainedWeightsPath is null && PretrainedWeightsOptions is not null)
                throw new ArgumentException("PretrainedWeightsOptions needs PretrainedWeightsPath: it says what a file of weights does not.");
            PretrainedWeightsOptions?.Check();
            if (PretrainedWeightsPath is not null && BranchScales is not null)
                throw new ArgumentException("BranchScales cannot be given with PretrainedWeightsPath: weights of the training forms Csla and HyperSearch contain scales, and training starts from those.");
            if (PretrainedWeightsPath is null && FrozenStages > 0)
                throw new ArgumentException($"FrozenStages is {FrozenStages}, but there is no PretrainedWeightsPath: stages that are frozen at random weights learn nothing. Give a file of weights, or leave FrozenStages at 0.");
            if (PretrainedWeightsPath is null && FrozenStatisticsEpochs is { } frozen && frozen == Epochs)
                throw new ArgumentException($"FrozenStatisticsEpochs is {frozen}, the number of all epochs, but there is no PretrainedWeightsPath: a new network's batch norms have no statistics yet. Make it smaller.");
            if (PretrainedWeightsPath is null && FreezeBatchNorm)
                throw new ArgumentException("FreezeBatchNorm needs PretrainedWeightsPath: a new network's batch norms have no statistics yet.");
        }

        private static void Require(string name, string option)
        {
            if (string.IsNullOrWhiteSpace(name))
                throw new ArgumentException($"{option} is empty; it must be a column's name.");
        }
    }
}
