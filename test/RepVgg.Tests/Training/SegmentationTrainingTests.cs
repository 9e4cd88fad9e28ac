using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training;

public class SegmentationTrainingTests
{
    private const int Side = SyntheticMasks.Side, Classes = SyntheticMasks.Classes;
    private const byte Ignored = SyntheticMasks.Ignored;

    private static readonly PspNetArchitecture _architecture = SyntheticMasks.Architecture;

    private static TrainingOptions Options => SyntheticMasks.Options;

    private static MaskedSamples Samples(int count, int seed, int height = Side, int width = Side, bool isLabelled = true) => SyntheticMasks.Samples(count, seed, height, width, isLabelled);

    private static TrainingResult Train(MaskedSamples train, MaskedSamples? validation, TrainingOptions options, int threads = 1, Action<TrainingProgress>? progress = null, CancellationToken cancellation = default, ulong seed = 1)
    {
        using var backend = new CpuBackend(threads);
        using var network = new TrainingNetwork(_architecture, backend, seed);
        return TrainingLoop.Run(backend, network, train, validation, SyntheticMasks.Normalization, options, progress, cancellation);
    }

    [Fact]
    public void A_network_learns_to_label_pixels_and_the_fused_network_gives_the_metrics_of_the_run()
    {
        var (train, validation) = (Samples(64, 1), Samples(20, 2));
        var steps = new List<TrainingProgress>();
        var result = Train(train, validation, Options, progress: steps.Add);

        var best = result.History[result.BestEpoch - 1];
        Assert.Equal(result.History.Max(epoch => epoch.ValidationMeanIoU), best.ValidationMeanIoU);
        // The ground alone has an IoU of about 0.75, so that a constant guess has a mean of 0.25.
        Assert.True(best.ValidationMeanIoU > 0.7, $"mean IoU {best.ValidationMeanIoU}");
        Assert.True(result.History[^1].TrainingMeanIoU > result.History[0].TrainingMeanIoU);
        Assert.Null(best.ValidationTop5Accuracy);
        Assert.All(steps, step => Assert.NotNull(step.MeanIoU));

        using var engine = new SegmentationEngine(SegmentationNetwork.FromTrainingForm(_architecture, result.Weights, Side, Side, SyntheticMasks.Normalization), threads: 1);
        long[] counts = new long[Classes * Classes];
        byte[] image = new byte[engine.InputLength], mask = new byte[engine.MaskLength], predicted = new byte[engine.MaskLength];
        for (int i = 0; i < validation.Count; i++)
        {
            engine.Run(validation.Images.ReadBytes(i, image), 1, predicted);
            var labels = validation.Masks.ReadBytes(i, mask);
            for (int p = 0; p < predicted.Length; p++)
            {
                if (labels[p] != Ignored)
                    counts[labels[p] * Classes + predicted[p]]++;
            }
        }
        // Rounding can change the class of single pixels between two equal logits.
        var metrics = new SegmentationMetrics(counts);
        Assert.Equal(best.ValidationMeanIoU!.Value, metrics.MeanIoU, 0.002);
        Assert.Equal(best.ValidationAccuracy!.Value, metrics.PixelAccuracy, 0.001);
        Assert.Equal(validation.Count * (Side - 2) * (Side - 2), metrics.LabelledPixels);
    }

