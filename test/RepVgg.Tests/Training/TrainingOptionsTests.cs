using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Training;
using Xunit;

namespace RepVgg.Tests.Training;

public class TrainingOptionsTests
{
    public static TheoryData<string, object> Bad => new()
    {
        { "Epochs is 0; it must be 1 or more", new TrainingOptions { Epochs = 0 } },
        { "BatchSize is 1;", new TrainingOptions { BatchSize = 1 } },
        { "GradientAccumulationSteps is 0;", new TrainingOptions { GradientAccumulationSteps = 0 } },
        { "LearningRateBaseSize is 0;", new TrainingOptions { LearningRateBaseSize = 0 } },
        { "LearningRateBaseSize is -256;", new TrainingOptions { LearningRateBaseSize = -256 } },
        { "LayerLearningRateDecay is 0;", new TrainingOptions { LayerLearningRateDecay = 0 } },
        { "LayerLearningRateDecay is 1.5;", new TrainingOptions { LayerLearningRateDecay = 1.5f } },
        { "LayerLearningRateDecay is NaN;", new TrainingOptions { LayerLearningRateDecay = float.NaN } },
        { "LearningRate 1E+38, scaled from 1 to 64 images per step, is Infinity; it must be more than 0 and finite.", new TrainingOptions { LearningRate = 1e38f, LearningRateBaseSize = 1 } },
        { "LearningRate is 0;", new TrainingOptions { LearningRate = 0 } },
        { "LearningRate is NaN;", new TrainingOptions { LearningRate = float.NaN } },
        { "LearningRate is Infinity;", new TrainingOptions { LearningRate = float.PositiveInfinity } },
        { "WeightDecay is -1;", new TrainingOptions { WeightDecay = -1 } },
        { "Optimizer is null;", new TrainingOptions { Optimizer = null! } },
        { "Momentum is 1;", new TrainingOptions { Optimizer = new SgdOptions(Momentum: 1) } },
        { "Momentum is -0.1;", new TrainingOptions { Optimizer = new SgdOptions(Momentum: -0.1f) } },
        { "Momentum is NaN;", new TrainingOptions { Optimizer = new SgdOptions(Momentum: float.NaN) } },
        { "Nesterov is True; it must be false when Momentum is 0", new TrainingOptions { Optimizer = new SgdOptions(Momentum: 0, Nesterov: true) } },
        { "Beta1 is 1;", new TrainingOptions { Optimizer = new AdamWOptions(Beta1: 1) } },
        { "Beta1 is -0.1;", new TrainingOptions { Optimizer = new AdamWOptions(Beta1: -0.1f) } },
        { "Beta2 is NaN;", new TrainingOptions { Optimizer = new AdamWOptions(Beta2: float.NaN) } },
        { "Epsilon is 0;", new TrainingOptions { Optimizer = new AdamWOptions(Epsilon: 0) } },
        { "Epsilon is Infinity;", new TrainingOptions { Optimizer = new AdamWOptions(Epsilon: float.PositiveInfinity) } },
        { "GradientClipNorm is 0;", new TrainingOptions { GradientClipNorm = 0 } },
        { "GradientClipNorm is NaN;", new TrainingOptions { GradientClipNorm = float.NaN } },
        { "GradientClipNorm is Infinity;", new TrainingOptions { GradientClipNorm = float.PositiveInfinity } },
        { "LabelSmoothing is 1;", new TrainingOptions { LabelSmoothing = 1 } },
        { "Dropout is 1;", new TrainingOptions { Dropout = 1 } },
        { "Dropout is NaN;", new TrainingOptions { Dropout = float.NaN } },
        { "StochasticDepth is -0.1;", new TrainingOptions { StochasticDepth = -0.1f } },
        { "HeadLearningRateScale is -1;", new TrainingOptions { HeadLearningRateScale = -1 } },
        { "HeadLearningRateScale is Infinity;", new TrainingOptions { HeadLearningRateScale = float.PositiveInfinity } },
        { "AuxiliaryLossWeight is -0.1;", new TrainingOptions { AuxiliaryLossWeight = -0.1f } },
        { "MinimumSamplesPerClass is -1;", new TrainingOptions { MinimumSamplesPerClass = -1 } },
        { "CheckpointPath is  ;", new TrainingOptions { CheckpointPath = " " } },
        { "AveragedCheckpoints is -1;", new TrainingOptions { AveragedCheckpoints = -1 } },
        { "MonitoredMetric is 7;", new TrainingOptions { MonitoredMetric = (TrainingMetric)7 } },
        { "Shape is 9;", new TrainingOptions { LearningRateScheduler = new() { Shape = (ScheduleShape)9 } } },
        { "WarmUpEpochs is -1;", new TrainingOptions { LearningRateScheduler = new() { WarmUpEpochs = -1 } } },
        { "FinalFraction is 2;", new TrainingOptions { LearningRateScheduler = new() { FinalFraction = 2 } } },
        { "StepSize is 0;", new TrainingOptions { LearningRateScheduler = new() { StepSize = 0 } } },
        { "Power is 0;", new TrainingOptions { LearningRateScheduler = new() { Power = 0 } } },
        { "Power is Infinity;", new TrainingOptions { LearningRateScheduler = new() { Power = double.PositiveInfinity } } },
        { "Gamma is 0;", new TrainingOptions { LearningRateScheduler = new() { Gamma = 0 } } },
        { "CropPadding is 20; it must be 0 or more and less than the image's shorter side (20)", new TrainingOptions { Augmentation = new() { CropPadding = 20 } } },
        { "ErasingProbability is 1.5;", new TrainingOptions { Augmentation = new() { ErasingProbability = 1.5 } } },
        { "Patience is 0;", new TrainingOptions { EarlyStoppingCriteria = new() { Patience = 0 } } },
        { "MinDelta is NaN;", new TrainingOptions { EarlyStoppingCriteria = new() { MinDelta = double.NaN } } },
        { "Metric is 3;", new TrainingOptions { EarlyStoppingCriteria = new() { Metric = (TrainingMetric)3 } } },
        { "LearningRateScheduler is null;", new TrainingOptions { LearningRateScheduler = null! } },
        { "Augmentation is null;", new TrainingOptions { Augmentation = null! } },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void Names_the_option_and_its_range(string expected, object options)
    {
        var error = Assert.ThrowsAny<ArgumentException>(() => ((TrainingOptions)options).Validate(20, 30));
        Assert.StartsWith(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_defaults_are_valid()
    {
        new TrainingOptions().Validate(28, 28);
        new TrainingOptions { Optimizer = new AdamWOptions() }.Validate(28, 28);
    }

    [Fact]
    public void A_learning_rate_and_weight_decay_that_are_not_given_are_the_usual_ones()
    {
        var options = new TrainingOptions();
        Assert.Equal((0.1f, 1e-4f), (options.ActualLearningRate, options.ActualWeightDecay));
        options = options with { Optimizer = new AdamWOptions() };
        Assert.Equal((0.001f, 0.01f), (options.ActualLearningRate, options.ActualWeightDecay));
        options = options with { LearningRate = 0.5f, WeightDecay = 0 };
        Assert.Equal((0.5f, 0f), (options.ActualLearningRate, options.ActualWeightDecay));
    }
}
