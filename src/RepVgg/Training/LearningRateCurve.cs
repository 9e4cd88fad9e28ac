namespace RepVgg.Training;

/// <summary>The loss of one step of a search for the learning rate.</summary>
/// <param name="LearningRate">The learning rate of the step.</param>
/// <param name="Loss">Mean loss of the images of the step's batch before the weights are updated, in nats.</param>
/// <param name="SmoothedLoss">The loss, smoothed over the steps so far; see <see cref="LearningRateCurve"/>.</param>
public sealed record LearningRatePoint(double LearningRate, double Loss, double SmoothedLoss);

/// <summary>The loss over learning rates that rise exponentially from step to step, and the rate that it suggests.</summary>
/// <remarks>
/// The smoothed loss of step n (from 1) is a / (1 - b^n), where a is the exponential moving average of the losses with the decay b = 0.9, from 0. The first 9 steps, whose smoothed losses are means of few
/// losses, do not count below. The curve ends when the smoothed loss exceeds 4 times its smallest value, or when a loss is not finite. Source: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
/// section 3.3, with the exponential rates, the smoothing and the end of fastai's lr_find.
/// </remarks>
internal sealed class LearningRateCurve
{
    /// <summary>Number of losses at the start whose smoothed loss is not considered.</summary>
    private const int Unsettled = 9;

    private const double Decay = 0.9, LargestRatio = 4, Margin = 10, SmallestFall = 0.02, LargestNoise = 1.5;

    private readonly List<LearningRatePoint> _points = [];
    private double _average;

    /// <summary>The points of the curve, by rising learning rate. A loss that is not finite is left out.</summary>
    public IReadOnlyList<LearningRatePoint> Points => _points;

    /// <summary>
    /// A tenth of the rate at which the smoothed loss is smallest; null if the loss does not fall. It falls if the largest smoothed loss before that point is larger by at least 2 %, and by more than
    /// 1.5 times the noise: the root mean square of the differences between the losses and the smoothed losses up to that point.
    /// </summary>
    public double? Suggestion
    {
        get
        {
            if (Lowest is not { } lowest)
                return null;
            var before = _points.GetRange(0, _points.IndexOf(lowest) + 1);
            double largest = before.Skip(Unsettled).Max(point => point.SmoothedLoss), noise = Math.Sqrt(before.Average(point => Math.Pow(point.Loss - point.SmoothedLoss, 2)));
            return largest - lowest.SmoothedLoss > Math.Max(SmallestFall * lowest.SmoothedLoss, LargestNoise * noise) ? lowest.LearningRate / Margin : null;
        }
    }

    /// <summary>The point with the smallest smoothed loss; null in the first 9 steps.</summary>
    public LearningRatePoint? Lowest { get; private set; }

    /// <summary>Gets the learning rate of a step.</summary>
    /// <param name="first">The rate of the first step.</param>
    /// <param name="last">The rate of the last step.</param>
    /// <param name="step">The step, from 0.</param>
    /// <param name="steps">Number of steps, at least 2.</param>
    public static float RateOf(double first, double last, int step, int steps) => (float)(first * Math.Pow(last / first, (double)step / (steps - 1)));

    /// <summary>Adds the loss of a step.</summary>
    /// <returns>Whether the curve goes on.</returns>
    public bool Add(double learningRate, double loss)
    {
        if (!double.IsFinite(loss))
            return false;
        _average = Decay * _average + (1 - Decay) * loss;
        var point = new LearningRatePoint(learningRate, loss, _average / (1 - Math.Pow(Decay, _points.Count + 1)));
        _points.Add(point);
        if (_points.Count <= Unsettled)
            return true;
        if (Lowest is null || point.SmoothedLoss < Lowest.SmoothedLoss)
            Lowest = point;
        return point.SmoothedLoss <= LargestRatio * Lowest.SmoothedLoss;
    }
}
