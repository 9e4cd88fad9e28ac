using Microsoft.ML.Data;
using RepVgg.Tool.Images;
using RepVgg.Training.Data;

namespace RepVgg.Samples.Images;

/// <summary>A row of the training and test data.</summary>
internal sealed class ImageRow
{
    /// <summary>The raw pixel values 0..255 in CHW order.</summary>
    [VectorType(1, FashionMnist.Size, FashionMnist.Size)]
    public float[] Image { get; set; } = [];

    /// <summary>Name of the class.</summary>
    public string Label { get; set; } = "";

    /// <summary>Creates the rows one at a time, when they are enumerated.</summary>
    /// <param name="samples">The images.</param>
    /// <param name="cancellation">Checked before every row.</param>
    public static IEnumerable<ImageRow> From(ISampleSource samples, CancellationToken cancellation)
    {
        for (int i = 0; i < samples.Count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            var row = new ImageRow { Image = new float[samples.Channels * samples.Height * samples.Width] };
            row.Label = FashionMnist.ClassNames[samples.Read(i, row.Image)];
            yield return row;
        }
    }
}

/// <summary>The prediction of the model for an image.</summary>
internal sealed class ImagePrediction
{
    /// <summary>Name of the predicted class.</summary>
    public string PredictedLabel { get; set; } = "";

    /// <summary>One probability per class.</summary>
    public float[] Score { get; set; } = [];
}
