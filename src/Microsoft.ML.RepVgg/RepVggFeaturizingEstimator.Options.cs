using System.Drawing;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggFeaturizingEstimator
{
    /// <summary>The network, the stage whose features are returned, and the image preprocessing. The estimator copies the options, so later changes have no effect on it.</summary>
    public sealed class Options
    {
        /// <summary>Name of the output column: a vector of Single.</summary>
        public string OutputColumnName { get; set; } = "Features";

        /// <summary>
        /// Name of the input column: images of any size (MLImage), the content of image files (Vector&lt;Byte&gt;), or Vector&lt;Single&gt; with dimensions
        /// (channels, height, width), or flat with the size given by <see cref="ImageHeight"/> and <see cref="ImageWidth"/>,
        /// planar, colours in the order R, G, B. Null is <see cref="OutputColumnName"/>.
        /// </summary>
        public string? InputColumnName { get; set; }

        /// <summary>File with the network's weights: PyTorch (.pth), safetensors or ONNX, in the training form, which is then fused, or the deploy form. Set exactly one of this property and <see cref="Network"/>.</summary>
        public string? WeightsPath { get; set; }

        /// <summary>
        /// What the file of <see cref="WeightsPath"/> does not say, such as the epsilon of its batch norms, its strides or the entry
        /// of a checkpoint. <see cref="ImageHeight"/>, <see cref="ImageWidth"/> and <see cref="Normalization"/> go before its values.
        /// Null for nothing; the log states what is assumed.
        /// </summary>
        public WeightsFileOptions? WeightsOptions { get; set; }

        /// <summary>The fused network, such as that of a <see cref="RepVggTransformer"/>. Set exactly one of this property and <see cref="WeightsPath"/>.</summary>
        public DeployNetwork? Network { get; set; }

        /// <summary>Name of the stage whose output is taken, e.g. <c>stage3</c>; null for the last.</summary>
        public string? Stage { get; set; }

        /// <summary>Whether the feature map of the stage is averaged over height and width.</summary>
        public FeaturePooling Pooling { get; set; } = FeaturePooling.GlobalAverage;

        /// <summary>Image height in pixels. Null uses that of the input column's type; for images and flat vectors, that of the network or its file, or the architecture's default.</summary>
        public int? ImageHeight { get; set; }

        /// <summary>Image width in pixels. Null uses that of the input column's type; for images and flat vectors, that of the network or its file, or the architecture's default.</summary>
        public int? ImageWidth { get; set; }

        /// <summary>How images of another size are resized to the network's input size.</summary>
        public ImageResizingEstimator.ResizingKind Resizing { get; set; } = ImageResizingEstimator.ResizingKind.IsoCrop;

        /// <summary>Which part of the image is kept if resizing crops it.</summary>
        public ImageResizingEstimator.Anchor CropAnchor { get; set; } = ImageResizingEstimator.Anchor.Center;

        /// <summary>The colour on which transparent images are put, and the colour of the pixels that <see cref="ImageResizingEstimator.ResizingKind.IsoPad"/> adds. Its alpha value is not used. An image without any pixel that is not fully transparent counts as opaque.</summary>
        public Color BackgroundColor { get; set; } = Color.White;

        /// <summary>
        /// Whether images in files or byte vectors are turned or mirrored as their EXIF orientation says. It applies to columns of
        /// bytes, which this library decodes; images of ML.NET's LoadImages have the orientation in which they are stored.
        /// </summary>
        public bool ApplyExifOrientation { get; set; } = true;

        /// <summary>Largest number of pixels, width times height, of an image. Larger ones are invalid. For columns of bytes it is checked before an image is decoded.</summary>
        public long MaximumImagePixels { get; set; } = 100_000_000;

        /// <summary>
        /// Mean and scale per channel, in pixel units, that the network was trained with. Null uses the normalization of the
        /// network or its file; if the file has none, <see cref="Normalization.ImageNet"/> for three channels. It must not contradict the graph of an ONNX file.
        /// </summary>
        public Normalization? Normalization { get; set; }

        /// <summary>Number of threads; 0 uses all cores. The features do not depend on it.</summary>
        public int NumberOfThreads { get; set; }

        /// <summary>How rows with an invalid image are handled. With <see cref="InvalidRowHandling.Skip"/>, the features of such a row are NaN.</summary>
        public InvalidRowHandling InvalidRows { get; set; } = InvalidRowHandling.Error;

        /// <summary>
        /// Maximum number of rows that are read before their features are computed, 1 or more; 0 uses up to 32. With 1, every row
        /// is computed before the next one is read, which a source needs that waits for a result before it gives the next row.
        /// </summary>
        public int ScoringBatchSize { get; set; }

        internal string InputName => InputColumnName ?? OutputColumnName;

        internal Options Clone() => (Options)MemberwiseClone();

        internal void Check()
        {
            if (string.IsNullOrWhiteSpace(OutputColumnName))
                throw new ArgumentException("OutputColumnName is empty; it must be a column's name.");
            if (InputColumnName is not null && string.IsNullOrWhiteSpace(InputColumnName))
                throw new ArgumentException("InputColumnName is empty; it must be a column's name, or null for the output column's.");
            if (Network is null == string.IsNullOrWhiteSpace(WeightsPath))
                throw new ArgumentException("Give WeightsPath or Network: exactly one of the two.");
            if (Network is not null && WeightsOptions is not null)
                throw new ArgumentException("WeightsOptions needs WeightsPath: it says what a file of weights does not.");
            WeightsOptions?.Check();
            if (!Enum.IsDefined(Pooling))
                throw new ArgumentException($"Pooling is {(int)Pooling}, which is not a value of FeaturePooling.");
            if (ImageHeight is <= 0 || ImageWidth is <= 0)
                throw new ArgumentException($"The image size is {ImageHeight} x {ImageWidth}; both must be 1 or more.");
            ArgumentOutOfRangeException.ThrowIfNegative(NumberOfThreads);
            ArgumentOutOfRangeException.ThrowIfNegative(ScoringBatchSize);
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaximumImagePixels);
            if (!Enum.IsDefined(InvalidRows))
                throw new ArgumentException($"InvalidRows is {(int)InvalidRows}, which is not a value of InvalidRowHandling.");
        }
    }
}
