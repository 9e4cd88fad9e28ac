using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Networks;
using RepVgg.Quantizers;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggTrainer
{
    /// <summary>Fuses and quantizes the network that was trained.</summary>
    private QuantizedNetwork Quantize(PreparedTraining run, TrainingResult result)
    {
        var fused = DeployNetwork.FromTrainingForm(run.Network.Architecture, result.Weights, run.Features.Height, run.Features.Width, run.Normalization);
        var options = _options.QuantizationOptions ?? new QuantizationOptions { Threads = _options.NumberOfThreads };
        return _options.Quantization == QuantizationMode.Aware
            ? Quantization.FromTraining(fused, result.Weights, options)
            : Quantization.Calibrate(fused, run.ReadTrainingImages(_options.CalibrationImages, _options.NumberOfThreads, CancellationAfterTraining), options, CancellationAfterTraining);
    }

    /// <summary>Computes the logits of images with a quantized network.</summary>
    private float[][] Score(QuantizedNetwork network, ISampleSource images)
    {
        using var engine = NetworkScorer.CreateEngine(network, _options.ToScoringOptions(_host));
        float[] pixels = new float[engine.InputLength];
        var logits = new float[images.Count][];
        for (int i = 0; i < logits.Length; i++)
        {
            CancellationAfterTraining.ThrowIfCancellationRequested();
            images.Read(i, pixels);
            engine.Run(pixels, 1, logits[i] = new float[engine.OutputLength]);
        }
        return logits;
    }
}
