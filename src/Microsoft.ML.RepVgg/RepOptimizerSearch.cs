using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.TorchSharp;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg;

/// <summary>Finds the scales of RepOptimizer for an architecture: trains the network of the training form HyperSearch, whose branches have trained scales, and returns its scales.</summary>
/// <remarks>
/// Source: Ding et al., "Re-parameterizing Your Optimizers rather than Architectures", ICLR 2023, section 3.3. The search needs a small set of labelled images only,
/// which may be others than those of the training afterwards: the authors searched on CIFAR-100 at 32 x 32 pixels for networks that they trained on ImageNet.
/// Strides, depths and widths stay those of the architecture, so the accuracy of the search is low, and says nothing about the
/// scales. The kernels that the search trains are not used afterwards. To use the scales, train the same architecture in the form Plain with <see cref="RepOptimizerOptions"/>.
/// </remarks>
public static class RepOptimizerSearch
{
    private const int ReferenceBatch = 256;
    private const int SearchImageSize = 32;

    /// <summary>Searches scales.</summary>
    /// <param name="mlContext">The context, whose log receives the progress, and whose device settings apply as in training.</param>
    /// <param name="data">Labelled images, in the columns that the options name.</param>
    /// <param name="options">The architecture, the data columns and the hyperparameters.</param>
    /// <returns>The scales.</returns>
    /// <exception cref="ArgumentException">An option is out of range or does not fit the data, a column is missing or of the wrong type, or there are fewer than two classes.</exception>
    /// <exception cref="IOException">The scales or a checkpoint cannot be written; both are checked before the search.</exception>
    /// <exception cref="InvalidOperationException">A row is invalid, there is no valid row, all rows have the same label, or the checkpoint belongs to another run.</exception>
    /// <exception cref="InvalidDataException">The checkpoint is damaged.</exception>
    /// <exception cref="TrainingDivergedException">The search diverged; a smaller learning rate can help.</exception>
    /// <exception cref="DeviceUnavailableException">The requested device cannot be used, and MLContext.FallbackToCpu is false.</exception>
    /// <exception cref="InsufficientMemoryException">The device does not have enough memory for the network and a batch.</exception>
    /// <exception cref="OperationCanceledException">The search was cancelled.</exception>
    public static RepOptimizerScales Run(MLContext mlContext, IDataView data, Options options)
    {
        ArgumentNullException.ThrowIfNull(mlContext);
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(options);
        options.Check();
        if (options.ScalesPath is not null)
            RepOptimizerScales.CheckWritable(options.ScalesPath);
        bool isImage = data.Schema.GetColumnOrNull(options.FeatureColumnName) is { } column && FeatureInput.IsImage(column.Type);
        var trained = new RepVggTrainer(mlContext, options.ToTrainerOptions(isImage)).Train(data);
        var scales = RepOptimizerScales.FromState(trained.Result.Weights);
        if (options.ScalesPath is { } path)
            scales.Save(path);
        return scales;
    }

    /// <summary>Options of <see cref="Run"/>. The defaults are those of the published searches.</summary>
    public sealed class Options : RepVggImageOptions
    {
        /// <summary>The architecture that is to be trained with RepOptimizer, in any training form; null is not allowed.</summary>
        public required RepVggArchitecture Architecture { get; set; }

        /// <summary>File to which the scales are written; null for none. The extension selects the format: .pth and .pt for PyTorch's, .safetensors.</summary>
        public string? ScalesPath { get; set; }

        /// <summary>Name of the label column, as <see cref="RepVggTrainer.Options.LabelColumnName"/>.</summary>
        public string LabelColumnName { get; set; } = "Label";

        /// <summary>
        /// Name of the feature column, as <see cref="RepVggTrainer.Options.FeatureColumnName"/>. If it contains images and no image size is given, they are resized to 32 x 32
        /// pixels, or to the smallest size that the strides of the architecture allow.
        /// </summary>
        public string FeatureColumnName { get; set; } = "Features";

        /// <summary>Number of colour channels of a column of images: 3 (R, G, B) or 1 (grey); null is 3.</summary>
        public int? ImageChannels { get; set; }

        /// <summary>Mean and scale per channel, in pixel units. Null computes mean and standard deviation of the images.</summary>
        public Normalization? Normalization { get; set; }

        /// <summary>Number of passes over the images; the published searches made 240 over 50,000 images.</summary>
        public int Epochs { get; set; } = 240;

