using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Weights.Onnx;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

public sealed class TrainerTests
{
    private readonly MLContext _context = new(seed: 1);

    private float[] Scores(RepVggTrainer.Options options, MLContext? context = null)
    {
        context ??= _context;
        var data = context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
        using var model = Stripes.Pipeline(context, options).Fit(data);
        return [.. model.Transform(data).GetColumn<float[]>("Score").SelectMany(score => score)];
    }

    [Fact]
    public void The_same_seed_gives_the_same_bits_for_any_number_of_threads()
    {
        var one = Stripes.Options(epochs: 1);
        one.NumberOfThreads = 1;
        var two = Stripes.Options(epochs: 1);
        two.NumberOfThreads = 2;
        Assert.Equal(Scores(one), Scores(two));

        var other = Stripes.Options(epochs: 1);
        other.Seed = 8;
        Assert.NotEqual(Scores(one), Scores(other));
    }

    [Fact]
    public void Without_a_seed_of_its_own_the_contexts_seed_decides()
    {
        var options = Stripes.Options(epochs: 1);
        options.Seed = null;
        Assert.Equal(Scores(options, new MLContext(seed: 3)), Scores(options, new MLContext(seed: 3)));
        Assert.NotEqual(Scores(options, new MLContext(seed: 3)), Scores(options, new MLContext(seed: 4)));
    }

