using System.Globalization;
using System.Text.Json.Nodes;
using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using Xunit;

namespace RepVgg.Tests.Training;

public class ResumeTests
{
    private static readonly InMemorySamples _train = SyntheticTask.Samples(200, 1), _validation = SyntheticTask.Samples(50, 2);

    private static TrainingOptions Options(string? checkpoint) => SyntheticTask.Options with { Epochs = 5, Optimizer = new SgdOptions(Nesterov: true), CheckpointPath = checkpoint };

    private static TrainingResult TrainUntil(TrainingOptions options, int epoch, int step, ISampleSource? validation)
    {
        using var source = new CancellationTokenSource();
        return SyntheticTask.Train(_train, validation, options, progress =>
        {
            if (progress.Epoch == epoch && progress.Step == step && !progress.IsValidation)
                source.Cancel();
        }, source.Token);
    }

    [Theory]
    [InlineData(1, 1, true)]
    [InlineData(3, 1, true)]
    [InlineData(4, 6, true)]
    [InlineData(3, 4, false)]
    public void A_cut_run_ends_with_the_same_bits(int epoch, int step, bool validate)
    {
        using var folder = new TemporaryFolder();
        var validation = validate ? _validation : null;
        var whole = SyntheticTask.Train(_train, validation, Options(null));

        var options = Options(folder.File("run.checkpoint"));
        Assert.Equal(StopReason.Cancelled, TrainUntil(options, epoch, step, validation).StopReason);
        // Another network seed: everything must come from the checkpoint, once there is one.
        var resumed = SyntheticTask.Train(_train, validation, options, threads: 1, networkSeed: epoch == 1 ? 3UL : 99UL);

        Assert.Equal(epoch - 1, resumed.ResumedAfterEpoch);
        Assert.Equal(StopReason.Completed, resumed.StopReason);
        Assert.Equal(whole.BestEpoch, resumed.BestEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        Assert.Equal([options.CheckpointPath!], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void The_best_so_far_survives_the_cut_when_it_is_not_the_latest()
    {
        using var folder = new TemporaryFolder();
        var validation = SyntheticTask.Samples(50, 2, mislabelled: true);
        var plain = Options(null) with { MonitoredMetric = TrainingMetric.Loss };
        var whole = SyntheticTask.Train(_train, validation, plain);
        Assert.InRange(whole.BestEpoch, 1, 3);

        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        Assert.Equal(whole.BestEpoch, TrainUntil(options, 5, 2, validation).BestEpoch);
        var resumed = SyntheticTask.Train(_train, validation, options, networkSeed: 99);
        Assert.Equal((whole.BestEpoch, 4), (resumed.BestEpoch, resumed.ResumedAfterEpoch));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
    }

    [Fact]
    public void The_moving_average_survives_the_cut()
    {
        using var folder = new TemporaryFolder();
        var plain = Options(null) with { EmaDecay = 0.9f };
        var whole = SyntheticTask.Train(_train, _validation, plain);
        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        TrainUntil(options, 4, 3, _validation);
        var resumed = SyntheticTask.Train(_train, _validation, options, networkSeed: 99);
        Assert.Equal(3, resumed.ResumedAfterEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        Assert.NotEqual(SyntheticTask.Train(_train, _validation, Options(null)).Weights["linear.weight"].Values, whole.Weights["linear.weight"].Values);
    }

    /// <summary>Optimizers, with clipped gradients, averages and the custom L2; every step of the runs with 0.05 is clipped.</summary>
    [Theory]
    [InlineData(false, null, 0f, false)]
    [InlineData(false, 0.05f, 0.9f, false)]
    [InlineData(false, 0.5f, 0f, true)]
    [InlineData(true, null, 0f, false)]
    [InlineData(true, 0.05f, 0f, false)]
    [InlineData(true, 0.5f, 0.9f, true)]
    public void A_cut_run_ends_with_the_same_bits_with_every_optimizer(bool adamW, float? clipNorm, float emaDecay, bool customL2)
    {
        using var folder = new TemporaryFolder();
        var plain = Options(null) with
        {
            Optimizer = adamW ? new AdamWOptions(Beta2: 0.99f) : new SgdOptions(),
            LearningRate = adamW ? 0.01f : null,
            GradientClipNorm = clipNorm,
            EmaDecay = emaDecay,
            CustomL2 = customL2,
        };
        var whole = SyntheticTask.Train(_train, _validation, plain);
        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        TrainUntil(options, 4, 3, _validation);
        var resumed = SyntheticTask.Train(_train, _validation, options, threads: 1, networkSeed: 99);
        Assert.Equal(3, resumed.ResumedAfterEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        if (clipNorm is not null)
            Assert.NotEqual(SyntheticTask.Train(_train, _validation, plain with { GradientClipNorm = null }).Weights["linear.weight"].Values, whole.Weights["linear.weight"].Values);
        // The slots are in the file; a step that was lost would be a number of steps of another epoch.
        var (_, tensors) = CheckpointFile.Read(options.CheckpointPath!);
        if (adamW)
            Assert.Equal([5f * 7], tensors["optimizer/step/linear.weight"].Values);
        Assert.Equal(adamW, tensors.Names.Contains("optimizer/exp_avg_sq/linear.weight"));
        Assert.Equal(!adamW, tensors.Names.Contains("optimizer/momentum_buffer/linear.weight"));
    }

    [Fact]
    public void Cut_twice_still_ends_with_the_same_bits()
    {
        using var folder = new TemporaryFolder();
        var whole = SyntheticTask.Train(_train, _validation, Options(null));
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 3, _validation);
        TrainUntil(options, 4, 2, _validation);
        var resumed = SyntheticTask.Train(_train, _validation, options);
        Assert.Equal(3, resumed.ResumedAfterEpoch);
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
    }

    [Fact]
    public void A_finished_run_gives_its_result_at_once()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        var first = SyntheticTask.Train(_train, _validation, options);
        int batches = 0;
        var again = SyntheticTask.Train(_train, _validation, options, _ => batches++, networkSeed: 99);
        Assert.Equal(0, batches);
        Assert.Equal(5, again.ResumedAfterEpoch);
        Assert.Equal(first.BestEpoch, again.BestEpoch);
        TrainingLoopTests.SameBits(first.Weights, again.Weights);
    }

    [Fact]
    public void An_early_stopped_run_stays_stopped()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint")) with { EarlyStoppingCriteria = new() { MinDelta = 0.9, Patience = 2 } };
        var first = SyntheticTask.Train(_train, _validation, options);
        var again = SyntheticTask.Train(_train, _validation, options);
        Assert.Equal(StopReason.EarlyStopped, first.StopReason);
        Assert.Equal((first.StopReason, first.History.Count, first.BestEpoch), (again.StopReason, again.History.Count, again.BestEpoch));
    }

    [Fact]
    public void Another_runs_checkpoint_is_refused_and_left_alone()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        byte[] before = File.ReadAllBytes(options.CheckpointPath!);

        void Refused(string expected, TrainingOptions other, ISampleSource? train = null, ISampleSource? validation = null)
        {
            var error = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(train ?? _train, validation ?? _validation, other));
            Assert.Contains(expected, error.Message, StringComparison.Ordinal);
            Assert.Contains(options.CheckpointPath!, error.Message, StringComparison.Ordinal);
        }
        Refused("the options differ (Epochs was 5 and is 6)", options with { Epochs = 6 });
        Refused("LearningRate was 0.1 and is 0.2", options with { LearningRate = 0.2f });
        Refused("Seed was 11 and is 12", options with { Seed = 12 });
        Refused("the options differ (Optimizer.Momentum was 0.9 and is 0.8)", options with { Optimizer = new SgdOptions(0.8f, Nesterov: true) });
        Refused(
            """Optimizer was {"Algorithm":"SGD","Momentum":0.9,"Nesterov":true} and is {"Algorithm":"AdamW","Beta1":0.9,"Beta2":0.999,"Epsilon":1E-08}""",
            options with { Optimizer = new AdamWOptions() });
        Refused("GradientClipNorm was not given and is 1", options with { GradientClipNorm = 1 });
        Refused("LearningRateScheduler.WarmUpEpochs was 0.5 and is 0", options with { LearningRateScheduler = new() });
        Refused("Augmentation.CropPadding was 1 and is 0", options with { Augmentation = Augmentation.None });
        Refused("the data differ (Training pixels was", options, SyntheticTask.Samples(200, 5));
        Refused("the data differ (Validation set was \"50 images of 1 x 12 x 12\" and is \"51 images of 1 x 12 x 12\"", options, null, SyntheticTask.Samples(51, 2));
        Refused("the options differ (Epochs was 5 and is 6; Optimizer.Nesterov was true and is false; LearningRate was 0.1 and is 0.2; ...", options with { Epochs = 6, LearningRate = 0.2f, Optimizer = new SgdOptions(), Dropout = 0.1f });
        Assert.Equal(before, File.ReadAllBytes(options.CheckpointPath!));
    }

