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
/// <param name="Images">All images that were read, of which the training set is a part.</param>
internal sealed record PreparedTraining(
    Backend Backend, TrainingNetwork Network, FeatureInput Features, DataViewSchema.Column Label, ISampleSource Training, ISampleSource? Validation,
    Normalization Normalization, TrainingOptions Options, long SkippedRows, TrainingImages Images)
{
    /// <summary>Reads some of the training images as the network reads them, evenly distributed. The training set cannot be used afterwards.</summary>
    /// <param name="maximum">Maximum number of images.</param>
    /// <param name="threads">Maximum number of threads; 0 for all cores.</param>
    /// <param name="cancellation">Checked at every image.</param>
    /// <returns>The pixels of each image, [channels, height, width].</returns>
    public float[][] ReadTrainingImages(int maximum, int threads, CancellationToken cancellation)
    {
        int count = Math.Min(maximum, Training.Count);
        var chosen = Enumerable.Range(0, count).Select(i => (int)((long)i * Training.Count / count));
        var part = new SampleSubset(Images.Samples, Training is SampleSubset subset ? chosen.Select(i => subset.Indices[i]) : chosen);
        var images = Images.AtNetworkSize(part, cancellation, threads);
        var pixels = new float[count][];
        for (int i = 0; i < count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            images.Read(i, pixels[i] = new float[Features.Length]);
        }
        return pixels;
    }
}

/// <summary>A network in its training form, as <see cref="RepVggTrainer.Train(IDataView)"/> returns it.</summary>
/// <param name="Architecture">The architecture.</param>
/// <param name="Features">How the images of the feature column are read.</param>
/// <param name="Normalization">The normalisation of the images.</param>
/// <param name="Label">The label column.</param>
/// <param name="Result">The weights, and how training ended.</param>
/// <param name="SkippedRows">Number of rows that were skipped because they are invalid.</param>
/// <param name="Calibration">The temperature scaling, which the weights do not contain; null for none.</param>
/// <param name="Quantized">The fused and quantized network, without the temperature; null for a network in floating point.</param>
internal sealed record TrainedNetwork(
    RepVggArchitecture Architecture, FeatureInput Features, Normalization Normalization, DataViewSchema.Column Label, TrainingResult Result, long SkippedRows, TemperatureScaling? Calibration,
    QuantizedNetwork? Quantized);
