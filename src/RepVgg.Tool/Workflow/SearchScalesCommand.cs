using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace RepVgg.Tool.Workflow;

/// <summary>Finds the scales of RepOptimizer for a variant, on a small set of labelled images.</summary>
internal static class SearchScalesCommand
{
    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("out", "FILE", "file of the scales: .pth, .pt or .safetensors (required)"),
        DecodedImages.Option,
        new("fraction", "X", "share of the training images of each class that is used, more than 0 and at most 1 (default: 1)"),
        .. Recipe.TrainingOptions,
        .. Recipe.RunOptions,
    ];

    /// <remarks>Ctrl-C stops the search at the next batch. Scales are written only at its end; with a checkpoint, the next call goes on.</remarks>
    public static int Run(Arguments arguments, Interrupt interrupt) => interrupt.Defer(() => RunDeferred(arguments, interrupt));

    private static int RunDeferred(Arguments arguments, Interrupt interrupt)
    {
        string path = Path.GetFullPath(arguments.Required("out"));
        double fraction = arguments.Positive("fraction") ?? 1;
        if (fraction > 1)
            throw new UsageException(Invariant($"--fraction is {fraction}; it must be more than 0 and at most 1."));
        var recipe = Recipe.ScaleSearch.With(arguments);
        int seed = Recipe.Seed(arguments), threads = arguments.Threads;
        var device = Recipe.Device(arguments);
        string? checkpoint = arguments.Text("checkpoint");
        Arguments.Accept("--out", () => RepOptimizerScales.CheckWritable(path));
        var images = DecodedImages.Of(arguments, interrupt.Token);
        var samples = fraction == 1 ? images.Training : SampleSubset.Split(images.Training, fraction, seed: 1).Second;
        var architecture = RepVggVariants.Find(recipe.Architecture) with { InputChannels = samples.Channels };
        Arguments.Accept("--architecture", () => architecture.ValidateImageSize(samples.Height, samples.Width));

        var context = new MLContext(seed);
        Console.WriteLine(Invariant($"Searching the scales of {architecture.Name} on {samples.Count:n0} images of {samples.Width}x{samples.Height} pixels, {samples.Classes} classes, {recipe.Epochs} epochs."));
        RepOptimizerScales scales;
        try
        {
            scales = TrainingDisplay.Run(report => RepOptimizerSearch.Run(context, Rows(context, samples, interrupt.Token), new RepOptimizerSearch.Options
            {
                Architecture = architecture,
                ScalesPath = path,
                FeatureColumnName = nameof(SampleRow.Features),
                LabelColumnName = nameof(SampleRow.Label),
                Epochs = recipe.Epochs,
                BatchSize = recipe.BatchSize,
                LearningRate = recipe.LearningRate,
                Augmentation = new Augmentation { HorizontalFlip = true, CropPadding = 2 },
                Seed = seed,
                NumberOfThreads = threads,
                Device = device,
                CheckpointPath = checkpoint,
                MetricsCallback = report,
                CancellationToken = interrupt.Token,
            }));
        }
        catch (Exception error) when (interrupt.IsCauseOf(error))
        {
            Console.WriteLine(checkpoint is null ? "Stopped; no scales were written." : "Stopped; no scales were written. The same command goes on from the checkpoint.");
            return interrupt.ExitCode;
        }
        foreach (var (kind, name) in new[] { ("conv", "3x3 branches"), ("1x1", "1x1 branches"), ("identity", "identities") })
        {
            float[] values = [.. scales.ToState().Where(tensor => tensor.Key.EndsWith($"scale_{kind}.weight", StringComparison.Ordinal)).SelectMany(tensor => tensor.Value.Values)];
            if (values.Length > 0)
                Console.WriteLine(Invariant($"Scales of the {name}: mean {values.Average():f3}, from {values.Min():f3} to {values.Max():f3}, {(double)values.Count(value => value < 0) / values.Length:p1} negative."));
        }
        Console.WriteLine($"The scales: {path}");
        return 0;
    }

    /// <summary>Makes samples available to ML.NET, one row at a time.</summary>
    private static IDataView Rows(MLContext context, ISampleSource samples, CancellationToken cancellation)
    {
        var schema = SchemaDefinition.Create(typeof(SampleRow));
        schema[nameof(SampleRow.Features)].ColumnType = new VectorDataViewType(NumberDataViewType.Single, samples.Channels, samples.Height, samples.Width);
        schema[nameof(SampleRow.Label)].ColumnType = new KeyDataViewType(typeof(uint), samples.Classes);
        return context.Data.LoadFromEnumerable(Enumerate(), schema);

        IEnumerable<SampleRow> Enumerate()
        {
            for (int i = 0; i < samples.Count; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                var row = new SampleRow { Features = new float[samples.Channels * samples.Height * samples.Width] };
                // In the properties of rows, keys count from 0.
                row.Label = (uint)samples.Read(i, row.Features);
                yield return row;
            }
        }
    }

    private sealed class SampleRow
    {
        public float[] Features { get; set; } = [];

        public uint Label { get; set; }
    }
}
