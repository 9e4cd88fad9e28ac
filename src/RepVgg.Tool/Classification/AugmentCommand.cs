using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Runtime.Files;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Workflow;
using RepVgg.Training;

namespace RepVgg.Tool.Classification;

/// <summary>Draws a sheet of images as the augmentation changes them.</summary>
internal static class AugmentCommand
{
    /// <summary>Maximum number of images of which the mean colour is measured.</summary>
    private const int MeasuredImages = 256;

    private const int LargestCount = 64, DefaultCount = 8;

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("preset", "NAME", $"the augmentation of a preset: {string.Join(", ", TrainingPreset.All.Select(preset => preset.Name))} (default: that of train)"),
        new("operation", "NAME", $"draw one operation, at rising levels if it has them: {string.Join(", ", AugmentationSheet.Operations)}"),
        new("image-size", "N", "height and width of the network's input in pixels (default: found from the images)") { Sets = [nameof(RepVggTrainer.Options.ImageHeight), nameof(RepVggTrainer.Options.ImageWidth)] },
        new("count", "N", $"number of images, 1 to {LargestCount} (default: {DefaultCount})") { Replacements = [(", or set Options.InvalidRows to Skip", "")] },
        new("seed", "N", "seed of the augmentation (default: 1)"),
        new("output", "FILE.png", "the drawing (default: augment.png)"),
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string output = Path.GetFullPath(arguments.Text("output") ?? "augment.png");
        if (!Path.GetExtension(output).Equals(".png", StringComparison.OrdinalIgnoreCase))
            throw new UsageException($"--output is '{arguments.Text("output")}'; the drawing is a PNG file, so its name must end in .png.");
        int count = arguments.Integer("count", 1, LargestCount) ?? DefaultCount, seed = Recipe.Seed(arguments);
        string? operation = arguments.Text("operation");
        if (operation is not null && !AugmentationSheet.Operations.Contains(operation))
            throw new UsageException($"--operation is '{operation}'; it must be one of: {string.Join(", ", AugmentationSheet.Operations)}.");
        var options = new RepVggTrainer.Options
        {
            LabelColumnName = ClassifierData.Label,
            FeatureColumnName = ClassifierData.Image,
            ImageHeight = arguments.ImageSize,
            ValidationSetFraction = 0,
            Seed = seed,
            Device = TrainingDevice.Cpu,
            CancellationToken = interrupt.Token,
        };
        if (arguments.Text("preset") is { } name)
        {
            var preset = Arguments.Accept("--preset", () => TrainingPreset.Find(name));
            (options.Augmentation, options.CropFraction) = (preset.Augmentation, preset.CropFraction);
        }
        AtomicFile.CheckWritable(output, $"'{output}'");
        var data = ImageDataset.Read(arguments.Operand(0), validationPath: null, validationFraction: 0, seed);
        options.ImageChannels = data.GreySamples is null ? null : 1;
        if (data.GreySamples is not null && AugmentationSheet.ColorOperations.Contains(operation))
            throw new UsageException($"--operation is '{operation}', which changes colours: it has no effect on grey images.");
        var context = new MLContext(seed);
        // Of every class the first image, then the second one, and so on.
        var files = data.Training.GroupBy(file => file.Label).SelectMany(group => group.Select((file, place) => (file, place))).OrderBy(entry => entry.place).Select(entry => entry.file).Take(MeasuredImages).ToList();
        var (normalization, height, width) = context.MulticlassClassification.Trainers.RepVgg(options).Measure(new ClassifierData(context, data.Classes, interrupt.Token).Of(files));

        using var sample = new AugmentedSample(options, normalization, height, width);
        var sheet = new AugmentationSheet(sample, options.ToTrainingOptions((ulong)seed, height, width), operation);
        byte[] drawing = sheet.Draw(files, count);
        interrupt.Defer(() => AtomicFile.Write(output, stream => stream.Write(drawing)));
        for (int i = 0; i < sheet.Captions.Count; i++)
            Console.WriteLine(Invariant($"column {i + 1}: {sheet.Captions[i]}"));
        Console.WriteLine($"The sheet: {output}");
        return 0;
    }
}
