using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Runtime;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training;

/// <summary>Progressive resizing, compared with runs on images that were resized before, by the definition of the filter.</summary>
public class ProgressiveResizingTests
{
    private const int Size = SyntheticTask.Size, Smaller = 8, Classes = SyntheticTask.Classes;

    private static readonly InMemorySamples _train = SyntheticTask.Samples(120, 1), _validation = SyntheticTask.Samples(60, 2);

    /// <summary>Epochs 1 and 2 have 8 x 8 pixels, the others 12 x 12: the product of the strides is 4.</summary>
    private static TrainingOptions Options => SyntheticTask.Options with
    {
        Epochs = 4,
        LearningRateScheduler = new() { Shape = ScheduleShape.Constant },
        LearningRate = 0.05f,
        Augmentation = new Augmentation { HorizontalFlip = true },
        ProgressiveResizing = new ProgressiveResizing { InitialScale = 0.6, GrowthFraction = 0.5 },
    };

    /// <summary>Resizes an image: each pass is rounded to bytes, the rows first.</summary>
    private static byte[] Resize(ReadOnlySpan<byte> image, int stride, int left, int top, int width, int height, int newWidth, int newHeight)
    {
        byte[] narrow = new byte[height * newWidth], result = new byte[newHeight * newWidth];
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < newWidth; x++)
                narrow[y * newWidth + x] = Filter(image[((top + y) * stride + left)..], 1, width, x, newWidth);
        }
        for (int y = 0; y < newHeight; y++)
        {
            for (int x = 0; x < newWidth; x++)
                result[y * newWidth + x] = Filter(narrow.AsSpan(x), newWidth, height, y, newHeight);
        }
        return result;
    }

    private const double WeightUnit = 1 << 22;

    /// <summary>The mean of all pixels of a line, weighted by a triangle around the center of the new pixel. Weights have 22 fractional bits, as those of Pillow.</summary>
    private static byte Filter(ReadOnlySpan<byte> pixels, int step, int length, int index, int newLength)
    {
        double scale = (double)length / newLength, support = Math.Max(scale, 1), center = (index + 0.5) * scale, sum = 0;
        double[] weights = [.. Enumerable.Range(0, length).Select(j => Math.Max(0, 1 - Math.Abs(j + 0.5 - center) / support))];
        for (int j = 0; j < length; j++)
            sum += Math.Floor(weights[j] / weights.Sum() * WeightUnit + 0.5) * pixels[j * step];
        return (byte)Math.Floor(sum / WeightUnit + 0.5);
    }

    private static byte[] Resized(InMemorySamples samples, int index) => Resize(samples.ReadBytes(index, []), Size, 0, 0, Size, Size, Smaller, Smaller);

    private static InMemorySamples Resized(InMemorySamples samples) => new(
        [.. Enumerable.Range(0, samples.Count).SelectMany(i => Resized(samples, i))], [.. Enumerable.Range(0, samples.Count).Select(samples.LabelOf)], 1, Smaller, Smaller, Classes);

    [Theory]
    [InlineData(1, 8, 224, 224, 32, 128, 128)] // 112 is 3.5 strides
    [InlineData(2, 8, 224, 224, 32, 128, 128)] // 130.7
    [InlineData(4, 8, 224, 224, 32, 160, 160)] // 168
    [InlineData(5, 8, 224, 224, 32, 192, 192)] // 186.7
    [InlineData(6, 8, 224, 224, 32, 192, 192)] // 205.3
    [InlineData(7, 8, 224, 224, 32, 224, 224)]
    [InlineData(8, 8, 224, 224, 32, 224, 224)]
    [InlineData(1, 4, 64, 96, 16, 32, 48)]
    [InlineData(2, 4, 64, 96, 16, 48, 64)] // 42.7 and 64
    [InlineData(3, 4, 64, 96, 16, 48, 80)] // 53.3 and 80
    [InlineData(1, 3, 28, 28, 8, 16, 16)] // 14
    [InlineData(2, 3, 28, 28, 8, 24, 24)] // 21
    [InlineData(3, 3, 28, 28, 8, 28, 28)]
    [InlineData(1, 4, 40, 33, 32, 32, 32)] // 20 and 16.5: at least one stride
    [InlineData(1, 1, 64, 64, 8, 64, 64)] // the last epoch has the full size
    public void The_side_grows_linearly_in_multiples_of_the_strides(int epoch, int epochs, int height, int width, int stride, int expectedHeight, int expectedWidth) =>
        Assert.Equal((expectedHeight, expectedWidth), new ProgressiveResizing().SizeOf(epoch, epochs, height, width, stride));

    [Fact]
    public void Without_an_early_end_of_the_growth_the_last_epoch_alone_has_the_full_size()
    {
        var resizing = new ProgressiveResizing { InitialScale = 0.25, GrowthFraction = 1 };
        Assert.Equal([16, 26, 35, 45, 54, 64], Enumerable.Range(1, 6).Select(epoch => resizing.SizeOf(epoch, 6, 64, 64, 1).Height));
    }

    /// <summary>The losses of the first epochs are those of runs on smaller images, and the weights after them are validated at the full size.</summary>
    [Theory]
    [InlineData("flips")]
    [InlineData("cutmix")]
    [InlineData("erasing")]
    [InlineData("teacher")]
    public void The_first_epochs_train_on_smaller_images(string recipe)
    {
        var teacher = DeployNetwork.FromTrainingForm(SyntheticTask.Architecture, Initialization.Draw(SyntheticTask.Architecture, Classes, 9), 32, 48, SyntheticTask.Normalization);
        var options = recipe switch
        {
            "cutmix" => Options with { Augmentation = new Augmentation { Mixing = new Mixing { CutMixAlpha = 1 } } },
            "erasing" => Options with { Augmentation = new Augmentation { HorizontalFlip = true, ErasingProbability = 0.5 } },
            "teacher" => Options with { Distillation = new Distillation(teacher, 2, 0.5f) },
            _ => Options,
        };
        var result = SyntheticTask.Train(_train, _validation, options);
        var expected = SyntheticTask.Train(Resized(_train), null, options with { Epochs = 2, ProgressiveResizing = null });
        Assert.Equal(expected.History.Select(epoch => epoch.TrainingLoss), result.History.Take(2).Select(epoch => epoch.TrainingLoss));

        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, Classes, backend, 1);
        network.ImportState(expected.Weights);
        float[][] logits = TrainingLoop.Evaluate(backend, network, _validation, SyntheticTask.Normalization, 20)!;
        double loss = logits.Select((row, i) => Math.Log(row.Sum(value => Math.Exp(value))) - row[_validation.LabelOf(i)]).Average();
        Assert.Equal(loss, result.History[1].ValidationLoss!.Value, 1e-5);

        // The third epoch has the full size: its loss is not that of a third epoch on smaller images.
        var third = SyntheticTask.Train(Resized(_train), null, options with { Epochs = 3, ProgressiveResizing = null }).History[2];
        Assert.NotEqual(third.TrainingLoss, result.History[2].TrainingLoss);
    }

    /// <summary>Every image of a batch is the resized image, shifted by up to 2 instead of 3 pixels, mirrored or not.</summary>
    [Fact]
    public void Shifts_are_reduced_in_proportion()
    {
        var augmenter = new ImageAugmenter(new Augmentation { HorizontalFlip = true, CropPadding = 3 }, SyntheticTask.Normalization, 1, Size, Size).Reduced(Smaller, Smaller);
        var shifts = new HashSet<(int, int, bool)>();
        for (int epoch = 1; epoch <= 5; epoch++)
        {
            using var loader = BatchLoader.Training(_train, augmenter, _train.Count, seed: 4, epoch);
            var random = new RandomStream(4, RandomStream.Purpose.Shuffle, (ulong)epoch);
            int[] order = [.. Enumerable.Range(0, _train.Count)];
            random.Shuffle(order);
            var batch = loader.Next()!;
            Assert.Equal(_train.Count * Smaller * Smaller, batch.Images.Length);
            for (int i = 0; i < batch.Count; i++)
            {
                float[] actual = batch.Images.Slice(i * Smaller * Smaller, Smaller * Smaller).ToArray();
                byte[] resized = Resized(_train, order[i]);
                var matches =
                    from dy in Enumerable.Range(-2, 5)
                    from dx in Enumerable.Range(-2, 5)
                    from mirror in new[] { false, true }
                    where Shifted(resized, dy, dx, mirror).SequenceEqual(actual)
                    select (dy, dx, mirror);
                shifts.Add(Assert.Single(matches));
            }
        }
        Assert.Equal(50, shifts.Count);
    }

    private static IEnumerable<float> Shifted(byte[] image, int dy, int dx, bool mirror)
    {
        for (int i = 0; i < image.Length; i++)
        {
            int y = i / Smaller + dy, x = (mirror ? Smaller - 1 - i % Smaller : i % Smaller) + dx;
            byte pixel = y is >= 0 and < Smaller && x is >= 0 and < Smaller ? image[y * Smaller + x] : (byte)0;
            yield return (pixel - 128f) / 64;
        }
    }

    [Fact]
    public void Random_rectangles_are_resized_to_the_size_of_the_epoch()
    {
        var crop = new RandomResizedCrop();
        var augmenter = new ImageAugmenter(new Augmentation { RandomResizedCrop = crop }, Normalization.Identity(1), 1, Size, Size).Reduced(Smaller, Smaller);
        float[] actual = new float[Smaller * Smaller];
        byte[] raw = new byte[20 * 31];
        new Random(5).NextBytes(raw);
        for (ulong i = 0; i < 30; i++)
        {
            augmenter.Augment(raw, 20, 31, actual, new RandomStream(6, RandomStream.Purpose.Augment, 1, i));
            var random = new RandomStream(6, RandomStream.Purpose.Augment, 1, i);
            var rectangle = PixelAugmenter.Draw(crop, 20, 31, ref random);
            Assert.Equal(Resize(raw, 31, rectangle.Left, rectangle.Top, rectangle.Width, rectangle.Height, Smaller, Smaller).Select(pixel => (float)pixel), actual);
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void A_cut_run_ends_with_the_same_bits_on_any_number_of_threads(int epoch)
    {
        using var folder = new TemporaryFolder();
        var plain = Options with { EmaDecay = 0.9f, Augmentation = new Augmentation { CropPadding = 1, Mixing = new Mixing { CutMixAlpha = 1 } } };
        var whole = SyntheticTask.Train(_train, _validation, plain);
        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        using var source = new CancellationTokenSource();
        SyntheticTask.Train(_train, _validation, options, progress =>
        {
            if (progress.Epoch == epoch && progress.Step == 2)
                source.Cancel();
        }, source.Token);
        var other = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, _validation, options with { ProgressiveResizing = new ProgressiveResizing { InitialScale = 0.7, GrowthFraction = 0.5 } }));
        Assert.Contains("ProgressiveResizing.InitialScale was 0.6 and is 0.7", other.Message, StringComparison.Ordinal);
        var none = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, _validation, options with { ProgressiveResizing = null }));
        Assert.Contains("ProgressiveResizing was", none.Message, StringComparison.Ordinal);
        var resumed = SyntheticTask.Train(_train, _validation, options, threads: 1, networkSeed: 99);
        Assert.Equal(epoch - 1, resumed.ResumedAfterEpoch);
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
    }

    [Fact]
    public void Memory_for_smaller_images_is_released()
    {
        Assert.InRange(AllocatedBytes(Options), 1, AllocatedBytes(Options with { ProgressiveResizing = null }));

        static long AllocatedBytes(TrainingOptions options)
        {
            using var backend = new CpuBackend(1);
            using var network = new TrainingNetwork(SyntheticTask.Architecture, Classes, backend, 1);
            TrainingLoop.Run(backend, network, _train, null, SyntheticTask.Normalization, options);
            return backend.AllocatedBytes;
        }
    }

    [Fact]
    public void The_learning_rate_finder_uses_the_full_size()
    {
        Assert.Equal(Losses(Options with { ProgressiveResizing = null }), Losses(Options));

        static IEnumerable<float> Losses(TrainingOptions options)
        {
            using var backend = new CpuBackend(2);
            using var network = new TrainingNetwork(SyntheticTask.Architecture, Classes, backend, 1);
            var curve = TrainingLoop.FindLearningRate(backend, network, _train, SyntheticTask.Normalization, options, (1e-4, 1, 6))!;
            return curve.Points.Select(point => (float)point.Loss);
        }
    }

    [Fact]
    public void Values_and_images_that_cannot_be_used_are_refused()
    {
        string Message(ProgressiveResizing resizing, ISampleSource? train = null) => Assert.ThrowsAny<Exception>(() => SyntheticTask.Train(train ?? _train, null, Options with { ProgressiveResizing = resizing })).Message;

        Assert.Contains("InitialScale is 1; it must be more than 0 and less than 1", Message(new() { InitialScale = 1 }), StringComparison.Ordinal);
        Assert.Contains("InitialScale is NaN", Message(new() { InitialScale = double.NaN }), StringComparison.Ordinal);
        Assert.Contains("GrowthFraction is 0; it must be", Message(new() { GrowthFraction = 0 }), StringComparison.Ordinal);
        Assert.Contains("ProgressiveResizing has no effect: 0.9 times 12x12 pixels, rounded to multiples of 4", Message(new() { InitialScale = 0.9 }), StringComparison.Ordinal);
        float[] pixels = [.. Enumerable.Range(0, 8 * Size * Size).Select(i => i % 100 / 100f)];
        var floats = new InMemorySamples(pixels, [0, 1, 2, 3, 0, 1, 2, 3], 1, Size, Size, Classes);
        Assert.Contains("ProgressiveResizing computes on bytes, but a pixel of the image is not a whole number of 0 .. 255", Message(new(), floats), StringComparison.Ordinal);
    }
}
