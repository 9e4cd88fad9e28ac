using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggFeaturizingEstimator
{
    /// <summary>The network, the stage whose features are returned, and the image preprocessing. The estimator copies the options, so later changes have no effect on it.</summary>
    public sealed class Options : RepVggImageOptions
    {
        /// <summary>Name of the output column: a vector of Single.</summary>
        public string OutputColumnName { get; set; } = "Features";

        /// <summary>
        /// Name of the input column: images of any size (MLImage), the content of image files (Vector&lt;Byte&gt;), or Vector&lt;Single&gt; with dimensions
        /// (channels, height, width), or flat with the size given by the options,
        /// planar, colours in the order R, G, B. Null is <see cref="OutputColumnName"/>.
        /// </summary>
        public string? InputColumnName { get; set; }

        /// <summary>File with the network's weights: PyTorch (.pth), safetensors or ONNX, in the training form, which is then fused, or the deploy form. Set exactly one of this property and <see cref="Network"/>.</summary>
        public string? WeightsPath { get; set; }

        /// <summary>
        /// What the file of <see cref="WeightsPath"/> does not say, such as the epsilon of its batch norms, its strides or the entry
        /// of a checkpoint. The image size and <see cref="Normalization"/> of these options go before its values.
        /// Null for nothing; the log states what is assumed.
        /// </summary>
        public WeightsFileOptions? WeightsOptions { get; set; }

        /// <summary>The fused network, such as that of a <see cref="RepVggTransformer"/>. Set exactly one of this property and <see cref="WeightsPath"/>.</summary>
        public DeployNetwork? Network { get; set; }

        /// <summary>Name of the stage whose output is taken, e.g. <c>stage3</c>; null for the last.</summary>
        public string? Stage { get; set; }

        /// <summary>Whether the feature map of the stage is averaged over height and width.</summary>
        public FeaturePooling Pooling { get; set; } = FeaturePooling.GlobalAverage;

        /// <summary>
        /// Mean and scale per channel, in pixel units, that the network was trained with. Null uses the normalization of the
        /// network or its file; if the file has none, <see cref="Normalization.ImageNet"/> for three channels. It must not contradict the graph of an ONNX file.
        /// </summary>
        public Normalization? Normalization { get; set; }

        internal string InputName => InputColumnName ?? OutputColumnName;

        internal Options Clone() => (Options)MemberwiseClone();

        internal override void Check()
        {
            base.Check();
            if (string.IsNullOrWhiteSpace(OutputColumnName))
                throw new ArgumentException("OutputColumnName is empty; it must be a column's name.");
            if (InputColumnName is not null && string.IsNullOrWhiteSpace(InputColumnName))
                throw new ArgumentException("InputColumnName is empty; it must be a column's name, or null for the output column's.");
            if (Network is null == string.IsNullOrWhiteSpace(WeightsPath))
                throw new ArgumentException("Give WeightsPath or Network: exactly one of the two.");
            if (Network is not null && WeightsOptions is not null)
                throw new ArgumentException("WeightsOptions needs WeightsPath: it says what a file of weights does not.");
            WeightsOptions?.Check();
            RequireDefined(Pooling, nameof(Pooling));
            if (TestTimeAugmentation != TestTimeAugmentation.None)
                throw new ArgumentException($"TestTimeAugmentation is {TestTimeAugmentation}, but it is a mean of probabilities, which a featurizer does not have. Set it to None.");
        }
    }
}
