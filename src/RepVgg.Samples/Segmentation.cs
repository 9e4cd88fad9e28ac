using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.Runtime;
using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Training;

namespace RepVgg.Samples;

/// <summary>Gives every pixel of an image a class: trains on a folder of images and masks, evaluates, saves, loads without this library, and draws masks over images.</summary>
internal static class Segmentation
{
    private const int TrainingImages = 4000, ValidationImages = 200, DrawnImages = 4;

    public static void Run(SampleOptions sample, CancellationToken cancellation)
    {
        string folder = Directory.CreateDirectory(sample.Output).FullName, data = sample.Data ?? Path.Combine(folder, "shapes"), modelPath = Path.Combine(folder, "segmentation.zip");
        if (sample.Data is null)
        {
            Console.WriteLine($"Writing {TrainingImages + ValidationImages} images and masks to {data}");
            ShapeImages.Write(data, TrainingImages, ValidationImages, seed: 1, cancellation);
        }
        var files = SegmentationDataSet.FromFolder(data);

        var context = new MLContext(seed: sample.Seed ?? 1);
        context.Log += (_, entry) =>
        {
            if (entry.Source.StartsWith("RepVgg", StringComparison.Ordinal) && entry.Kind != ChannelMessageKind.Trace)
                Console.WriteLine(entry.RawMessage);
        };
        // The content of the files, because decoding a mask would lose the indices of its palette.
        var load = context.Transforms.LoadRawImageBytes("Image", null, nameof(SegmentationSample.ImagePath))
            .Append(context.Transforms.LoadRawImageBytes("Mask", null, nameof(SegmentationSample.MaskPath)));
        var training = context.Data.LoadFromEnumerable(files.Training);
        var loader = load.Fit(training);
        var validation = files.Validation.Count > 0 ? loader.Transform(context.Data.LoadFromEnumerable(files.Validation)) : null;
        var options = new RepVggSegmentationTrainer.Options
        {
            FeatureColumnName = "Image",
            LabelColumnName = "Mask",
            ClassNames = files.ClassNames.Count > 0 ? files.ClassNames : null,
            Architecture = Backbone(sample.DilatedBlocks),
            ImageHeight = ShapeImages.Size,
            ImageWidth = ShapeImages.Size,
            HeadWidth = 48,
            Epochs = sample.Epochs ?? 10,
            BatchSize = 8,
            Optimizer = new SgdOptions(Nesterov: true),
            // The shapes have every size and angle, so that only mirroring adds to them.
            Augmentation = new SegmentationAugmentation { MinimumScale = 1, MaximumScale = 1, Rotation = 0 },
            EmaDecay = 0.98f,
            ValidationSet = validation,
            Device = sample.Device,
            CancellationToken = cancellation,
            OnCancellation = CancellationBehavior.ReturnBest,
        };

        Console.WriteLine("Training; Ctrl-C stops it and keeps the best model so far.");
        var start = DateTime.UtcNow;
        using var transformer = context.Segmentation().Trainers.RepVggPsp(options).Fit(loader.Transform(training));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Trained in {(DateTime.UtcNow - start).TotalSeconds:f0} s; the model has the weights of epoch {transformer.BestEpoch}."));

        // The model has ML.NET's own transformers, which any application can load.
        context.Model.SaveRepVgg(transformer, null, modelPath);
        if (validation is not null)
        {
            Print("This library", context.Segmentation().Evaluate(transformer.Transform(validation), "Mask"), transformer.Labels);
            Print("A constant guess", Constant(context, validation), transformer.Labels);
        }
        foreach (var file in (files.Validation.Count > 0 ? files.Validation : files.Training).Take(DrawnImages))
        {
            byte[] image = File.ReadAllBytes(file.ImagePath);
            string drawing = Path.Combine(folder, $"{Path.GetFileNameWithoutExtension(file.ImagePath)}-mask.png");
            File.WriteAllBytes(drawing, transformer.Predict(image).DrawOn(image, files.ClassColors));
            Console.WriteLine($"A drawing: {drawing}");
        }
        Console.WriteLine($"The model: {modelPath}");
    }

    /// <summary>A small backbone with stride 4, so that the edges of shapes are exact.</summary>
    private static RepVggArchitecture Backbone(int? dilatedBlocks) => new()
    {
        Name = "RepVGG-shapes",
        InputChannels = 3,
        Stages = [new("stage0", 24, 1, 2), new("stage1", 32, 2, 2), new("stage2", 64, 3, 2), new("stage3", 96, 1, 2)],
        DefaultImageSize = ShapeImages.Size,
        OutputStride = 4,
        DilatedBlocks = dilatedBlocks,
    };

    /// <summary>Evaluates the class of most pixels, 0, as the prediction for every pixel.</summary>
    private static SegmentationMetrics Constant(MLContext context, IDataView validation)
    {
        var guess = context.Transforms.CustomMapping<Empty, ConstantMask>((_, output) => output.PredictedMask = new byte[ShapeImages.Size * ShapeImages.Size], contractName: null);
        return context.Segmentation().Evaluate(guess.Fit(validation).Transform(validation), "Mask");
    }

    private static void Print(string name, SegmentationMetrics metrics, IReadOnlyList<string> labels)
    {
        string perClass = string.Join(", ", metrics.PerClassIoU.Select((value, label) => string.Create(CultureInfo.InvariantCulture, $"{labels[label]} {value:f3}")));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}: mean IoU {metrics.MeanIoU:f4}, pixel accuracy {metrics.PixelAccuracy:f4} ({perClass})"));
    }

    private sealed class Empty;

    private sealed class ConstantMask
    {
        [Microsoft.ML.Data.VectorType(ShapeImages.Size, ShapeImages.Size)]
        public byte[] PredictedMask { get; set; } = [];
    }
}
