using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Reports;
using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Workflow;
using RepVgg.Training;
using RepVgg.Weights.Safetensors;

namespace RepVgg.Tool.Classification;

/// <summary>Trains a classifier on a folder of images, and writes a run folder with the model and a report.</summary>
internal static class TrainCommand
{
    private const int LargestThumbnail = 256 * 1024, AugmentedImages = 18;

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        .. TrainingSetup.CommandLineOptions,
        new("name", "NAME", "name of the run folder (default: train, train2, ...)"),
        new("output", "DIR", "folder of the run folders (default: runs)"),
        new("exist-ok", "", "write into the existing run folder of --name, and go on from its checkpoint") { Replacements = [("allow an existing one", "give --exist-ok to go on with its run")] },
        new("epochs", "N", "passes over the training images (default: that of the preset, or 30)"),
        new("learning-rate", "X", "peak learning rate (default: that of the preset, or of the optimizer)"),
        new("progressive-resizing", "", "train the first epochs on smaller images, which grow from half the side to the full size in three quarters of the epochs; takes less time") { Sets = [nameof(RepVggTrainer.Options.ProgressiveResizing)] },
        new("calibrate", "", "divide the logits by a temperature that is fitted to the validation images, so that the probabilities say how often the model is right") { Sets = [nameof(RepVggTrainer.Options.CalibrateTemperature)] },
    ];

    /// <remarks>Ctrl-C stops training at the next batch; the best model so far is then validated and written, as at the end of training.</remarks>
    public static int Run(Arguments arguments, Interrupt interrupt) => interrupt.Defer(() => RunDeferred(arguments, interrupt));

    private static int RunDeferred(Arguments arguments, Interrupt interrupt)
    {
        if (arguments.Flag("exist-ok") && !arguments.IsGiven("name"))
            throw new UsageException("--exist-ok needs --name, the name of the run folder.");
        // Read before the images, so that a wrong command line is refused at once.
        int? epochs = arguments.Integer("epochs", 1);
        float? learningRate = arguments.Positive("learning-rate");
        var setup = TrainingSetup.Read(arguments, TrainingDisplay.WriteLine, interrupt.Token);
        var (data, context, views, validation, options) = (setup.Data, setup.Context, setup.Views, setup.Validation, setup.Options);
        options.Epochs = epochs ?? options.Epochs;
        if (learningRate is not null)
            (options.LearningRate, options.LearningRateBaseSize) = (learningRate, null);
        if (arguments.Flag("progressive-resizing"))
            options.ProgressiveResizing = new ProgressiveResizing();
        options.CalibrateTemperature = arguments.Flag("calibrate");
        options.OnCancellation = CancellationBehavior.ReturnBest;
        if (options.CalibrateTemperature && validation is null)
            throw new UsageException("--calibrate needs validation images, and there are none. Give --validation-dataset, or a --validation-fraction of more than 0.");

        string root = arguments.Text("output") ?? "runs";
        bool existed = arguments.Text("name") is { } name && Directory.Exists(Path.Combine(root, name));
        var folder = Arguments.Accept("--name", () => RunFolder.Create(arguments.Text("name"), root, arguments.Flag("exist-ok")));
        using var inUse = OutputFolder.Lock(folder.DirectoryPath);
        options.CheckpointPath = folder.LastWeightsPath(".checkpoint");
        var settings = Settings(setup, arguments.Text("preset"), options.ImageHeight, options.ImageHeight, options.Architecture);
        // The settings of a run that goes on are kept until it is known that the new ones fit its checkpoint.
        if (!File.Exists(folder.ArgumentsPath))
            folder.WriteArguments(settings);
        Console.WriteLine(Invariant($"{data.Classes.Count} classes, {data.Training.Count:n0} training and {data.Validation.Count:n0} validation images. The run folder: {folder.DirectoryPath}"));
        var unvalidated = data.Classes.Except(data.Validation.Select(file => file.Label)).ToList();
        if (data.Validation.Count == 0 && setup.ValidationFraction > 0)
            Console.WriteLine("Each class has one image only, so that there are no validation images: the accuracy of the model will not be known.");
        else if (data.Validation.Count > 0 && unvalidated.Count > 0)
            Console.WriteLine($"There are no validation images of these classes, whose accuracy will not be known: {MessageText.Join(unvalidated, separator: ", ")}.");
        Console.WriteLine("Ctrl-C stops training and keeps the best model so far.");

        long start = Stopwatch.GetTimestamp();
        RepVggTransformer trained;
        try
        {
            trained = TrainingDisplay.Run(report =>
            {
                options.MetricsCallback = progress =>
                {
                    if (progress.EpochResult is { } epoch)
                        folder.Add(epoch);
                    report(progress);
                };
                return context.MulticlassClassification.Trainers.RepVgg(options).Fit(views.Of(data.Training));
            });
        }
        catch (Exception error)
        {
            bool hasCheckpoint = OutputFolder.Release(folder.DirectoryPath, inUse, existed, options.CheckpointPath);
            if (!interrupt.IsCauseOf(error))
                throw;
            Console.WriteLine(hasCheckpoint ? "Stopped before training went on: the files of the run are unchanged." : "Stopped before the first epoch was complete: there is no model.");
            return interrupt.ExitCode;
        }
        using var classifier = trained;
        var trainingTime = Stopwatch.GetElapsedTime(start);
        folder.AddMissing(classifier.History);
        Write(context, classifier, folder);
        // With what was found from the images.
        settings = Settings(setup, arguments.Text("preset"), classifier.Network.ImageHeight, classifier.Network.ImageWidth, classifier.Architecture);
        folder.WriteArguments(settings);
        var report = new TrainingReport
        {
            Title = $"{classifier.Architecture.Name}, {Path.GetFileName(Path.GetFullPath(setup.Path).TrimEnd(Path.DirectorySeparatorChar))}",
            History = classifier.History,
            BestEpoch = classifier.BestEpoch,
            Settings = settings.Select(entry => KeyValuePair.Create(entry.Key, (object?)entry.Value)),
            Hardware = [new("whole training, with reading the images", Invariant($"{trainingTime.TotalSeconds:f1} s")), new("device", options.Device.ToString()!)],
            AugmentedImages = AugmentedSample.Draw(options, classifier.Network, data.Training, AugmentedImages),
        };
        if (validation is not null)
        {
            // Evaluated to the end also after an interrupt: the report is what the run is for.
            var scored = classifier.Transform(new ClassifierData(context, data.Classes, CancellationToken.None).Of(data.Validation));
            report.Evaluation = ClassificationReport.FromScoredData(scored, ClassifierData.Label, classifier.ScoreColumnName, ClassifierData.ImagePath);
            var files = data.Validation.DistinctBy(file => file.ImagePath).ToDictionary(file => file.ImagePath);
            report.Thumbnail = image => ReadSmall(files[image.Path!]);
            report.Heatmap = image => ReadSmall(files[image.Path!]) is { } bytes ? classifier.Explain(bytes, image.Predicted).DrawOnInput() : null;
            folder.WriteEvaluation(report.Evaluation);
            if (report.Evaluation.MissingPredictions > 0)
                Console.WriteLine(Invariant($"{report.Evaluation.MissingPredictions:n0} validation images cannot be read and are left out."));
        }
        report.Write(folder.ReportPath);
        string origin = classifier.AveragedEpochs.Count > 0 ? $"the average of the epochs {string.Join(", ", classifier.AveragedEpochs)}" : Invariant($"that of epoch {classifier.BestEpoch}");
        Console.WriteLine(Invariant($"{(classifier.StopReason == StopReason.Cancelled ? "Stopped" : "Trained")} in {trainingTime.TotalSeconds:f1} s; the model is {origin}."));
        // The trainer itself warns of a temperature at its limit.
        if (classifier.Calibration is { IsAtLimit: false } calibration)
            Console.WriteLine(calibration.Describe());
        if (classifier.QuantizedNetwork is { } quantized)
            Console.WriteLine(QuantizeCommand.Describe(quantized));
        if (report.Evaluation is { } evaluation)
            Console.WriteLine(Invariant($"Validation: top-1 {evaluation.Top1Accuracy:p1}{(evaluation.Top5Accuracy is { } top5 ? Invariant($", top-5 {top5:p1}") : "")}, log-loss {evaluation.LogLoss:f3}."));
        Console.WriteLine($"The model: {folder.ModelPath}");
        Console.WriteLine($"The report: {folder.ReportPath}");
        return 0;
    }

    /// <summary>Lists the data, the network and every hyperparameter of the training.</summary>
    private static Dictionary<string, object?> Settings(TrainingSetup setup, string? preset, int? height, int? width, RepVggArchitecture? architecture)
    {
        var (data, options) = (setup.Data, setup.Options);
        var settings = new Dictionary<string, object?>
        {
            ["data"] = Path.GetFullPath(setup.Path),
            ["classes"] = data.Classes.Count,
            ["training_images"] = data.Training.Count,
            ["validation_images"] = data.Validation.Count,
            ["validation_fraction"] = setup.ValidationFraction,
            ["architecture"] = architecture?.Name,
            ["training_form"] = (options.TrainingForm ?? architecture?.TrainingForm)?.ToString(),
            ["quantization"] = options.Quantization.ToString(),
            ["weights"] = options.PretrainedWeightsPath,
            ["image_height"] = height,
            ["image_width"] = width,
            ["crop_fraction"] = options.CropFraction,
            ["preset"] = preset,
        };
        // The default augmentation depends on the size.
        RunSettings.AddHyperparameters(settings, options.ToTrainingOptions((ulong)options.Seed!.Value, height ?? 0, width ?? 0));
        if (height is null && options.Augmentation is null)
            settings["augmentation"] = null;
        settings["calibrate"] = options.CalibrateTemperature;
        settings["device"] = options.Device.ToString();
        settings["threads"] = options.NumberOfThreads;
        settings["skip_invalid"] = options.InvalidRows == InvalidRowHandling.Skip;
        settings["version"] = typeof(RepVggTrainer).Assembly.GetName().Version!.ToString(3);
        return settings;
    }

    /// <summary>Writes the model as a pipeline for ML.NET and as ONNX, and the weights of its deploy form if they are floats.</summary>
    private static void Write(MLContext context, RepVggTransformer classifier, RunFolder folder)
    {
        SavedClassifier.Save(context, classifier, folder.ModelPath);
        classifier.ExportToOnnx(folder.OnnxPath);
        if (classifier.QuantizedNetwork is not null)
        {
            // Those of an earlier run of this name. The weights of a quantized network are integers, which the format has no place for.
            File.Delete(folder.BestWeightsPath());
            return;
        }
        var network = classifier.Network;
        SafetensorsWriter.Write(network.ExportState(), folder.BestWeightsPath(), network.Describe(classifier.Labels));
    }

    /// <summary>Reads an image if it is small enough to be put into a page, and of a format that browsers show.</summary>
    private static byte[]? ReadSmall(ImageFileRow file)
    {
        try
        {
            return Path.GetExtension(file.ImagePath).ToLowerInvariant() is ".jpg" or ".jpeg" or ".png" && file.Read() is { Length: <= LargestThumbnail } content ? content : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It was removed during the training.
            return null;
        }
    }
}
