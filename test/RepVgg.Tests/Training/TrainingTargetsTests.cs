using RepVgg.Runtime;
using RepVgg.Training;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training;

public class TrainingTargetsTests
{
    private const int Channels = 3, Height = 9, Width = 13, Area = Height * Width, Length = Channels * Area, Classes = 4;

    /// <summary>Pixel p of image i is 1000 i + p, so that the source of every value can be determined; the label of image i is i % 4.</summary>
    private static LabeledBatch Images(int count)
    {
        var batch = new LabeledBatch(count, Length) { Count = count };
        for (int i = 0; i < count; i++)
        {
            (batch.Labels[i], batch.Weights[i]) = (i % Classes, 1);
            for (int p = 0; p < Length; p++)
                batch.Images[i * Length + p] = 1000 * i + p;
        }
        return batch;
    }

    private static LabeledBatch Apply(Mixing mixing, int count, int index, float smoothing = 0)
    {
        var batch = Images(count);
        new TrainingTargets(mixing, smoothing, Classes, Height, Width).Apply(batch, new RandomStream(8, RandomStream.Purpose.Mix, 1, (ulong)index));
        return batch;
    }

    [Theory]
    [InlineData(2)]
    [InlineData(6)]
    [InlineData(7)]
    public void Mixup_adds_the_images_and_the_targets_of_pairs_with_one_share(int count)
    {
        for (int index = 0; index < 20; index++)
        {
            var batch = Apply(new Mixing { MixupAlpha = 1 }, count, index);
            // Of the first pair, the labels of which differ.
            double share = batch.Targets[0];
            for (int i = 0; i < count; i++)
            {
                int other = count - 1 - i;
                double own = i == other ? 1 : share;
                for (int p = 0; p < Length; p += 17)
                    Assert.Equal(own * (1000 * i + p) + (1 - own) * (1000 * other + p), batch.Images[i * Length + p], 0.01);
                for (int c = 0; c < Classes; c++)
                    Assert.Equal((i % Classes == c ? own : 0) + (other % Classes == c ? 1 - own : 0), batch.Targets[i * Classes + c], 1e-6);
                Assert.Equal((own >= 0.5 ? i : other) % Classes, batch.Labels[i]);
            }
        }
    }

    [Fact]
    public void CutMix_exchanges_a_rectangle_and_mixes_the_targets_by_its_area()
    {
        const int Count = 6;
        for (int index = 0; index < 40; index++)
        {
            var batch = Apply(new Mixing { CutMixAlpha = 1 }, Count, index);
            var exchanged = new HashSet<int>();
            for (int i = 0; i < Count; i++)
            {
                for (int p = 0; p < Length; p++)
                {
                    float value = batch.Images[i * Length + p];
                    bool isOther = value == 1000 * (Count - 1 - i) + p;
                    Assert.True(isOther || value == 1000 * i + p);
                    if (isOther)
                        exchanged.Add(p % Area);
                }
            }
            // The same pixels in every image and channel, of a rectangle.
            Assert.All(exchanged, p => Assert.All(Enumerable.Range(0, Count * Channels), plane => Assert.Equal(1000 * (Count - 1 - plane / Channels) + plane % Channels * Area + p, batch.Images[plane * Area + p])));
            if (exchanged.Count > 0)
            {
                int rows = exchanged.Max(p => p / Width) - exchanged.Min(p => p / Width) + 1, columns = exchanged.Max(p => p % Width) - exchanged.Min(p => p % Width) + 1;
                Assert.Equal(rows * columns, exchanged.Count);
            }
            Assert.Equal(1 - (double)exchanged.Count / Area, batch.Targets[0], 1e-6);
            Assert.Equal((double)exchanged.Count / Area, batch.Targets[(Count - 1) % Classes], 1e-6);
        }
    }

    [Fact]
    public void Smoothed_targets_are_mixed_and_add_up_to_1()
    {
        var batch = Apply(new Mixing { MixupAlpha = 0.4 }, 4, 3, smoothing: 0.2f);
        for (int i = 0; i < batch.Count; i++)
        {
            float[] row = batch.Targets.Slice(i * Classes, Classes).ToArray();
            Assert.Equal(1, row.Sum(), 1e-6);
            Assert.All(row, target => Assert.InRange(target, 0.05f - 1e-6f, 0.85f + 1e-6f));
        }
    }

