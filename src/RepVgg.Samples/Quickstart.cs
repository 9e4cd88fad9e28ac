using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.Runtime;
using RepVgg.Optimizers;
using RepVgg.Training;

namespace RepVgg.Samples;

/// <summary>The whole way of an ML.NET pipeline: train, save, export, evaluate, load and score. It takes about a minute.</summary>
internal static class Quickstart
{
    public static void Run(SampleOptions sample, CancellationToken cancellation)
    {
        string folder = Directory.CreateDirectory(sample.Output).FullName, modelPath = Path.Combine(folder, "model.zip"), onnxPath = Path.Combine(folder, "model.onnx");

        // The context has the seed of everything that is random. Its log says what is trained, where, and the result of each epoch.
        var context = new MLContext(seed: 1);
        context.Log += (_, entry) =>
        {
            if (entry.Source.StartsWith("RepVgg", StringComparison.Ordinal) && entry.Kind != ChannelMessageKind.Trace)
                Console.WriteLine(entry.RawMessage);
        };

        // The rows have pixels and the name of a class. Images of other sizes, and image files, are read by the same trainer.
        var training = context.Data.LoadFromEnumerable(ImageRow.ReadBundled("train"));
        var test = context.Data.LoadFromEnumerable(ImageRow.ReadBundled("t10k"));

        // A tenth of the training images is left out to validate each epoch, and the best weights are kept.
        var options = new RepVggTrainer.Options
        {
            Architecture = "RepVGG-S0",
            Epochs = sample.Epochs ?? 40,
            BatchSize = 50,
            Optimizer = new SgdOptions(Nesterov: true),
            LearningRateScheduler = new LearningRateScheduler { WarmUpEpochs = 1 },
            WeightDecay = 5e-4f,
            Augmentation = new Augmentation { HorizontalFlip = true, CropPadding = 2, ErasingProbability = 0.25 },
            ValidationSetFraction = 0.1f,
            MonitoredMetric = TrainingMetric.Loss,
            Device = sample.Device,
            CancellationToken = cancellation,
            OnCancellation = CancellationBehavior.ReturnBest,
        };
        var pipeline = context.Transforms.Conversion.MapValueToKey("Label")
            .Append(context.MulticlassClassification.Trainers.RepVgg(options))
            .Append(context.Transforms.Conversion.MapKeyToValue("PredictedLabel"));

        Console.WriteLine("Training; Ctrl-C stops it and keeps the best model so far.");
        using var model = pipeline.Fit(training);
        var classifier = model.OfType<RepVggTransformer>().Single();
        Console.WriteLine($"The model has the weights of epoch {classifier.BestEpoch}.");

        // model.zip is for ML.NET, model.onnx for everything else that runs ONNX.
        context.Model.SaveRepVgg(model, training.Schema, modelPath);
        classifier.ExportToOnnx(onnxPath);
        Console.WriteLine($"The pipeline for ML.NET: {modelPath}");
        Console.WriteLine($"The network as ONNX:     {onnxPath}");
        if (cancellation.IsCancellationRequested)
            return;

        var metrics = context.MulticlassClassification.Evaluate(model.Transform(test));
        Console.WriteLine();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"1,000 test images: accuracy {metrics.MicroAccuracy:f4}, log-loss {metrics.LogLoss:f4}"));
        Console.WriteLine(metrics.ConfusionMatrix.GetFormattedConfusionTable());

        // Another application loads the file. It needs only ML.NET's packages; with Microsoft.ML.RepVgg, Model.LoadRepVgg gives a faster model.
        var application = new MLContext();
        using var engine = application.Model.CreatePredictionEngine<ImageRow, Prediction>(application.Model.Load(modelPath, out _));
        Console.WriteLine("Test images, scored by the model that was loaded from the file:");
        foreach (var row in ImageRow.ReadBundled("t10k").Where((_, i) => i % 100 == 0))
        {
            var prediction = engine.Predict(row);
            string verdict = prediction.PredictedLabel == row.Label ? "" : $"  wrong, it is: {row.Label}";
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {prediction.PredictedLabel,-12} {prediction.Score.Max(),6:p1}{verdict}"));
        }
    }
}
