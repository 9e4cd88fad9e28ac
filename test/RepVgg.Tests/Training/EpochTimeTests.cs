using System.Text.Json.Nodes;
using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights.Checkpoint;
using Xunit;

namespace RepVgg.Tests.Training;

/// <summary>Times and speeds of an epoch, by a clock that only reading an image and the callback move.</summary>
public class EpochTimeTests
{
    private static readonly TimeSpan _perTrainingImage = TimeSpan.FromMilliseconds(5), _perValidationImage = TimeSpan.FromMilliseconds(1);

    [Fact]
    public void Training_and_validation_are_measured_apart()
    {
        var reports = new List<TrainingProgress>();
        var history = Train(TimeSpan.FromHours(1), validate: true, reports.Add).History;

        // 192 images of 5 ms and 50 of 1 ms; the hour that the callback takes after an epoch belongs to neither pass.
        Assert.Equal(3, history.Count);
        Assert.All(history, epoch => Assert.Equal((192, TimeSpan.FromSeconds(0.96), TimeSpan.FromSeconds(0.05)), (epoch.TrainingImages, epoch.TrainingTime, epoch.ValidationTime)));
        Assert.All(history, epoch => Assert.Equal(200, epoch.TrainingImagesPerSecond, 1e-9));

        var last = reports.Where(report => report.EpochResult is not null).ToList();
        Assert.Equal(history, last.Select(report => report.EpochResult));
        Assert.All(last, report => Assert.Equal(1000, report.ImagesPerSecond, 1e-9));
        Assert.All(reports.Where(report => !report.IsValidation && report.Step == report.Steps), report => Assert.Equal(200, report.ImagesPerSecond, 1e-9));
        // Both passes of one more epoch, each at its own speed.
        Assert.Equal(TimeSpan.FromSeconds(1.01), last[1].Remaining);
    }

    [Fact]
    public void Without_validation_there_is_training_time_only()
    {
        Assert.All(Train(TimeSpan.Zero, validate: false).History, epoch =>
            Assert.Equal((TimeSpan.FromSeconds(0.96), TimeSpan.Zero), (epoch.TrainingTime, epoch.ValidationTime)));
    }

    [Fact]
    public void A_checkpoint_keeps_them()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("run.checkpoint");
        var whole = Train(TimeSpan.Zero, validate: true, checkpoint: path);
        var again = Train(TimeSpan.Zero, validate: true, checkpoint: path);
        Assert.Equal(3, again.ResumedAfterEpoch);
        Assert.Equal(whole.History, again.History);
    }

    [Fact]
    public void A_checkpoint_of_an_earlier_version_has_none()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("run.checkpoint");
        var whole = Train(TimeSpan.Zero, validate: true, checkpoint: path);

        var (text, tensors) = CheckpointFile.Read(path);
        var json = JsonNode.Parse(text)!.AsObject();
        foreach (var epoch in json["history"]!.AsArray())
        {
            Assert.True(epoch!.AsObject().Remove("TrainingImages") & epoch.AsObject().Remove("TrainingTime") & epoch.AsObject().Remove("ValidationTime") & epoch.AsObject().Remove("ValidationTop5Accuracy"));
            Assert.Equal(
                ["Epoch", "LearningRate", "TrainingLoss", "TrainingAccuracy", "ValidationLoss", "ValidationAccuracy"],
                epoch.AsObject().Select(property => property.Key));
        }
        CheckpointFile.Write(path, json.ToJsonString(), tensors);

        var again = Train(TimeSpan.Zero, validate: true, checkpoint: path);
        Assert.Equal(3, again.ResumedAfterEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History.Select(epoch => epoch with { ValidationTop5Accuracy = null })), SyntheticTask.WithoutTimes(again.History));
        Assert.All(again.History, epoch =>
        {
            Assert.Equal((0, TimeSpan.Zero, TimeSpan.Zero), (epoch.TrainingImages, epoch.TrainingTime, epoch.ValidationTime));
            Assert.True(double.IsNaN(epoch.TrainingImagesPerSecond));
            Assert.Null(epoch.ValidationTop5Accuracy);
        });
    }

    [Fact]
    public void The_remaining_time_counts_epochs_by_the_expected_times_of_their_steps()
    {
        var clock = new ManualClock();
        var remaining = new List<double>();
        var reporter = new ProgressReporter(progress => remaining.Add(progress.Remaining.TotalSeconds), clock, epochs: 3, [1.0 / 16, 4.0 / 16], stepsPerEpoch: 2, trainingImages: 20, validationImages: 30);
        for (int epoch = 1; epoch <= 2; epoch++)
        {
            Pass(epoch, steps: 2, isValidation: false, secondsPerStep: epoch * epoch);
            Pass(epoch, steps: 3, isValidation: true, secondsPerStep: 10);
        }
        // Until a validation pass is measured, it is estimated: 1.5 times the images of an epoch, a third of the time of a training step each, at the size of the last epoch.
        double validation = 2 * 16 * 1.5 / 3;
        Assert.Equal([1 + 8 + 32 + 3 * validation, 8 + 32 + 3 * validation, 20 + 8 + 32 + 2 * validation, 10 + 8 + 32 + 2 * validation, 8 + 32 + 2 * validation], remaining[..5], (expected, actual) => Math.Abs(expected - actual) < 1e-6);
        Assert.Equal([4 + 32 + 2 * 30, 32 + 2 * 30, 20 + 32 + 30, 10 + 32 + 30, 32 + 30], remaining[5..], (expected, actual) => Math.Abs(expected - actual) < 1e-6);

        void Pass(int epoch, int steps, bool isValidation, int secondsPerStep)
        {
            reporter.BeginPass(epoch, steps, isValidation);
            for (int step = 1; step <= steps; step++)
            {
                clock.Advance(TimeSpan.FromSeconds(secondsPerStep));
                reporter.Step(step, new PassMetrics(), 0.1f);
            }
        }
    }

    private static TrainingResult Train(TimeSpan afterAnEpoch, bool validate, Action<TrainingProgress>? progress = null, string? checkpoint = null)
    {
        var clock = new ManualClock();
        var train = new TimedSamples(SyntheticTask.Samples(192, 1), clock, _perTrainingImage);
        var validation = validate ? new TimedSamples(SyntheticTask.Samples(50, 2), clock, _perValidationImage) : null;
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        var options = SyntheticTask.Options with { Epochs = 3, CheckpointPath = checkpoint };
        return TrainingLoop.Run(backend, network, train, validation, SyntheticTask.Normalization, options, report =>
        {
            progress?.Invoke(report);
            if (report.EpochResult is not null)
                clock.Advance(afterAnEpoch);
        }, clock, CancellationToken.None);
    }

    private sealed class ManualClock : TimeProvider
    {
        private long _ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Volatile.Read(ref _ticks);

        public void Advance(TimeSpan time) => Interlocked.Add(ref _ticks, time.Ticks);
    }

    /// <summary>Samples whose reading takes time by the clock.</summary>
    private sealed class TimedSamples(ISampleSource source, ManualClock clock, TimeSpan perImage) : ISampleSource
    {
        public int Count => source.Count;

        public int Channels => source.Channels;

        public int Height => source.Height;

        public int Width => source.Width;

        public int Classes => source.Classes;

        public int Read(int index, Span<float> pixels)
        {
            clock.Advance(perImage);
            return source.Read(index, pixels);
        }

        public int LabelOf(int index) => source.LabelOf(index);
    }
}
