using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Reports;
using Microsoft.ML.Runtime;
using RepVgg.Architectures;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Workflow;
using RepVgg.Training;

namespace RepVgg.Tool.Segmentation;

/// <summary>Trains a network for segmentation on a folder of images and masks, and writes a run folder with the model and a report.</summary>
internal static class SegmentTrainCommand
{
    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("architecture", "NAME", "RepVGG variant of the backbone, such as RepVGG-A0 (default: found from the size)"),
        new("weights", "FILE", "start from the weights of a classifier, such as a checkpoint of the authors") { Sets = [nameof(RepVggSegmentationTrainer.Options.PretrainedWeightsPath)] },
        new("output-stride", "N", "stride of the backbone's last map, such as 8: a product of the strides of its first stages; smaller ones are more exact and slower (default: 8, or that of the backbone if it is less)"),
        new("dilated-blocks", "N", "number of last blocks that are dilated (default: all that have the stride of the last map)"),
        new("image-size", "N", "height and width of the network's input in pixels (default: found from the images)") { Sets = [nameof(RepVggSegmentationTrainer.Options.ImageHeight), nameof(RepVggSegmentationTrainer.Options.ImageWidth)] },
        new("crops", "", "train on crops of images at their own scale, for large images that are segmented with --sliding-window") { Sets = [nameof(RepVggSegmentationTrainer.Options.TrainOnCrops)] },
        new("validation-fraction", "X", "share of the images that is held out for validation, if the folder has no others (default: 0.2)") { Sets = [nameof(RepVggSegmentationTrainer.Options.ValidationSetFraction)] },
        new("ignored-label", "N", "label of pixels without one (default: 255)"),
        SegmentationData.ColorsOption,
        new("epochs", "N", "passes over the training images (default: 30)"),
        new("batch-size", "N", "images of one training step (default: 8)"),
        new("learning-rate", "X", "peak learning rate (default: 0.1, and 0.01 with --weights)"),
        new("weight-decay", "X", "weight decay (default: 1e-4)"),
        new("ema-decay", "X", "decay of the moving average of the weights, which becomes the model; 0 for none (default: 0)"),
        new("seed", "N", "seed of weights, split, shuffling and augmentation (default: 1)"),
        Recipe.DeviceOption,
        OptionSpec.Threads,
        new("skip-invalid", "", "skip images and masks that cannot be used, instead of ending with an error") { Sets = [nameof(RepVggScoringOptions.InvalidRows)] },
        new("name", "NAME", "name of the run folder (default: train, train2, ...)"),
        new("output", "DIR", "folder of the run folders (default: runs)"),
        new("exist-ok", "", "write into the existing run folder of --name, and go on from its checkpoint") { Replacements = [("allow an existing one", "give --exist-ok to go on with its run")] },
    ];

    /// <remarks>Ctrl-C stops training at the next batch; the best model so far is then validated and written, as at the end of training.</remarks>
    public static int Run(Arguments arguments, Interrupt interrupt) => interrupt.Defer(() => RunDeferred(arguments, interrupt));

    private static int RunDeferred(Arguments arguments, Interrupt interrupt)
    {
        if (arguments.Flag("exist-ok") && !arguments.IsGiven("name"))
            throw new UsageException("--exist-ok needs --name, the name of the run folder.");
        var options = ReadOptions(arguments, interrupt.Token);
        string path = arguments.Operand(0);
        var (files, training, validation) = Divide(SegmentationDataSet.FromFolder(path), options.ValidationSetFraction, options.Seed!.Value);
        options.ClassNames = files.ClassNames.Count > 0 ? files.ClassNames : null;
        options.MaskColors = SegmentationData.Colors(arguments, files);
        var context = new MLContext(options.Seed);
        context.Log += (_, entry) =>
        {
            if (entry.Kind == ChannelMessageKind.Warning && entry.Source.StartsWith("RepVggSegmentation", StringComparison.Ordinal))
                TrainingDisplay.WriteLine(entry.RawMessage);
        };
        options.ValidationSetFraction = 0;
        options.ValidationSet = validation.Count > 0 ? SegmentationData.Load(context, validation) : null;

        string root = arguments.Text("output") ?? "runs";
        bool existed = arguments.Text("name") is { } name && Directory.Exists(Path.Combine(root, name));
        var folder = Arguments.Accept("--name", () => RunFolder.Create(arguments.Text("name"), root, arguments.Flag("exist-ok")));
        using var inUse = OutputFolder.Lock(folder.DirectoryPath);
        options.CheckpointPath = folder.LastWeightsPath(".checkpoint");
        // The settings of a run that goes on are kept until it is known that the new ones fit its checkpoint.
        if (!File.Exists(folder.ArgumentsPath))
            folder.WriteArguments(Settings(path, training.Count, validation.Count, options, null, (options.ImageHeight, options.ImageWidth)));
        Console.WriteLine(Invariant($"{training.Count:n0} training and {validation.Count:n0} validation images. The run folder: {folder.DirectoryPath}"));
        Console.WriteLine("Ctrl-C stops training and keeps the best model so far.");
        long start = Stopwatch.GetTimestamp();
        RepVggSegmentationTransformer trained;
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
                return context.Segmentation().Trainers.RepVggPsp(options).Fit(SegmentationData.Load(context, training));
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
        using var transformer = trained;
        var trainingTime = Stopwatch.GetElapsedTime(start);
        folder.AddMissing(transformer.History);
        SegmentationData.Save(context, transformer, folder.ModelPath);
        transformer.ExportToOnnx(folder.OnnxPath);
        var settings = Settings(path, training.Count, validation.Count, options, transformer.Network.Architecture, (transformer.Network.ImageHeight, transformer.Network.ImageWidth));
        folder.WriteArguments(settings);
        var report = new TrainingReport
        {
            Title = $"PSPNet on {transformer.Network.Architecture.Backbone.Name}, {Path.GetFileName(Path.GetFullPath(path).TrimEnd(Path.DirectorySeparatorChar))}",
            History = transformer.History,
            BestEpoch = transformer.BestEpoch,
            Settings = settings,
            Hardware = [new("whole training, with reading the images", Invariant($"{trainingTime.TotalSeconds:f1} s")), new("device", options.Device.ToString()!)],
        };
        if (validation.Count > 0)
        {
            // Evaluated to the end also after an interrupt: the report is what the run is for.
            report.Segmentation = transformer.Evaluate(
                validation,
                new SegmentationReportOptions
                {
                    SkipInvalid = options.InvalidRows == InvalidRowHandling.Skip,
                    IgnoredLabel = options.IgnoredLabel,
                    MaskColors = options.MaskColors,
                    ClassColors = files.ClassColors.Count > 0 ? files.ClassColors : null,
                });
            report.Segmentation?.WriteMetrics(folder.MetricsPath);
        }
        report.Write(folder.ReportPath);
        Console.WriteLine(Invariant($"{(transformer.StopReason == StopReason.Cancelled ? "Stopped" : "Trained")} in {trainingTime.TotalSeconds:f1} s; the model is that of epoch {transformer.BestEpoch}."));
        if (report.Segmentation is { } evaluation)
            Console.WriteLine(Invariant($"Validation: mean IoU {evaluation.Metrics.MeanIoU:f4}, pixel accuracy {evaluation.Metrics.PixelAccuracy:p1}."));
        Console.WriteLine($"The model: {folder.ModelPath}");
        Console.WriteLine($"The report: {folder.ReportPath}");
        return 0;
    }

    private static RepVggSegmentationTrainer.Options ReadOptions(Arguments arguments, CancellationToken cancellation)
    {
        var options = new RepVggSegmentationTrainer.Options
        {
            FeatureColumnName = SegmentationData.Image,
            LabelColumnName = SegmentationData.Mask,
            PretrainedWeightsPath = arguments.Text("weights"),
            ImageHeight = arguments.ImageSize,
            ImageWidth = arguments.ImageSize,
            TrainOnCrops = arguments.Flag("crops"),
            ValidationSetFraction = arguments.Number("validation-fraction", 1) ?? 0.2,
            IgnoredLabel = (byte)(arguments.Integer("ignored-label", 0, byte.MaxValue) ?? byte.MaxValue),
            Epochs = arguments.Integer("epochs", 1) ?? 30,
            BatchSize = arguments.Integer("batch-size", 2) ?? 8,
            LearningRate = arguments.Positive("learning-rate"),
            WeightDecay = arguments.Number("weight-decay"),
            EmaDecay = arguments.Number("ema-decay", 1) ?? 0,
            Seed = Recipe.Seed(arguments),
            Device = Recipe.Device(arguments),
            NumberOfThreads = arguments.Threads,
            InvalidRows = arguments.Flag("skip-invalid") ? InvalidRowHandling.Skip : InvalidRowHandling.Error,
            CancellationToken = cancellation,
            OnCancellation = CancellationBehavior.ReturnBest,
        };
        var (stride, dilated) = (arguments.Integer("output-stride", 1), arguments.Integer("dilated-blocks", 0));
        if (arguments.Text("architecture") is { } name)
            options.Architecture = Arguments.Accept("--architecture", () => RepVggVariants.Find(name));
        if (stride is null && dilated is null)
            return options;
        var backbone = options.Architecture ?? throw new UsageException("--output-stride and --dilated-blocks need --architecture, the backbone that they change.");
        options.Architecture = backbone with { OutputStride = stride ?? Math.Min(8, backbone.TotalStride), DilatedBlocks = dilated };
        Arguments.Accept(dilated is null ? "--output-stride" : "--output-stride and --dilated-blocks", options.Architecture.Validate);
        return options;
    }

    /// <summary>Divides the files. If the folder has none for validation, a share of them is held out.</summary>
    private static (SegmentationDataSet Files, IReadOnlyList<SegmentationSample> Training, IReadOnlyList<SegmentationSample> Validation) Divide(SegmentationDataSet files, double fraction, int seed)
    {
        if (files.Validation.Count > 0 || fraction == 0 || files.Training.Count < 2)
            return (files, files.Training, files.Validation);
        var order = files.Training.ToArray();
        new Random(seed).Shuffle(order);
        int held = Math.Clamp((int)Math.Round(order.Length * fraction), 1, order.Length - 1);
        return (files, [.. order[held..].OrderBy(sample => sample.ImagePath, StringComparer.Ordinal)], [.. order[..held].OrderBy(sample => sample.ImagePath, StringComparer.Ordinal)]);
    }

    /// <summary>Lists the data, the network and every hyperparameter of the training.</summary>
    private static Dictionary<string, object?> Settings(string path, int training, int validation, RepVggSegmentationTrainer.Options options, PspNetArchitecture? architecture, (int? Height, int? Width) size)
    {
        var settings = new Dictionary<string, object?>
        {
            ["data"] = Path.GetFullPath(path),
            ["training_images"] = training,
            ["validation_images"] = validation,
            ["classes"] = architecture?.Classes,
            ["architecture"] = (architecture?.Backbone ?? options.Architecture)?.Name,
            ["output_stride"] = (architecture?.Backbone ?? options.Architecture)?.OutputStride,
            ["dilated_blocks"] = (architecture?.Backbone ?? options.Architecture)?.DilatedBlocks,
            ["bins"] = options.Bins.ToArray(),
            ["head_width"] = architecture?.HeadWidth,
            ["auxiliary_width"] = architecture?.AuxiliaryWidth,
            ["align_corners"] = architecture?.AlignCorners,
            ["weights"] = options.PretrainedWeightsPath,
            ["image_height"] = size.Height,
            ["image_width"] = size.Width,
            ["crops"] = options.TrainOnCrops,
            ["ignored_label"] = options.IgnoredLabel,
        };
        RunSettings.AddHyperparameters(settings, options.ToTrainingOptions((ulong)options.Seed!.Value));
        settings["device"] = options.Device.ToString();
        settings["threads"] = options.NumberOfThreads;
        settings["skip_invalid"] = options.InvalidRows == InvalidRowHandling.Skip;
        settings["version"] = typeof(RepVggSegmentationTrainer).Assembly.GetName().Version!.ToString(3);
        return settings;
    }
}