    [Fact]
    public void A_cut_run_ends_with_the_same_bits_with_any_number_of_threads()
    {
        using var folder = new TemporaryFolder();
        var (train, validation) = Samples(40, 3).Split(0.25, seed: 1);
        var options = Options with { Epochs = 3 };
        var whole = Train(train, validation, options);
        options = options with { CheckpointPath = folder.File("run.checkpoint") };
        using (var source = new CancellationTokenSource())
        {
            Train(train, validation, options, 2, progress =>
            {
                if (progress is { Epoch: 2, Step: 2, IsValidation: false })
                    source.Cancel();
            }, source.Token);
        }
        var resumed = Train(train, validation, options, 2, seed: 99);

        Assert.Equal(1, resumed.ResumedAfterEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
    }

    [Fact]
    public void A_checkpoint_of_other_masks_or_another_head_is_refused()
    {
        using var folder = new TemporaryFolder();
        var options = Options with { Epochs = 1, CheckpointPath = folder.File("run.checkpoint") };
        var samples = Samples(16, 4);
        Train(samples, null, options);

        var other = new MaskedSamples(samples.Images, Samples(16, 5).Masks, Classes, Ignored);
        Assert.Contains("the data differ", Assert.Throws<InvalidOperationException>(() => Train(other, null, options)).Message, StringComparison.Ordinal);
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(_architecture with { AlignCorners = false }, backend, 1);
        Assert.Contains("align_corners", Assert.Throws<InvalidOperationException>(() => TrainingLoop.Run(backend, network, samples, null, SyntheticMasks.Normalization, options)).Message, StringComparison.Ordinal);
        Assert.Contains("SegmentationAugmentation.Rotation", Assert.Throws<InvalidOperationException>(() => Train(samples, null, options with { SegmentationAugmentation = options.SegmentationAugmentation! with { Rotation = 20 } })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Large_images_are_cut_and_sets_without_labels_are_refused()
    {
        var large = Samples(6, 6, height: 40, width: 30);
        var result = Train(large, large, Options with { Epochs = 1, BatchSize = 3 });
        Assert.InRange(result.History[0].ValidationLoss!.Value, 1e-3, 10);

        var unlabelled = Samples(4, 7, isLabelled: false);
        Assert.Contains("No pixel of the masks of the training set", Assert.Throws<ArgumentException>(() => Train(unlabelled, null, Options)).Message, StringComparison.Ordinal);
        Assert.Contains("No pixel of the masks of the validation set", Assert.Throws<ArgumentException>(() => Train(large, unlabelled, Options)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("LabelSmoothing")]
    [InlineData("BalancedSampling")]
    [InlineData("Augmentation is")]
    [InlineData("SegmentationAugmentation is null")]
    [InlineData("the training set has 1 image")]
    [InlineData("the training set is empty")]
    [InlineData("the training set has 4 classes, but the network has 3")]
    [InlineData("GradientAccumulationSteps is 9")]
    [InlineData("ClassWeights")]
    public void Options_and_data_that_do_not_suit_segmentation_are_refused(string reason)
    {
        var samples = Samples(4, 8);
        var options = reason switch
        {
            "LabelSmoothing" => Options with { LabelSmoothing = 0.1f },
            "BalancedSampling" => Options with { BalancedSampling = true },
            "Augmentation is" => Options with { Augmentation = Augmentation.None with { HorizontalFlip = true } },
            "SegmentationAugmentation is null" => Options with { SegmentationAugmentation = null },
            "GradientAccumulationSteps is 9" => Options with { GradientAccumulationSteps = 9 },
            "ClassWeights" => Options with { ClassWeights = [1, 2] },
            _ => Options,
        };
        samples = reason switch
        {
            "the training set has 1 image" => Samples(1, 8),
            "the training set is empty" => Samples(0, 8),
            "the training set has 4 classes, but the network has 3" => new MaskedSamples(samples.Images, samples.Masks, 4, Ignored),
            _ => samples,
        };
        Assert.Contains(reason, Assert.Throws<ArgumentException>(() => Train(samples, null, options)).Message, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void Classification_has_no_mean_IoU()
    {
        var samples = SyntheticTask.Samples(20, 1);
        foreach (var options in (TrainingOptions[])[SyntheticTask.Options with { MonitoredMetric = TrainingMetric.MeanIoU }, SyntheticTask.Options with { EarlyStoppingCriteria = new EarlyStoppingCriteria { Metric = TrainingMetric.MeanIoU } }])
            Assert.Contains("Accuracy or Loss for classification", Assert.Throws<ArgumentException>(() => SyntheticTask.Train(samples, null, options)).Message, StringComparison.Ordinal);
    }
}
