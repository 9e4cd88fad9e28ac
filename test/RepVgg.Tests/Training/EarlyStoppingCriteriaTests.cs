using RepVgg.Training;
using Xunit;

namespace RepVgg.Tests.Training;

public class EarlyStoppingCriteriaTests
{
    private static List<EpochResult> History(params double[] accuracies) =>
        [.. accuracies.Select((a, i) => new EpochResult(i + 1, 0.1f, 1, 1, 1 - a, a) { ValidationMeanIoU = a })];

    [Theory]
    [InlineData(false, 0.5, 0.6, 0.6)]
    [InlineData(true, 0.5, 0.6, 0.6, 0.605)]
    [InlineData(false, 0.5, 0.6, 0.6, 0.62)]
    [InlineData(false, 0.5, 0.6, 0.6, 0.62, 0.62)]
    [InlineData(true, 0.5, 0.6, 0.55, 0.5)]
    public void Waits_for_gains_of_at_least_min_delta(bool stops, params double[] accuracies)
    {
        foreach (var metric in Enum.GetValues<TrainingMetric>())
        {
            var stopping = new EarlyStoppingCriteria { Metric = metric, MinDelta = 0.01, Patience = 2 };
            Assert.Equal(stops, stopping.ShouldStop(History(accuracies)));
        }
    }

    [Fact]
    public void Looks_at_the_training_set_where_there_is_no_other()
    {
        var stopping = new EarlyStoppingCriteria { MinDelta = 0, Patience = 1 };
        Assert.False(stopping.ShouldStop([new(1, 0.1f, 1, 0.5, null, null), new(2, 0.1f, 1, 0.6, null, null)]));
        Assert.True(stopping.ShouldStop([new(1, 0.1f, 1, 0.5, null, null), new(2, 0.1f, 1, 0.5, null, null)]));
    }

    [Fact]
    public void Never_stops_before_it_starts() => Assert.False(new EarlyStoppingCriteria { Patience = 1 }.ShouldStop([]));
}