    /// <summary>What the channels and strides of the blocks do not tell: MobileOne's number of convolutions, and whether the last block of a stage has one layer or two.</summary>
    [Theory]
    [InlineData(TrainingForm.MobileOne, 3)]
    [InlineData(TrainingForm.ResidualReorg, 4)]
    public void Another_runs_checkpoint_is_refused_if_only_the_layers_of_blocks_differ(TrainingForm form, int depth)
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint")) with { Epochs = 1 };
        var architecture = RandomNetworks.Architecture(1, 1, SqueezeExcitation.None, (4, 1, 2), (4, 3, 2)) with { TrainingForm = form };
        SyntheticTask.Train(_train, _validation, options, architecture: architecture);
        var other = architecture with { ConvolutionBranches = 2, Stages = [architecture.Stages[0], architecture.Stages[1] with { Depth = depth }] };
        var error = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, _validation, options, architecture: other));
        Assert.Contains("belongs to another run: the network differs (Blocks was ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_with_other_hyperparameters_of_AdamW_is_refused()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint")) with { Optimizer = new AdamWOptions(), LearningRate = null };
        TrainUntil(options, 2, 1, _validation);
        foreach (var (expected, optimizer) in ((string, OptimizerOptions)[])[
            ("Optimizer.Beta1 was 0.9 and is 0.8)", new AdamWOptions(Beta1: 0.8f)),
            ("Optimizer.Beta2 was 0.999 and is 0.99)", new AdamWOptions(Beta2: 0.99f)),
            ("Optimizer.Epsilon was 1E-08 and is 1E-07)", new AdamWOptions(Epsilon: 1e-7f))])
        {
            var error = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, _validation, options with { Optimizer = optimizer }));
            Assert.Contains($"belongs to another run: the options differ ({expected}", error.Message, StringComparison.Ordinal);
        }
        // The usual learning rate and weight decay are the same run whether they are given or not.
        Assert.Equal(1, SyntheticTask.Train(_train, _validation, options with { LearningRate = 0.001f, WeightDecay = 0.01f }).ResumedAfterEpoch);
    }

    /// <summary>What can change in the data under a normalisation that is given.</summary>
    public static TheoryData<string> Changes => ["one pixel", "two images swapped", "one label", "a validation pixel", "two validation labels swapped"];

    [Theory]
    [MemberData(nameof(Changes))]
    public void Changed_data_is_refused(string change)
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        var (pixels, labels) = Content(_train);
        var (validationPixels, validationLabels) = Content(_validation);
        int length = SyntheticTask.Size * SyntheticTask.Size;
        switch (change)
        {
            case "one pixel":
                // Not in one of the images that a sample of 64 would include.
                pixels[131 * length + 77] ^= 1;
                break;
            case "two images swapped":
                byte[] first = pixels[..length];
                pixels.AsSpan(4 * length, length).CopyTo(pixels);
                first.CopyTo(pixels, 4 * length);
                break;
            case "one label":
                labels[150] = (labels[150] + 1) % SyntheticTask.Classes;
                break;
            case "a validation pixel":
                validationPixels[^1] ^= 1;
                break;
            default:
                (validationLabels[0], validationLabels[1]) = (validationLabels[1], validationLabels[0]);
                break;
        }
        var error = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(Samples(pixels, labels), Samples(validationPixels, validationLabels), options));
        string expected = change switch { "one label" => "Training labels", "a validation pixel" => "Validation pixels", "two validation labels swapped" => "Validation labels", _ => "Training pixels" };
        Assert.Contains($"belongs to another run: the data differ ({expected} was ", error.Message, StringComparison.Ordinal);
        Assert.Equal(5, SyntheticTask.Train(_train, _validation, options).History.Count);
    }

    [Fact]
    public void The_same_values_are_the_same_data_however_they_are_stored()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        var (pixels, labels) = Content(_train);
        var floats = new InMemorySamples(Array.ConvertAll(pixels, pixel => (float)pixel), labels, 1, SyntheticTask.Size, SyntheticTask.Size, SyntheticTask.Classes);
        Assert.Equal(1, SyntheticTask.Train(floats, _validation, options).ResumedAfterEpoch);
    }

    [Fact]
    public void A_run_goes_on_under_another_culture()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint")) with
        {
            LearningRateScheduler = new() { WarmUpEpochs = 0.5, FinalFraction = 0.01 },
            Augmentation = new() { CropPadding = 1, ErasingProbability = 0.25 },
            EarlyStoppingCriteria = new() { MinDelta = 0.125, Patience = 30 },
            WeightDecay = 1.5e-5f,
        };
        var before = CultureInfo.CurrentCulture;
        try
        {
            var whole = SyntheticTask.Train(_train, _validation, options with { CheckpointPath = null });
            TrainUntil(options, 3, 1, _validation);
            var other = (CultureInfo)CultureInfo.InvariantCulture.Clone();
            (other.NumberFormat.NumberDecimalSeparator, other.NumberFormat.NumberGroupSeparator, other.NumberFormat.NegativeSign) = (",", ".", "\u2212");
            CultureInfo.CurrentCulture = other;
            var resumed = SyntheticTask.Train(_train, _validation, options);
            Assert.Equal(2, resumed.ResumedAfterEpoch);
            TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Fact]
    public void Every_option_that_has_an_influence_is_compared()
    {
        string[] notCompared = [nameof(TrainingOptions.MinimumSamplesPerClass), nameof(TrainingOptions.CheckpointPath), nameof(TrainingOptions.ReturnBestOnDivergence)];
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        var fingerprint = RunFingerprint.Of(network, RunFingerprint.Describe(_train, null, CancellationToken.None)!, SyntheticTask.Normalization, Options("run.checkpoint"))!;
        Assert.Equal(
            typeof(TrainingOptions).GetProperties().Select(property => property.Name).Except(notCompared).Order(StringComparer.Ordinal),
            fingerprint["options"]!.AsObject().Select(pair => pair.Key).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void The_whole_hash_of_the_pixels_is_compared()
    {
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        var fingerprint = RunFingerprint.Of(network, RunFingerprint.Describe(_train, null, CancellationToken.None)!, SyntheticTask.Normalization, Options("run.checkpoint"))!;
        byte[] hashed = [.. Enumerable.Range(0, _train.Count).SelectMany(i => (byte[])[1, .. _train.ReadBytes(i, [])])];
        Assert.Equal(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(hashed)), (string?)fingerprint["data"]!["Training pixels"]);
    }

    [Fact]
    public void A_checkpoint_of_another_version_is_named_as_such()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        foreach (string run in new[] { """{"Architecture":"tiny","Training set":"200 images 1x12x12, 0123456789abcdef"}""", """{"Version":4}""", """{"Version":99}""", """{"Version":"2"}""", "null", "[]" })
        {
            var (text, tensors) = CheckpointFile.Read(options.CheckpointPath!);
            var json = JsonNode.Parse(text)!.AsObject();
            json["run"] = JsonNode.Parse(run);
            CheckpointFile.Write(options.CheckpointPath!, json.ToJsonString(), tensors);
            var error = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, _validation, options));
            Assert.Contains("run.checkpoint' was written by an earlier or later version of this library", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Control_characters_and_long_texts_of_a_checkpoint_are_not_in_the_message()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        foreach (string part in new[] { "data", "network", "options" })
        {
            var (text, tensors) = CheckpointFile.Read(options.CheckpointPath!);
            var json = JsonNode.Parse(text)!.AsObject();
            json["run"]![part]![$"\u001b[31m{new string('n', 10_000)}"] = $"\u009b\u001b]0;{new string('v', 10_000)}";
            string changed = folder.File("changed.checkpoint");
            CheckpointFile.Write(changed, json.ToJsonString(), tensors);
            string message = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, _validation, options with { CheckpointPath = changed })).Message;
            Assert.Contains($"the {part} {(part == "network" ? "differs" : "differ")} (?[31mnnn", message, StringComparison.Ordinal);
            Assert.DoesNotContain(message, char.IsControl);
            Assert.InRange(message.Length, 1, 1000);
        }
    }

    [Fact]
    public void A_run_can_be_cancelled_while_its_data_are_compared()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        var result = SyntheticTask.Train(_train, _validation, options, cancellation: new CancellationToken(true));
        Assert.Equal((StopReason.Cancelled, 0), (result.StopReason, result.BestEpoch));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    private static (byte[] Pixels, int[] Labels) Content(InMemorySamples samples) => (
        [.. Enumerable.Range(0, samples.Count).SelectMany(i => samples.ReadBytes(i, []).ToArray())], [.. Enumerable.Range(0, samples.Count).Select(samples.LabelOf)]);

    private static InMemorySamples Samples(byte[] pixels, int[] labels) => new(pixels, labels, 1, SyntheticTask.Size, SyntheticTask.Size, SyntheticTask.Classes);

    [Fact]
    public void A_damaged_checkpoint_is_an_error()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        byte[] whole = File.ReadAllBytes(options.CheckpointPath!);
        File.WriteAllBytes(options.CheckpointPath!, whole[..(whole.Length / 2)]);
        var error = Assert.Throws<InvalidDataException>(() => SyntheticTask.Train(_train, _validation, options));
        Assert.Contains("truncated or damaged", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"bestEpoch\":", "\"bestEpoch\":9")]
    [InlineData("\"bestEpoch\":", "\"other\":")]
    [InlineData("\"nextBestEpochs\":", "\"other\":")]
    [InlineData("\"nextBestEpochs\":[", "\"nextBestEpochs\":[9")]
    [InlineData("\"nextBestEpochs\":[", "\"nextBestEpochs\":[1")]
    [InlineData("\"history\":[", "\"history\":[null,")]
    [InlineData("\"history\":", "\"other\":")]
    [InlineData("{", "{\"run\":{},")]
    [InlineData("{", "[")]
    public void A_checkpoint_of_another_content_with_a_right_checksum_is_damaged(string part, string changed)
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        var (text, tensors) = CheckpointFile.Read(options.CheckpointPath!);
        int at = text.IndexOf(part, StringComparison.Ordinal);
        CheckpointFile.Write(options.CheckpointPath!, text[..at] + changed + text[(at + part.Length)..], tensors);
        var error = Assert.Throws<InvalidDataException>(() => SyntheticTask.Train(_train, _validation, options));
        Assert.Contains("was not written by this library", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("weights/")]
    [InlineData("optimizer/")]
    public void A_checkpoint_without_a_tensor_is_damaged(string prefix)
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        var (text, tensors) = CheckpointFile.Read(options.CheckpointPath!);
        string lost = tensors.Names.First(name => name.StartsWith(prefix, StringComparison.Ordinal));
        var others = new StateDict();
        foreach (var (name, tensor) in tensors)
        {
            if (name != lost)
                others[name] = tensor;
        }
        CheckpointFile.Write(options.CheckpointPath!, text, others);
        var error = Assert.Throws<InvalidDataException>(() => SyntheticTask.Train(_train, _validation, options));
        Assert.Contains(lost[prefix.Length..], error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_place_that_cannot_be_written_is_noticed_before_training()
    {
        using var folder = new TemporaryFolder();
        int batches = 0;
        var error = Assert.Throws<DirectoryNotFoundException>(() => SyntheticTask.Train(_train, _validation, Options(Path.Combine(folder.Path, "missing", "run.checkpoint")), _ => batches++));
        Assert.StartsWith("The training checkpoint '", error.Message, StringComparison.Ordinal);
        Assert.Contains("run.checkpoint' cannot be written: the folder '", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, batches);
    }
}
