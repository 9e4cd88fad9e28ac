using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Interop;

namespace Microsoft.ML;

/// <summary>Adds RepVGG to <see cref="MLContext"/>'s catalogs.</summary>
public static class RepVggCatalog
{
    /// <summary>Trains a RepVGG image classifier and fuses it into a plain network of 3x3 convolutions.</summary>
    /// <param name="catalog">The trainers of <c>mlContext.MulticlassClassification</c>.</param>
    /// <param name="labelColumnName">Name of the label column: a key of UInt32, as <c>MapValueToKey</c> makes it.</param>
    /// <param name="featureColumnName">Name of the feature column: images of any size, or Vector&lt;Single&gt; with dimensions (channels, height, width).</param>
    /// <param name="scoreColumnName">Name of the output column with one probability per class.</param>
    /// <param name="predictedLabelColumnName">Name of the output column with the predicted key.</param>
    /// <param name="validationSet">Data to validate on after every epoch; null sets a tenth of the training data aside.</param>
    /// <returns>The estimator.</returns>
    public static RepVggTrainer RepVgg(
        this MulticlassClassificationCatalog.MulticlassClassificationTrainers catalog,
        string labelColumnName = "Label",
        string featureColumnName = "Features",
        string scoreColumnName = "Score",
        string predictedLabelColumnName = "PredictedLabel",
        IDataView? validationSet = null) => catalog.RepVgg(new RepVggTrainer.Options
        {
            LabelColumnName = labelColumnName,
            FeatureColumnName = featureColumnName,
            ScoreColumnName = scoreColumnName,
            PredictedLabelColumnName = predictedLabelColumnName,
            ValidationSet = validationSet,
        });

    /// <summary>Trains a RepVGG image classifier and fuses it into a plain network of 3x3 convolutions.</summary>
    /// <param name="catalog">The trainers of <c>mlContext.MulticlassClassification</c>.</param>
    /// <param name="options">What is trained and how.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">An option is out of range, or the architecture is unknown.</exception>
    public static RepVggTrainer RepVgg(this MulticlassClassificationCatalog.MulticlassClassificationTrainers catalog, RepVggTrainer.Options options)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(options);
        return new RepVggTrainer(CatalogEnvironment.Find(catalog), options);
    }
}
