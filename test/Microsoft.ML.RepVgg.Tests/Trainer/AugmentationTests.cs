using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

public class AugmentationTests
{
    private static readonly Augmentation _everything = new()
    {
        RandomResizedCrop = new RandomResizedCrop { MinimumScale = 0.6 },
        ColorJitter = new ColorJitter { Brightness = 0.2, Contrast = 0.2, Saturation = 0.2 },
        RandAugment = new RandAugment { Operations = RandAugmentOperations.All, Magnitude = 4, MagnitudeDeviation = double.PositiveInfinity },
        Rotation = 5,
        CropPadding = 1,
        ErasingProbability = 0.2,
        Mixing = new Mixing { MixupAlpha = 0.2, CutMixAlpha = 1, UnmixedEpochs = 4 },
    };

    private static RepVggTransformer Fit(List<Stripes.Row> rows, Action<RepVggTrainer.Options> change)
    {
        var context = new MLContext(seed: 1);
        var options = Stripes.Options(epochs: 12);
        options.Augmentation = _everything;
        change(options);
        return Stripes.Pipeline(context, options).Fit(context.Data.LoadFromEnumerable(rows)).LastTransformer;
    }

    [Fact]
    public void A_network_learns_with_every_augmentation_at_once()
    {
        using var model = Fit(Stripes.Rows(300, 1), _ => { });
        Assert.InRange(model.History[^1].ValidationAccuracy!.Value, 0.9, 1);
        // Images that are mixed cannot be classified as well.
        Assert.True(model.History[7].TrainingLoss > model.History[8].TrainingLoss + 0.1);
    }

    [Fact]
    public void A_run_with_every_augmentation_resumes_from_its_checkpoint_with_the_same_bits()
    {
        using var folder = new TemporaryFolder();
        var rows = Stripes.Rows(60, 1);
        using var whole = Fit(rows, options => options.Epochs = 3);
        using var source = new CancellationTokenSource();
        var resumable = (RepVggTrainer.Options options) =>
        {
            options.Epochs = 3;
            options.CheckpointPath = folder.File("run.checkpoint");
            options.NumberOfThreads = 1;
        };
        Assert.Throws<OperationCanceledException>(() => Fit(rows, options =>
        {
            resumable(options);
            options.CancellationToken = source.Token;
            options.MetricsCallback = progress =>
            {
                if (progress.EpochResult is { Epoch: 2 })
                    source.Cancel();
            };
        }));
        using var resumed = Fit(rows, resumable);
        Assert.Equal(whole.History.Select(epoch => (epoch.TrainingLoss, epoch.ValidationLoss)), resumed.History.Select(epoch => (epoch.TrainingLoss, epoch.ValidationLoss)));
    }

    [Fact]
    public void Operations_on_bytes_refuse_pixels_that_are_no_bytes_with_their_row()
    {
        var rows = Stripes.Rows(60, 1);
        rows[21].Features[3] = 0.5f;
        var error = Assert.Throws<InvalidOperationException>(() => Fit(rows, options => options.ValidationSetFraction = 0));
        Assert.StartsWith("Row 21: RandomResizedCrop, ColorJitter, RandAugment and Rotation compute on bytes", error.Message, StringComparison.Ordinal);
        using var model = Fit(rows, options => options.Augmentation = new Augmentation { CropPadding = 1, Mixing = new Mixing { MixupAlpha = 0.2 } });
    }

    [Fact]
    public void Values_out_of_range_are_named()
    {
        Refused("MixupAlpha is 0", new Augmentation { Mixing = new Mixing() });
        Refused("Probability is 1.5", new Augmentation { Mixing = new Mixing { CutMixAlpha = 1, Probability = 1.5 } });
        Refused("UnmixedEpochs is -1", new Augmentation { Mixing = new Mixing { CutMixAlpha = 1, UnmixedEpochs = -1 } });
        Refused("MinimumScale is 0.5; it must be more than 0 and at most MaximumScale (0.3)", new Augmentation { RandomResizedCrop = new RandomResizedCrop { MinimumScale = 0.5, MaximumScale = 0.3 } });
        Refused("MinimumRatio is 0", new Augmentation { RandomResizedCrop = new RandomResizedCrop { MinimumRatio = 0 } });
        Refused("Operations is None", new Augmentation { RandAugment = new RandAugment { Operations = RandAugmentOperations.None } });
        Refused("Magnitude is 11; it must be between 0 and MaximumMagnitude (10)", new Augmentation { RandAugment = new RandAugment { Magnitude = 11 } });
        Refused("Contrast is NaN", new Augmentation { ColorJitter = new ColorJitter { Contrast = double.NaN } });
        // The images are grey.
        Refused("RandAugment has no operation but Color", new Augmentation { RandAugment = new RandAugment { Operations = RandAugmentOperations.Color } });
        Refused("ColorJitter changes nothing but the saturation or the hue", new Augmentation { ColorJitter = new ColorJitter { Saturation = 0.4 } });
        Refused("ColorJitter changes nothing but the saturation or the hue", new Augmentation { ColorJitter = new ColorJitter { Hue = 0.1 } });
        Refused("Probability is NaN", new Augmentation { ColorJitter = new ColorJitter { Brightness = 0.1, Probability = double.NaN } });
        Refused("Hue is 0.6; it must be between 0 and 0.5", new Augmentation { ColorJitter = new ColorJitter { Hue = 0.6 } });
        Refused("Rotation is 200", new Augmentation { Rotation = 200 });

        static void Refused(string expected, Augmentation augmentation) =>
            Assert.Contains(expected, Assert.Throws<ArgumentException>(() => Fit(Stripes.Rows(30, 1), options => options.Augmentation = augmentation)).Message, StringComparison.Ordinal);
    }
}
