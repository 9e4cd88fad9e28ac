using Microsoft.ML.RepVgg.Input;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg;

/// <summary>What a training needs: the data that were read, and the network with its initial weights.</summary>
/// <param name="Backend">The backend of the network.</param>
/// <param name="Network">The network.</param>
/// <param name="Features">How the images of the feature column are read.</param>
/// <param name="Label">The label column.</param>
/// <param name="Training">The training set.</param>
/// <param name="Validation">The validation set; null for none.</param>
/// <param name="Normalization">The normalisation of the images.</param>
/// <param name="Options">The options of the training loop.</param>
/// <param name="SkippedRows">Number of rows that were skipped because they are invalid.</param>
internal sealed record PreparedTraining(
    Backend Backend, TrainingNetwork Network, FeatureInput Features, DataViewSchema.Column Label, ISampleSource Training, ISampleSource? Validation,
    Normalization Normalization, TrainingOptions Options, long SkippedRows);

/// <summary>A network in its training form, as <see cref="RepVggTrainer.Train(IDataView)"/> returns it.</summary>
/// <param name="Architecture">The architecture.</param>
/// <param name="Features">How the images of the feature column are read.</param>
/// <param name="Normalization">The normalisation of the images.</param>
/// <param name="Label">The label column.</param>
/// <param name="Result">The weights, and how training ended.</param>
/// <param name="SkippedRows">Number of rows that were skipped because they are invalid.</param>
/// <param name="Calibration">The temperature scaling, which the weights do not contain; null for none.</param>
internal sealed record TrainedNetwork(
    RepVggArchitecture Architecture, FeatureInput Features, Normalization Normalization, DataViewSchema.Column Label, TrainingResult Result, long SkippedRows, TemperatureScaling? Calibration);
