using System.Diagnostics;
using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using Microsoft.ML.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Samples.Images;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Workflow;
using RepVgg.Training;
using RepVgg.Training.Data;
using Spectre.Console;

namespace RepVgg.Samples.Workflow;

/// <summary>The complete workflow of an ML.NET pipeline: train, save, export, evaluate, load in a new MLContext and score.</summary>
internal static class Classification
{
    private const int ScoredImages = 10;

    /// <remarks>
    /// Ctrl-C stops training at the next batch, and the best model so far is saved; later it stops evaluation and scoring at the next
    /// row. The files are written completely, and before the evaluation, so that no signal loses the model.
    /// </remarks>
    public static int Run(ISampleSource training, ISampleSource test, Recipe recipe, Arguments arguments, Interrupt interrupt) =>
        interrupt.Defer(() => RunDeferred(training, test, recipe, arguments, interrupt));

    private static int RunDeferred(ISampleSource training, ISampleSource test, Recipe recipe, Arguments arguments, Interrupt interrupt)
    {
        string folder = Path.GetFullPath(arguments.Text("out") ?? "output");
        OutputFolder.Prepare(folder);
        var context = new MLContext(arguments.Integer("seed", 0) ?? 1);
        var trainingRows = context.Data.LoadFromEnumerable(ImageRow.From(training, interrupt.Token));
        var testRows = context.Data.LoadFromEnumerable(ImageRow.From(test, interrupt.Token));

        context.Log += (_, entry) => ShowDevice(entry);

        var options = recipe.ToOptions(arguments);
        options.CancellationToken = interrupt.Token;
        Console.WriteLine(Invariant($"Training {recipe.Architecture} on {training.Count:n0} images of {training.Width}x{training.Height} pixels, {training.Classes} classes, {recipe.Epochs} epochs. Ctrl-C stops and keeps the best model so far."));

        if (Train(context, trainingRows, options, interrupt) is not { } model)
            return interrupt.ExitCode;
        using var classifier = model.OfType<RepVggTransformer>().Single();
        if (classifier.StopReason == StopReason.Cancelled)
            Console.WriteLine($"Stopped. The model is the best so far, of epoch {classifier.BestEpoch}.");

        string modelPath = Path.Combine(folder, "model.zip"), onnxPath = Path.Combine(folder, "model.onnx");
        context.Model.SaveRepVgg(model, trainingRows.Schema, modelPath);
        classifier.ExportToOnnx(onnxPath);
        try
        {
            interrupt.Token.ThrowIfCancellationRequested();
            Evaluate(context, model, classifier.Labels, testRows, test.Count);
            Score(modelPath, test, interrupt.Token);
        }
        catch (Exception error) when (interrupt.IsCauseOf(error))
        {
            Console.WriteLine("Interrupted: the model is saved, but not evaluated and scored to the end.");
        }

        Console.WriteLine();
        Console.WriteLine($"The pipeline for ML.NET: {modelPath}");
        Console.WriteLine($"The network as ONNX:     {onnxPath}");
        return interrupt.ExitCode;
    }

    /// <summary>Prints the trainer's log messages except those of the epochs: the device, the reason why no GPU is used, and warnings.</summary>
    private static void ShowDevice(LoggingEventArgs entry)
    {
        bool isTrainers = entry.Source.StartsWith("RepVgg;", StringComparison.Ordinal);
        if (isTrainers && (entry.Kind == ChannelMessageKind.Warning || (entry.Kind == ChannelMessageKind.Info && !entry.RawMessage.StartsWith("Epoch ", StringComparison.Ordinal))))
            AnsiConsole.WriteLine(entry.RawMessage);
    }

    /// <returns>The fitted pipeline; null if training was stopped before the first epoch was complete.</returns>
    private static TransformerChain<ITransformer>? Train(MLContext context, IDataView rows, RepVggTrainer.Options options, Interrupt interrupt)
    {
        long start = Stopwatch.GetTimestamp();
        try
        {
            var model = TrainingDisplay.Run(report =>
            {
                options.MetricsCallback = report;
                var pipeline = context.Transforms.Conversion.MapValueToKey("Label")
                    .Append(context.MulticlassClassification.Trainers.RepVgg(options))
                    .Append<ITransformer>(context.Transforms.Conversion.MapKeyToValue("PredictedLabel"));
                return pipeline.Fit(rows);
            });
            Console.WriteLine(Invariant($"Trained in {Stopwatch.GetElapsedTime(start).TotalSeconds:f1} s."));
            return model;
        }
        catch (Exception error) when (interrupt.IsCauseOf(error))
        {
            Console.WriteLine("Stopped before the first epoch was complete: there is no model yet, and nothing was written.");
            return null;
        }
    }

    private static void Evaluate(MLContext context, ITransformer model, IReadOnlyList<string> labels, IDataView rows, int count)
    {
        long start = Stopwatch.GetTimestamp();
        var metrics = context.MulticlassClassification.Evaluate(model.Transform(rows));
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Console.WriteLine();
        Console.WriteLine(Invariant($"{count:n0} test images: accuracy {metrics.MicroAccuracy:f4}, log-loss {metrics.LogLoss:f4} ({count / seconds:n0} images/s)."));
        ConfusionTable.Write(Console.Out, labels, metrics.ConfusionMatrix.Counts);
    }

    /// <summary>Loads the model file in a new MLContext, as another program would, and scores single images.</summary>
    private static void Score(string modelPath, ISampleSource test, CancellationToken cancellation)
    {
        var fresh = new MLContext();
        var loaded = fresh.Model.Load(modelPath, out _);
        using var engine = fresh.Model.CreatePredictionEngine<ImageRow, ImagePrediction>(loaded);
        Console.WriteLine();
        Console.WriteLine($"{ScoredImages} test images, scored by the model loaded from {Path.GetFileName(modelPath)}:");
        foreach (var row in ImageRow.From(new SampleSubset(test, Enumerable.Range(0, ScoredImages).Select(i => i * test.Count / ScoredImages)), cancellation))
        {
            var prediction = engine.Predict(row);
            string verdict = prediction.PredictedLabel == row.Label ? "" : $"  wrong, it is: {row.Label}";
            Console.WriteLine(Invariant($"  {prediction.PredictedLabel,-12} {prediction.Score.Max(),6:p1}{verdict}"));
        }
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
