using System.Runtime.InteropServices;
using System.Text;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Input;
using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Runtime.Files;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Weights;
using RepVgg.Tool.Workflow;

namespace RepVgg.Tool.Ablation;

/// <summary>Trains training forms one after the other, with the same images, recipe and seeds, and compares them in one table.</summary>
/// <remarks>
/// All forms are trained with the first seed, then all with the next, so that a change in the load of the machine affects the speed of all forms.
/// Nothing is selected by the test images: their accuracy is that of the last epoch's weights.
/// </remarks>
internal static class AblationCommand
{
    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("forms", "NAMES", "training forms, separated by commas, such as RepVgg,Plain (default: all)"),
        new("scales", "FILE", "scales of RepOptimizer for the architecture; the form Plain is then also trained with RepOptimizer, as the row Plain+RepOptimizer"),
        new("seeds", "N,N,...", "seeds of weights, shuffling and augmentation; each form is trained once with each (default: 1,2,3)"),
        DecodedImages.Option,
        new("out", "DIR", "folder for ablation.md, ablation.csv and ablation.svg (default: output)"),
        .. Recipe.TrainingOptions,
    ];

    /// <remarks>Ctrl-C stops training at the next batch. The files are written after every run, so that the runs that are done are kept.</remarks>
    public static int Run(Arguments arguments, Interrupt interrupt) => interrupt.Defer(() => RunDeferred(arguments, interrupt));

    private static int RunDeferred(Arguments arguments, Interrupt interrupt)
    {
        var recipe = Recipe.Ablation.With(arguments);
        var forms = Forms(arguments);
        var seeds = arguments.Integers("seeds") ?? [1, 2, 3];
        var trainerOptions = recipe.ToOptions(arguments);
        string folder = Path.GetFullPath(arguments.Text("out") ?? "output");
        OutputFolder.Prepare(folder);
        var images = DecodedImages.Of(arguments, interrupt.Token);

        var training = images.Training;
        var architecture = RepVggVariants.Find(recipe.Architecture) with { InputChannels = training.Channels };
        Arguments.Accept("--architecture", () => architecture.ValidateImageSize(training.Height, training.Width));
        var options = trainerOptions.ToTrainingOptions(0, training.Height, training.Width);
        options.Validate(training.Height, training.Width);
        var cases = forms.Select(form => new AblationCase(form.ToString(), architecture with { TrainingForm = form }, options)).ToList();
        if (arguments.Text("scales") is { } scales)
        {
            var repOptimizer = new RepOptimizerOptions { Scales = RepOptimizerScales.Load(scales), Base = options.Optimizer };
            repOptimizer.Scales.Validate(architecture);
            cases.Add(new AblationCase("Plain+RepOptimizer", architecture with { TrainingForm = TrainingForm.Plain }, options with { Optimizer = repOptimizer }));
        }

        var shown = new HashSet<string>(StringComparer.Ordinal);
        DeviceChoice Device(RepVggArchitecture network) => new(trainerOptions.Device, null, false, trainerOptions.NumberOfThreads, false, network, training.Classes)
        {
            Log = (text, _) =>
            {
                if (shown.Add(text))
                    Console.WriteLine(text);
            },
        };
        string device;
        using (var backend = Device(architecture).Create())
            device = backend.Description;
        string description = Invariant($"{architecture.Name}, {training.Count:n0} training and {images.Test.Count:n0} test images of {training.Width}x{training.Height} pixels, {training.Classes} classes; {recipe.Epochs} epochs of batches of {recipe.BatchSize}, peak learning rate {recipe.LearningRate}; on {device}, {Environment.ProcessorCount} cores, {RuntimeInformation.FrameworkDescription}.");
        var table = new AblationTable(description, cases, seeds, entry => entry.CountParameters(training.Classes, training.Height, training.Width));
        Console.WriteLine($"{description} {table.Expected} runs. Ctrl-C stops and keeps the runs that are done.");

        var trainer = new AblationTrainer(images, PixelStatistics.Measure(training), network => Device(network).Create(), trainerOptions.NumberOfThreads, interrupt.Token);
        try
        {
            foreach (int seed in seeds)
            {
                foreach (var entry in cases)
                {
                    Console.WriteLine(Invariant($"{entry.Name}, seed {seed}: run {table.Runs.Count + 1} of {table.Expected}"));
                    var run = trainer.Run(entry, seed);
                    table.Add(run);
                    Console.WriteLine(run.Failure is { } failure ? $"Failed: {failure}" : Invariant($"Test accuracy {run.Accuracy:p1}."));
                    Save(folder, table);
                }
            }
        }
        catch (OperationCanceledException error) when (interrupt.IsCauseOf(error))
        {
            Console.WriteLine("Interrupted.");
        }

        if (table.Runs.Count == 0)
        {
            Console.WriteLine("No run was complete, and nothing was written.");
            return interrupt.ExitCode;
        }
        Console.WriteLine();
        Console.Write(table.ToMarkdown());
        Console.WriteLine();
        Console.WriteLine($"The table, each run, and a chart: {Path.Combine(folder, "ablation.md")}, ablation.csv, ablation.svg");
        return table.Runs.Any(run => run.Failure is not null) ? 1 : 0;
    }

    /// <summary>Gets the forms in the order of the command line.</summary>
    private static IReadOnlyList<TrainingForm> Forms(Arguments arguments)
    {
        if (arguments.Words("forms") is not { } words)
            return TrainingForms.All;
        return [.. words.Select(word => WeightsCommands.ParseForm("forms", word))];
    }

    private static void Save(string folder, AblationTable table)
    {
        Write("ablation.md", table.ToMarkdown());
        Write("ablation.csv", table.ToCsv());
        Write("ablation.svg", AblationChart.Draw(table));

        void Write(string name, string text) => AtomicFile.Write(Path.Combine(folder, name), stream => stream.Write(Encoding.UTF8.GetBytes(text)));
    }
}
