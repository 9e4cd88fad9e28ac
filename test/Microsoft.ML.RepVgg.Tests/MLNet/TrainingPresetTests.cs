using System.Reflection;
using System.Text.Json;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Training;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet;

public class TrainingPresetTests
{
    public static TheoryData<string> Names => [.. TrainingPreset.All.Select(preset => preset.Name)];

    private static PropertyInfo[] Hyperparameters => [.. typeof(TrainingPreset).GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(property => property.Name is not (nameof(TrainingPreset.Name) or nameof(TrainingPreset.Source)))];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_preset_sets_the_options_of_the_same_names(string name)
    {
        var preset = TrainingPreset.Find(name.ToUpperInvariant());
        // No value is that of a preset, or a default.
        var options = new RepVggTrainer.Options
        {
            Epochs = 3,
            BatchSize = 5,
            Optimizer = new AdamWOptions(),
            LearningRate = 0.123f,
            LearningRateBaseSize = 7,
            LearningRateScheduler = new LearningRateScheduler { Shape = ScheduleShape.Constant },
            HeadLearningRateScale = 2.5f,
            LayerLearningRateDecay = 0.77f,
            WeightDecay = 0.456f,
            LabelSmoothing = 0.37f,
            Dropout = 0.38f,
            StochasticDepth = 0.39f,
            AuxiliaryLossWeight = 0.41f,
            EmaDecay = 0.42f,
            Augmentation = Augmentation.None,
            ProgressiveResizing = new ProgressiveResizing(),
            CropFraction = 0.43,
            Quantization = QuantizationMode.PostTraining,
            Seed = 17,
        };
        Assert.Same(options, options.Apply(preset));
        Assert.Equal(18, Hyperparameters.Length);
        foreach (var property in Hyperparameters)
            Assert.Equal(property.GetValue(preset), typeof(RepVggTrainer.Options).GetProperty(property.Name)!.GetValue(options));
        Assert.Equal(17, options.Seed);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_preset_is_valid_and_prints_every_number(string name)
    {
        var preset = TrainingPreset.Find(name);
        var options = new RepVggTrainer.Options().Apply(preset).ToTrainingOptions(1, 64, 64);
        if (options.Optimizer is RepOptimizerOptions repOptimizer)
        {
            var missing = Assert.Throws<ArgumentException>(() => options.Validate(64, 64));
            Assert.Contains("give exactly one", missing.Message, StringComparison.Ordinal);
            options = options with { Optimizer = repOptimizer with { ScalesPath = "scales.safetensors" } };
        }
        options.Validate(64, 64);
        using var printed = JsonDocument.Parse(preset.ToString());
        Assert.Equal(["Name", "Source", .. Hyperparameters.Select(property => property.Name)], printed.RootElement.EnumerateObject().Select(property => property.Name));
        if (preset.Augmentation?.RandomResizedCrop is not null)
            Assert.Equal(0.08, printed.RootElement.GetProperty("Augmentation").GetProperty("RandomResizedCrop").GetProperty("MinimumScale").GetDouble());
    }

    /// <summary>Peak learning rates of the publications, for their batch of 256 images and for a smaller one.</summary>
    [Theory]
    [InlineData("paper")]
    [InlineData("plus")]
    [InlineData("repopt")]
    public void The_rates_of_the_publications_are_scaled_with_the_batch(string name)
    {
        var options = new RepVggTrainer.Options().Apply(TrainingPreset.Find(name));
        Assert.Equal(0.1f, options.ToTrainingOptions(1, 224, 224).ActualLearningRate);
        options.BatchSize = 64;
        Assert.Equal(0.025f, options.ToTrainingOptions(1, 224, 224).ActualLearningRate);
    }

    [Fact]
    public void The_scales_of_RepOptimizer_are_kept()
    {
        var scales = RepOptimizerScales.Initial(RepVggVariants.RepOptB1);
        var options = new RepVggTrainer.Options { Optimizer = new RepOptimizerOptions { Scales = scales, Base = new AdamWOptions() } }.Apply(TrainingPreset.RepOpt);
        var optimizer = Assert.IsType<RepOptimizerOptions>(options.Optimizer);
        Assert.Same(scales, optimizer.Scales);
        Assert.Equal(new SgdOptions(Nesterov: true), optimizer.Base);
        Assert.IsType<SgdOptions>(options.Apply(TrainingPreset.Paper).Optimizer);
    }

    [Fact]
    public void An_unknown_name_is_refused_with_the_names_that_exist()
    {
        var error = Assert.Throws<ArgumentException>(() => TrainingPreset.Find("papre"));
        Assert.Contains("'papre'", error.Message, StringComparison.Ordinal);
        Assert.Contains("paper, plus, repopt, cifar, small-scratch, finetune", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Learning_rates_for_longer_runs_and_larger_sets_are_named_in_the_log()
    {
        string[] warnings = Warnings(options =>
        {
            (options.LearningRate, options.LearningRateBaseSize, options.BatchSize) = (0.1f, 256, 128);
            options.LearningRateScheduler = new LearningRateScheduler { WarmUpEpochs = 5 };
        });
        Assert.Contains(warnings, line => line.Contains("The warm-up takes 5 epochs and the run has 1", StringComparison.Ordinal));
        Assert.Contains(warnings, line => line.Contains("The learning rate is scaled to 0.05 for 128 images per step, but there are 60 training images.", StringComparison.Ordinal));
        Assert.DoesNotContain(
            Warnings(options =>
            {
                (options.LearningRate, options.LearningRateBaseSize, options.BatchSize) = (0.1f, 256, 20);
                options.LearningRateScheduler = new LearningRateScheduler { WarmUpEpochs = 0.5 };
            }),
            line => line.Contains("learning rate", StringComparison.Ordinal));

        static string[] Warnings(Action<RepVggTrainer.Options> change)
        {
            var context = new MLContext(seed: 1);
            var log = new List<string>();
            context.Log += (_, entry) =>
            {
                if (entry.Kind == Microsoft.ML.Runtime.ChannelMessageKind.Warning)
                    log.Add(entry.RawMessage);
            };
            var options = Stripes.Options(epochs: 1);
            options.ValidationSetFraction = 0;
            change(options);
            using var model = Stripes.Pipeline(context, options).Fit(context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1))).LastTransformer;
            return [.. log];
        }
    }
}