        /// <summary>Number of images per step.</summary>
        public int BatchSize { get; set; } = 128;

        /// <summary>Peak learning rate; null is 0.1 * <see cref="BatchSize"/> / 256.</summary>
        public float? LearningRate { get; set; }

        /// <summary>How the learning rate changes; null is a cosine decay after a linear increase over a twenty-fourth of the epochs, 10 of 240.</summary>
        public LearningRateScheduler? LearningRateScheduler { get; set; }

        /// <summary>Weight decay of the kernels and of the scales of the identity branches. It does not apply to the other scales.</summary>
        public float WeightDecay { get; set; } = 4e-5f;

        /// <summary>Maximum L2 norm of the gradients of all weights together; null for none.</summary>
        public float? GradientClipNorm { get; set; } = 5;

        /// <summary>Label smoothing: the fraction of the target probability that is distributed evenly over all classes.</summary>
        public float LabelSmoothing { get; set; } = 0.1f;

        /// <summary>Random augmentation of the images; by default horizontal flips, and crops after padding by 4 pixels.</summary>
        public Augmentation Augmentation { get; set; } = new() { HorizontalFlip = true, CropPadding = 4 };

        /// <summary>Callback that receives the progress after every batch, on the thread of the search.</summary>
        public Action<TrainingProgress>? MetricsCallback { get; set; }

        /// <summary>Seed of the initial weights, shuffling and augmentation; null draws one from the MLContext's random numbers.</summary>
        public int? Seed { get; set; }

        /// <summary>On a GPU, computes with activations in bfloat16, which is faster and needs less memory.</summary>
        public bool Bfloat16 { get; set; }

        /// <summary>The device to search on.</summary>
        public TrainingDevice Device { get; set; } = TrainingDevice.Auto;

        /// <summary>Maximum memory for the images that are read, in bytes, as <see cref="RepVggTrainer.Options.CacheLimit"/>.</summary>
        public long CacheLimit { get; set; } = SampleCache.DefaultMemoryLimit;

        /// <summary>Path of the checkpoint file, which is written after every epoch, and from which a search with the same options and data resumes; null for none.</summary>
        public string? CheckpointPath { get; set; }

        /// <summary>Token that cancels the search.</summary>
        public CancellationToken CancellationToken { get; set; }

        internal override void Check()
        {
            base.Check();
            if (Architecture is null)
                throw new ArgumentException("Architecture is null; the scales are those of an architecture, so it must be given.");
            if (Augmentation is null)
                throw new ArgumentException("Augmentation is null; it must be given (Augmentation.None for none).");
        }

        internal RepVggTrainer.Options ToTrainerOptions(bool isImage)
        {
            bool setsSize = isImage && ImageHeight is null && ImageWidth is null;
            int side = Math.Max(SearchImageSize, Architecture.TotalStride);
            return new RepVggTrainer.Options
            {
                Architecture = Architecture with { TrainingForm = TrainingForm.HyperSearch },
                LabelColumnName = LabelColumnName,
                FeatureColumnName = FeatureColumnName,
                ImageChannels = ImageChannels,
                ImageHeight = setsSize ? side : ImageHeight,
                ImageWidth = setsSize ? side : ImageWidth,
                Resizing = Resizing,
                CropAnchor = CropAnchor,
                CropFraction = CropFraction,
                BackgroundColor = BackgroundColor,
                ApplyExifOrientation = ApplyExifOrientation,
                MaximumImagePixels = MaximumImagePixels,
                InvalidRows = InvalidRows,
                NumberOfThreads = NumberOfThreads,
                Normalization = Normalization,
                Epochs = Epochs,
                BatchSize = BatchSize,
                Optimizer = new SgdOptions(Momentum: 0.9f, Nesterov: true),
                LearningRate = LearningRate ?? 0.1f * BatchSize / ReferenceBatch,
                LearningRateScheduler = LearningRateScheduler ?? new LearningRateScheduler { WarmUpEpochs = Epochs / 24.0 },
                WeightDecay = WeightDecay,
                GradientClipNorm = GradientClipNorm,
                LabelSmoothing = LabelSmoothing,
                Augmentation = Augmentation,
                ValidationSetFraction = 0,
                MetricsCallback = MetricsCallback,
                Seed = Seed,
                Bfloat16 = Bfloat16,
                Device = Device,
                CacheLimit = CacheLimit,
                CheckpointPath = CheckpointPath,
                CancellationToken = CancellationToken,
            };
        }
    }
}
