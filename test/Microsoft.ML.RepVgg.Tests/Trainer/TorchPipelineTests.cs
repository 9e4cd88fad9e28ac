using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

public class TorchPipelineTests
{
    [TorchSharpFact]
    public void An_ml_net_pipeline_trains_on_libtorch_and_scores_without_it()
    {
        var context = new MLContext(seed: 1);
        var log = new List<string>();
        context.Log += (_, message) => log.Add(message.Message);
        var options = Stripes.Options();
        options.Device = TrainingDevice.TorchCpu;
        options.NumberOfThreads = 1;
        options.EmaDecay = 0.9f;
        using var model = Stripes.Pipeline(context, options).Fit(context.Data.LoadFromEnumerable(Stripes.Rows(150, seed: 1)));
        Assert.Contains(log, text => text.Contains("on TorchSharp 0.", StringComparison.Ordinal));
        var metrics = context.MulticlassClassification.Evaluate(model.Transform(context.Data.LoadFromEnumerable(Stripes.Rows(75, seed: 2))));
        Assert.True(metrics.MicroAccuracy > 0.95, $"accuracy {metrics.MicroAccuracy}");
    }
}
