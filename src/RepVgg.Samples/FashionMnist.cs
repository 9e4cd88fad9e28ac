using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Reports;
using Microsoft.ML.Runtime;
using RepVgg.Optimizers;
using RepVgg.Training;

namespace RepVgg.Samples;

/// <summary>A longer training, on 60,000 images: a run folder keeps its results, a checkpoint lets it go on where it was stopped, and a report shows what came out.</summary>
internal static class FashionMnist
{
    public static void Run(SampleOptions sample, CancellationToken cancellation)
    {
        string data = sample.Data ?? throw new FormatException("--data is missing: the folder with the IDX files of Fashion-MNIST.");
        var context = new MLContext(seed: 1);
        context.Log += (_, entry) =>
        {
            if (entry.Source.StartsWith("RepVgg", StringComparison.Ordinal) && entry.Kind != ChannelMessageKind.Trace)
                Console.WriteLine(entry.RawMessage);
        };
        var training = context.Data.LoadFromEnumerable(ImageRow.ReadFolder(data, "train"));
        var test = context.Data.LoadFromEnumerable(ImageRow.ReadFolder(data, "t10k"));

        // The folder may exist: with the checkpoint in it, the same command goes on with a run that was stopped or killed.
        var run = RunFolder.Create("fashion-mnist", sample.Output, existOk: true);
        var options = new RepVggTrainer.Options
        {
            Architecture = "RepVGG-S1",
            Epochs = sample.Epochs ?? 18,
            Optimizer = new SgdOptions(Nesterov: true),
            LearningRateScheduler = new LearningRateScheduler { WarmUpEpochs = 1 },
            WeightDecay = 5e-4f,
            Augmentation = new Augmentation { HorizontalFlip = true, CropPadding = 2, ErasingProbability = 0.25 },
            ValidationSetFraction = 0.05f,
            MonitoredMetric = TrainingMetric.Loss,
            Device = sample.Device,
            CheckpointPath = run.LastWeightsPath(".checkpoint"),
            MetricsCallback = progress =>
            {
                if (progress.EpochResult is { } epoch)
                    run.Add(epoch);
            },
            CancellationToken = cancellation,
            OnCancellation = CancellationBehavior.ReturnBest,
        };
        var pipeline = context.Transforms.Conversion.MapValueToKey("Label")
            .Append(context.MulticlassClassification.Trainers.RepVgg(options))
            .Append(context.Transforms.Conversion.MapKeyToValue("PredictedLabel"));

        Console.WriteLine("Training; Ctrl-C stops it and keeps the best model so far, and the same command goes on.");
        using var model = pipeline.Fit(training);
        var classifier = model.OfType<RepVggTransformer>().Single();
        run.AddMissing(classifier.History);
        Console.WriteLine($"The model has the weights of epoch {classifier.BestEpoch}.");
        context.Model.SaveRepVgg(model, training.Schema, run.ModelPath);
        classifier.ExportToOnnx(run.OnnxPath);
        Console.WriteLine($"The files of the run: {run.DirectoryPath}");
        if (cancellation.IsCancellationRequested)
            return;

        var evaluation = ClassificationReport.FromScoredData(model.Transform(test));
        run.WriteEvaluation(evaluation);
        new TrainingReport { Title = "Fashion-MNIST", History = classifier.History, BestEpoch = classifier.BestEpoch, Evaluation = evaluation }.Write(run.ReportPath);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Test images: accuracy {evaluation.Top1Accuracy:f4}, log-loss {evaluation.LogLoss:f4}. Open {run.ReportPath} in a browser."));
    }
}