    [Fact]
    public void Batches_are_mixed_with_their_probability_and_with_either_method()
    {
        int mixed = 0, cut = 0;
        for (int index = 0; index < 1000; index++)
        {
            var batch = Apply(new Mixing { MixupAlpha = 1, CutMixAlpha = 1, Probability = 0.6 }, 2, index);
            bool isMixed = batch.Targets[0] != 1;
            mixed += isMixed ? 1 : 0;
            cut += isMixed && batch.Images.ToArray().All(value => value == MathF.Round(value)) ? 1 : 0;
        }
        // Some rectangles are empty.
        Assert.InRange(mixed, 480, 680);
        Assert.InRange(cut, 200, 350);
    }

    /// <summary>Grey images of a single class: their mixtures have the same label.</summary>
    [Theory]
    [InlineData(1, 0)]
    [InlineData(0, 1)]
    public void A_batch_of_one_class_and_one_channel_is_mixed(double mixupAlpha, double cutMixAlpha)
    {
        int mixed = 0;
        for (int index = 0; index < 20; index++)
        {
            var batch = new LabeledBatch(6, Area) { Count = 6 };
            for (int i = 0; i < 6; i++)
            {
                (batch.Labels[i], batch.Weights[i]) = (2, 1);
                batch.Images.Slice(i * Area, Area).Fill(i);
            }
            new TrainingTargets(new Mixing { MixupAlpha = mixupAlpha, CutMixAlpha = cutMixAlpha }, 0, Classes, Height, Width).Apply(batch, new RandomStream(8, RandomStream.Purpose.Mix, 1, (ulong)index));
            for (int i = 0; i < 6; i++)
            {
                Assert.Equal([0, 0, 1, 0], batch.Targets.Slice(i * Classes, Classes).ToArray(), (expected, actual) => Math.Abs(expected - actual) < 1e-6f);
                Assert.All(batch.Images.Slice(i * Area, Area).ToArray(), value => Assert.InRange(value, Math.Min(i, 5 - i) - 1e-5f, Math.Max(i, 5 - i) + 1e-5f));
            }
            Assert.All(batch.Labels.ToArray(), label => Assert.Equal(2, label));
            mixed += batch.Images[..Area].ContainsAnyExcept(0f) ? 1 : 0;
        }
        Assert.InRange(mixed, 10, 20);
    }

    [Fact]
    public void The_last_epochs_are_not_mixed()
    {
        var source = new InMemorySamples(new byte[2 * Length], [0, 1], Channels, Height, Width, Classes);
        var options = new TrainingOptions { Epochs = 10, Augmentation = new Augmentation { Mixing = new Mixing { MixupAlpha = 0.2, UnmixedEpochs = 3 } } };
        Assert.NotNull(TrainingTargets.Of(options, 7, source));
        Assert.Null(TrainingTargets.Of(options, 8, source));
        Assert.NotNull(TrainingTargets.Of(options with { ClassWeights = [1, 2, 3, 4] }, 8, source));
        Assert.Null(TrainingTargets.Of(options with { Augmentation = Augmentation.None }, 1, source));
    }

    [Fact]
    public void Targets_are_multiplied_by_the_weights_of_images_and_classes()
    {
        var batch = Images(5);
        for (int i = 0; i < batch.Count; i++)
            batch.Weights[i] = i + 1;
        new TrainingTargets(null, 0.2f, Classes, Height, Width, [1, 10, 100, 1000]).Apply(batch, new RandomStream(1));
        float[] expected = [1, 20, 300, 4000, 5];
        for (int i = 0; i < batch.Count; i++)
        {
            Assert.Equal(expected[i], batch.Targets.Slice(i * Classes, Classes).ToArray().Sum(), expected[i] * 1e-6);
            Assert.Equal(0.85f * expected[i], batch.Targets[i * Classes + batch.Labels[i]], expected[i] * 1e-6);
        }
    }
}
