using System.Drawing;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Segmentation;
using Microsoft.ML.Runtime;
using RepVgg.Training;

namespace Microsoft.ML;

/// <summary>Extension method that adds semantic segmentation to <see cref="MLContext"/>.</summary>
public static class SegmentationCatalogExtensions
{
    /// <summary>Gets the trainers and the evaluation for semantic segmentation.</summary>
    /// <param name="context">The context.</param>
    public static SegmentationCatalog Segmentation(this MLContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        return new SegmentationCatalog(context);
    }
}

/// <summary>Trainers and evaluation for semantic segmentation: every pixel of an image gets a class. Created by <c>mlContext.Segmentation()</c>.</summary>
public sealed class SegmentationCatalog
{
    /// <summary>Label of pixels without one, by convention.</summary>
    private const byte Ignored = byte.MaxValue;

    internal SegmentationCatalog(MLContext context) => Trainers = new SegmentationTrainers(context);

    /// <summary>The trainers.</summary>
    public SegmentationTrainers Trainers { get; }

    /// <summary>Compares predicted masks with the labels: one confusion matrix over all labelled pixels of the data.</summary>
    /// <remarks>A predicted mask of another size than the labels is resized to theirs, each pixel by its nearest neighbour, so that the metrics are those of the labels' size. Rows without a prediction are left out.</remarks>
    /// <param name="data">The scored data.</param>
    /// <param name="labelColumnName">Name of the column with the masks: the content of PNG files, or labels with dimensions (height, width), as Vector&lt;Byte&gt;.</param>
    /// <param name="predictedMaskColumnName">Name of the column with the predicted classes, Vector&lt;Byte&gt; with dimensions (height, width).</param>
    /// <param name="ignoredLabel">The label of pixels without one.</param>
    /// <param name="maskColors">The label of each colour, for masks in colours; null for masks of values.</param>
    /// <returns>Mean IoU, pixel accuracy, the IoU of each class, and the counts.</returns>
    /// <exception cref="ArgumentException">A column is missing or has another type.</exception>
    /// <exception cref="InvalidOperationException">A mask cannot be read, or no pixel has a label.</exception>
    public SegmentationMetrics Evaluate(
        IDataView data, string labelColumnName = "Label", string predictedMaskColumnName = "PredictedMask", byte ignoredLabel = Ignored, IReadOnlyDictionary<Color, byte>? maskColors = null)
    {
        ArgumentNullException.ThrowIfNull(data);
        MaskColorTable.Check(maskColors);
        var labels = MaskedRows.FindMasks(data.Schema, labelColumnName);
        var predictions = data.Schema.GetColumnOrNull(predictedMaskColumnName) ?? throw new ArgumentException($"Could not find predicted mask column '{predictedMaskColumnName}'", nameof(data));
        if (predictions.Type is not VectorDataViewType { Dimensions: [> 0 and var height, > 0 and var width] } vector || vector.ItemType != NumberDataViewType.Byte)
            throw new ArgumentException($"Schema mismatch for predicted mask column '{predictedMaskColumnName}': expected Vector<Byte> with the dimensions (height, width), got {predictions.Type}.", nameof(data));
        var files = ImageFiles.Find(data, labelColumnName);
        using var cursor = data.GetRowCursorSet([labels, predictions, .. files.CandidatesIn(data.Schema)], 1)[0];
        var (getLabels, getPrediction) = (cursor.GetGetter<VBuffer<byte>>(labels), cursor.GetGetter<VBuffer<byte>>(predictions));
        var location = new RowLocation(cursor, labelColumnName, files);
        var counts = new ConfusionCounts();
        var (content, predicted) = (default(VBuffer<byte>), default(VBuffer<byte>));
        while (cursor.MoveNext())
        {
            getLabels(ref content);
            getPrediction(ref predicted);
            try
            {
                var (mask, rows, columns) = MaskedRows.ReadLabels(PixelReader.AllValues(content), labels.Type, ImageDecoding.LargestMaximum, maskColors);
                counts.Add(mask, MaskResizing.Resize(PixelReader.AllValues(predicted), height, width, rows, columns), ignoredLabel);
            }
            catch (ImageException error)
            {
                throw location.Invalid(error.Message, inner: error);
            }
        }
        return counts.ToMetrics();
    }

    /// <summary>The trainers for semantic segmentation.</summary>
    public sealed class SegmentationTrainers
    {
        private readonly MLContext _context;

        internal SegmentationTrainers(MLContext context) => _context = context;

        /// <summary>Trains a PSPNet with a RepVGG backbone, and fuses it into plain convolutions.</summary>
        /// <param name="labelColumnName">Name of the label column: the content of PNG files, or labels with dimensions (height, width), as Vector&lt;Byte&gt;.</param>
        /// <param name="featureColumnName">Name of the feature column: images of any size (MLImage), or the content of image files (Vector&lt;Byte&gt;).</param>
        /// <param name="predictedMaskColumnName">Name of the output column with the class of every pixel.</param>
        /// <param name="validationSet">Data to validate on after every epoch; null sets a tenth of the training data aside.</param>
        /// <returns>The estimator.</returns>
        public RepVggSegmentationTrainer RepVggPsp(string labelColumnName = "Label", string featureColumnName = "Features", string predictedMaskColumnName = "PredictedMask", IDataView? validationSet = null) =>
            RepVggPsp(new RepVggSegmentationTrainer.Options
            {
                LabelColumnName = labelColumnName,
                FeatureColumnName = featureColumnName,
                PredictedMaskColumnName = predictedMaskColumnName,
                ValidationSet = validationSet,
            });

        /// <summary>Trains a PSPNet with a RepVGG backbone, and fuses it into plain convolutions.</summary>
        /// <param name="options">Network, data columns and hyperparameters of the training.</param>
        /// <returns>The estimator.</returns>
        /// <exception cref="ArgumentException">An option is out of range.</exception>
        public RepVggSegmentationTrainer RepVggPsp(RepVggSegmentationTrainer.Options options)
        {
            ArgumentNullException.ThrowIfNull(options);
            return new RepVggSegmentationTrainer(_context, options);
        }
    }
}