    [Fact]
    public void The_estimators_schema_is_the_transformers()
    {
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1));
        var keyed = _context.Transforms.Conversion.MapValueToKey("Label").Fit(data).Transform(data);
        var trainer = _context.MulticlassClassification.Trainers.RepVgg(Stripes.Options(epochs: 1));
        var shape = trainer.GetOutputSchema(Interop.SchemaShapes.Of(keyed.Schema));
        using var model = trainer.Fit(keyed);
        var fromTransformer = Interop.SchemaShapes.Of(model.GetOutputSchema(keyed.Schema));
        foreach (string name in new[] { "Score", "PredictedLabel", "Number", "Features" })
        {
            var expected = shape.Single(column => column.Name == name);
            var actual = fromTransformer.Last(column => column.Name == name);
            Assert.Equal((expected.Kind, expected.ItemType, expected.IsKey), (actual.Kind, actual.ItemType, actual.IsKey));
            Assert.Subset(actual.Annotations.Select(annotation => annotation.Name).ToHashSet(), expected.Annotations.Select(annotation => annotation.Name).ToHashSet());
        }
    }

    [Fact]
    public void The_optimizers_options_reach_the_training()
    {
        (float Rate, float[] Scores) Fit(Action<RepVggTrainer.Options> change)
        {
            var options = Stripes.Options(epochs: 1);
            options.LearningRate = null;
            options.LearningRateScheduler = new LearningRateScheduler { Shape = ScheduleShape.Constant };
            float rate = 0;
            options.MetricsCallback = progress => rate = progress.LearningRate;
            change(options);
            float[] scores = Scores(options);
            return (rate, scores);
        }
        var sgd = Fit(_ => { });
        Assert.Equal(0.1f, sgd.Rate);
        var adamW = Fit(options => options.Optimizer = new AdamWOptions());
        Assert.Equal(0.001f, adamW.Rate);
        Assert.Equal(sgd.Scores, Fit(options => (options.LearningRate, options.WeightDecay) = (0.1f, 1e-4f)).Scores);
        Assert.Equal(adamW.Scores, Fit(options => (options.Optimizer, options.LearningRate, options.WeightDecay) = (new AdamWOptions(), 0.001f, 0.01f)).Scores);
        foreach (var change in (Action<RepVggTrainer.Options>[])[
            options => options.Optimizer = new AdamWOptions(),
            options => options.Optimizer = new SgdOptions(0.5f),
            options => options.Optimizer = new SgdOptions(Nesterov: true),
            options => options.WeightDecay = 0.1f,
            options => options.GradientClipNorm = 0.1f,
            options => options.GradientAccumulationSteps = 2,
            options => options.LearningRateBaseSize = 8,
            options => options.LayerLearningRateDecay = 0.5f,
            options => options.LearningRateScheduler = new LearningRateScheduler { Shape = ScheduleShape.Polynomial, Power = 2 }])
            Assert.NotEqual(sgd.Scores, Fit(change).Scores);
        Assert.Equal(0.2f, Fit(options => options.LearningRateBaseSize = 8).Rate);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(0.2f)]
    public void The_average_of_the_best_epochs_is_in_the_model_and_in_the_log(float validationFraction)
    {
        var log = new List<string>();
        var context = new MLContext(seed: 1);
        context.Log += (_, line) => { lock (log) log.Add(line.Message); };
        var options = Stripes.Options(epochs: 3);
        (options.ValidationSetFraction, options.AveragedCheckpoints) = (validationFraction, 2);
        using var model = Stripes.Pipeline(context, options).Fit(context.Data.LoadFromEnumerable(Stripes.Rows(90, seed: 1)));
        var classifier = model.LastTransformer;
        string text = Assert.Single(log, line => line.Contains("verage of the weights of the epochs", StringComparison.Ordinal));
        if (validationFraction == 0)
        {
            Assert.Equal([3, 2], classifier.AveragedEpochs);
            Assert.Contains("The model has the average of the weights of the epochs 3, 2.", text, StringComparison.Ordinal);
        }
        else
        {
            Assert.Contains(classifier.AveragedEpochs.Count == 2 ? "The model has the average" : $"is worse than epoch {classifier.BestEpoch}", text, StringComparison.Ordinal);
        }
        options.AveragedCheckpoints = 0;
        using var best = Stripes.Pipeline(context, options).Fit(context.Data.LoadFromEnumerable(Stripes.Rows(90, seed: 1)));
        Assert.Empty(best.LastTransformer.AveragedEpochs);
        Assert.Equal(classifier.AveragedEpochs.Count == 0, best.LastTransformer.Network.Classifier.Bias.SequenceEqual(classifier.Network.Classifier.Bias));
    }

    [Fact]
    public void Progress_reaches_the_callback_and_the_log()
    {
        var reports = new List<TrainingProgress>();
        var log = new List<string>();
        var context = new MLContext(seed: 1);
        context.Log += (_, line) => { lock (log) log.Add(line.Message); };
        var options = Stripes.Options(epochs: 2);
        options.MetricsCallback = reports.Add;
        Scores(options, context);
        Assert.Equal(2, reports.Count(report => report.EpochResult is not null));
        Assert.All(reports, report => Assert.Equal(2, report.Epochs));
        Assert.Contains(log, line => line.Contains("Tiny, training form RepVgg, by SGD on CPU"));
        Assert.Contains(log, line => line.Contains("Epoch 2 of 2"));
    }

    [Fact]
    public void The_log_gives_the_speed_of_training_rather_than_of_validation()
    {
        var log = new List<string>();
        var context = new MLContext(seed: 1);
        context.Log += (_, line) => { lock (log) log.Add(line.Message); };
        var data = context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
        var options = Stripes.Options(epochs: 2);
        options.ValidationSet = context.Transforms.Conversion.MapValueToKey("Label").Fit(data).Transform(context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 9)));
        // Training is the slower pass by construction.
        options.MetricsCallback = progress => Thread.Sleep(progress.IsValidation ? 0 : 5);
        using var model = Stripes.Pipeline(context, options).Fit(data).LastTransformer;
        Assert.Equal(2, model.History.Count);
        foreach (var epoch in model.History)
        {
            string expected = FormattableString.Invariant($"; {60 / epoch.TrainingTime.TotalSeconds:f0} training images/s,");
            Assert.Contains(expected, Assert.Single(log, line => line.Contains($"Epoch {epoch.Epoch} of 2")));
        }
    }

    [Fact]
    public void The_log_of_a_run_without_validation_speaks_of_none()
    {
        var log = new List<string>();
        var context = new MLContext(seed: 1);
        context.Log += (_, line) => { lock (log) log.Add(line.Message); };
        var options = Stripes.Options(epochs: 1);
        options.ValidationSetFraction = 0;
        using var model = Stripes.Pipeline(context, options).Fit(context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1))).LastTransformer;
        string epoch = Assert.Single(log, line => line.Contains("Epoch 1 of 1", StringComparison.Ordinal));
        Assert.Matches(@"Epoch 1 of 1: loss \d\.\d{4}, accuracy \d\.\d{4}; \d+ training images/s, 00:00:00 left\.", epoch);
    }

    [Fact]
    public void A_given_validation_set_is_used()
    {
        var options = Stripes.Options(epochs: 1);
        options.ValidationSet = _context.Transforms.Conversion.MapValueToKey("Label")
            .Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1)))
            .Transform(_context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 9)));
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
        using var model = Stripes.Pipeline(_context, options).Fit(data);
        Assert.NotNull(model.LastTransformer.History.Single().ValidationAccuracy);
    }

    [Fact]
    public void Options_changed_after_the_call_have_no_effect_and_fit_changes_none()
    {
        var options = Stripes.Options(epochs: 1);
        var trainer = _context.MulticlassClassification.Trainers.RepVgg(options);
        options.FeatureColumnName = "Elsewhere";
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
        var keyed = _context.Transforms.Conversion.MapValueToKey("Label").Fit(data).Transform(data);
        using var first = trainer.Fit(keyed);
        using var second = trainer.Fit(keyed);
        Assert.Equal(
            first.Transform(keyed).GetColumn<float[]>("Score").SelectMany(score => score),
            second.Transform(keyed).GetColumn<float[]>("Score").SelectMany(score => score));
    }

    [Fact]
    public void Cross_validation_works()
    {
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(120, seed: 1));
        var results = _context.MulticlassClassification.CrossValidate(data, Stripes.Pipeline(_context), numberOfFolds: 2);
        Assert.Equal(2, results.Count);
        Assert.All(results, result => Assert.InRange(result.Metrics.MicroAccuracy, 0.5, 1));
    }

    [Fact]
    public void A_cancelled_fit_throws_or_returns_the_best_so_far()
    {
        foreach (var behaviour in Enum.GetValues<CancellationBehavior>())
        {
            using var source = new CancellationTokenSource();
            var options = Stripes.Options(epochs: 50);
            options.CancellationToken = source.Token;
            options.OnCancellation = behaviour;
            options.MetricsCallback = progress =>
            {
                if (progress.Epoch == 3)
                    source.Cancel();
            };
            var data = _context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
            if (behaviour == CancellationBehavior.Throw)
            {
                Assert.ThrowsAny<OperationCanceledException>(() => Stripes.Pipeline(_context, options).Fit(data));
                continue;
            }
            using var model = Stripes.Pipeline(_context, options).Fit(data);
            Assert.Equal(StopReason.Cancelled, model.LastTransformer.StopReason);
            Assert.InRange(model.LastTransformer.History.Count, 2, 3);
            Assert.Equal(60, model.Transform(data).GetColumn<uint>("PredictedLabel").Count());
        }
    }

    [Theory]
    [InlineData("Reading")]
    [InlineData("Training")]
    [InlineData("Validation")]
    [InlineData("LastEpoch")]
    public async Task A_fit_can_be_cancelled_where_the_thread_pool_has_no_thread_left(string phase)
    {
        // Fails with exit code 3 where a run does not end.
        await Program.Child.RunAsync("cancel-without-pool", phase);
    }

    [Fact]
    public void A_fit_that_diverges_throws_or_returns_the_best_so_far()
    {
        foreach (var behaviour in Enum.GetValues<DivergenceBehavior>())
        {
            var log = new List<(ChannelMessageKind Kind, string Text)>();
            var context = new MLContext(seed: 1);
            context.Log += (_, line) => { lock (log) log.Add((line.Kind, line.RawMessage)); };
            // Every step multiplies the weights by about -1.3, so that the first epochs succeed.
            var options = Stripes.Options(epochs: 100);
            options.Device = TrainingDevice.Cpu;
            options.LearningRate = 0.1f;
            options.LearningRateScheduler = new LearningRateScheduler { Shape = ScheduleShape.Constant };
            (options.WeightDecay, options.Optimizer) = (23, new SgdOptions(Momentum: 0));
            options.OnDivergence = behaviour;
            var finished = new List<EpochResult>();
            options.MetricsCallback = progress => finished.AddRange(progress.EpochResult is { } epoch ? [epoch] : []);
            var data = context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
            if (behaviour == DivergenceBehavior.Throw)
            {
                Assert.Contains("smaller learning rate", Assert.Throws<TrainingDivergedException>(() => Stripes.Pipeline(context, options).Fit(data)).Message, StringComparison.Ordinal);
                continue;
            }
            using var model = Stripes.Pipeline(context, options).Fit(data);
            var classifier = model.LastTransformer;
            Assert.Equal(StopReason.Diverged, classifier.StopReason);
            Assert.Equal(finished, classifier.History);
            Assert.InRange(classifier.History.Count, 1, 99);
            Assert.Equal(finished.MaxBy(epoch => (epoch.ValidationAccuracy, -epoch.ValidationLoss))!.Epoch, classifier.BestEpoch);
            var warning = Assert.Single(log, line => line.Kind == ChannelMessageKind.Warning);
            Assert.StartsWith($"The model is that of epoch {classifier.BestEpoch}, the best one before training diverged. Training diverged in epoch {classifier.History.Count + 1}, step ", warning.Text, StringComparison.Ordinal);
            Assert.All(model.Transform(data).GetColumn<float[]>("Score"), scores => Assert.Equal(1, scores.Sum(), 1e-4f));

            options.LearningRate = 1e30f;
            Assert.Equal(1, Assert.Throws<TrainingDivergedException>(() => Stripes.Pipeline(context, options).Fit(data)).Epoch);
        }
    }

    [Fact]
    public void A_killed_run_goes_on_from_its_checkpoint_to_the_same_weights()
    {
        string folder = Directory.CreateTempSubdirectory("repvgg-test-").FullName;
        try
        {
            var whole = Scores(Stripes.Options(epochs: 3));
            using var source = new CancellationTokenSource();
            var options = Stripes.Options(epochs: 3);
            options.CheckpointPath = Path.Combine(folder, "run.checkpoint");
            options.CancellationToken = source.Token;
            options.MetricsCallback = progress =>
            {
                if (progress.Epoch == 2 && progress.Step >= 1)
                    source.Cancel();
            };
            Assert.ThrowsAny<OperationCanceledException>(() => Scores(options));

            var resumed = Stripes.Options(epochs: 3);
            resumed.CheckpointPath = options.CheckpointPath;
            Assert.Equal(whole, Scores(resumed));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Exports_onnx_with_the_class_names()
    {
        string folder = Directory.CreateTempSubdirectory("repvgg-test-").FullName;
        try
        {
            var data = _context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
            using var model = Stripes.Pipeline(_context, Stripes.Options(epochs: 1)).Fit(data);
            string path = Path.Combine(folder, "stripes.onnx");
            model.LastTransformer.ExportToOnnx(path);
            var network = global::RepVgg.Weights.Onnx.OnnxReader.Read(path);
            Assert.Equal(model.LastTransformer.Network.Classes, network.Classes);
            Compare.Close(model.LastTransformer.Network.Blocks[1].Kernel.AsSpan(), network.Blocks[1].Kernel.AsSpan(), 0);
            Assert.ThrowsAny<IOException>(() => model.LastTransformer.ExportToOnnx(Path.Combine(folder, "missing", "stripes.onnx")));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
