using RepVgg.Architectures;
using RepVgg.Training;
using Xunit;

namespace RepVgg.Tests.Training;

public class TrainingOptionsTests
{
    public static TheoryData<string, TrainingOptions> Bad => new()
    {
        { "Epochs is 0; it must be 1 or more", new() { Epochs = 0 } },
        { "BatchSize is 1;", new() { BatchSize = 1 } },
        { "LearningRate is 0;", new() { LearningRate = 0 } },
        { "LearningRate is NaN;", new() { LearningRate = float.NaN } },
        { "LearningRate is Infinity;", new() { LearningRate = float.PositiveInfinity } },
        { "WeightDecay is -1;", new() { WeightDecay = -1 } },
        { "Momentum is 1;", new() { Momentum = 1 } },
        { "Nesterov is True; it must be false when Momentum is 0", new() { Momentum = 0, Nesterov = true } },
        { "LabelSmoothing is 1;", new() { LabelSmoothing = 1 } },
        { "Dropout is 1;", new() { Dropout = 1 } },
        { "Dropout is NaN;", new() { Dropout = float.NaN } },
        { "StochasticDepth is -0.1;", new() { StochasticDepth = -0.1f } },
        { "HeadLearningRateScale is -1;", new() { HeadLearningRateScale = -1 } },
        { "HeadLearningRateScale is Infinity;", new() { HeadLearningRateScale = float.PositiveInfinity } },
        { "AuxiliaryLossWeight is -0.1;", new() { AuxiliaryLossWeight = -0.1f } },
        { "MinimumSamplesPerClass is -1;", new() { MinimumSamplesPerClass = -1 } },
        { "CheckpointPath is  ;", new() { CheckpointPath = " " } },
        { "MonitoredMetric is 7;", new() { MonitoredMetric = (TrainingMetric)7 } },
        { "Shape is 9;", new() { LearningRateScheduler = new() { Shape = (ScheduleShape)9 } } },
        { "WarmUpEpochs is -1;", new() { LearningRateScheduler = new() { WarmUpEpochs = -1 } } },
        { "FinalFraction is 2;", new() { LearningRateScheduler = new() { FinalFraction = 2 } } },
        { "StepSize is 0;", new() { LearningRateScheduler = new() { StepSize = 0 } } },
        { "Gamma is 0;", new() { LearningRateScheduler = new() { Gamma = 0 } } },
        { "CropPadding is 20; it must be 0 or more and less than the image's shorter side (20)", new() { Augmentation = new() { CropPadding = 20 } } },
        { "ErasingProbability is 1.5;", new() { Augmentation = new() { ErasingProbability = 1.5 } } },
        { "Patience is 0;", new() { EarlyStoppingCriteria = new() { Patience = 0 } } },
        { "MinDelta is NaN;", new() { EarlyStoppingCriteria = new() { MinDelta = double.NaN } } },
        { "Metric is 3;", new() { EarlyStoppingCriteria = new() { Metric = (TrainingMetric)3 } } },
        { "LearningRateScheduler is null;", new() { LearningRateScheduler = null! } },
        { "Augmentation is null;", new() { Augmentation = null! } },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void Names_the_option_and_its_range(string expected, TrainingOptions options)
    {
        var error = Assert.ThrowsAny<ArgumentException>(() => options.Validate(20, 30));
        Assert.StartsWith(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_defaults_are_valid() => new TrainingOptions().Validate(28, 28);
}
