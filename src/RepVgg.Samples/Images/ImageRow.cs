using Microsoft.ML.Data;
using RepVgg.Data;

namespace RepVgg.Samples.Images;

/// <summary>One row of the training and test data.</summary>
internal sealed class ImageRow
{
    /// <summary>Raw values 0..255; channels, height, width.</summary>
    [VectorType(1, FashionMnist.Size, FashionMnist.Size)]
    public float[] Image { get; set; } = [];

    /// <summary>The class's name.</summary>
    public string Label { get; set; } = "";

    /// <summary>Makes the rows one at a time, as they are read.</summary>
    public static IEnumerable<ImageRow> From(ISampleSource samples)
    {
        for (int i = 0; i < samples.Count; i++)
        {
            var row = new ImageRow { Image = new float[samples.Channels * samples.Height * samples.Width] };
            row.Label = FashionMnist.ClassNames[samples.Read(i, row.Image)];
            yield return row;
        }
    }
}

/// <summary>What the model says of an image.</summary>
internal sealed class ImagePrediction
{
    /// <summary>The predicted class's name.</summary>
    public string PredictedLabel { get; set; } = "";

    /// <summary>One probability per class.</summary>
    public float[] Score { get; set; } = [];
}
