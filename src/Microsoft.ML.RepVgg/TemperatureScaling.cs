using Microsoft.ML.RepVgg.Reports;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Runtime;

namespace Microsoft.ML.RepVgg;

/// <summary>The result of temperature scaling: the number by which the logits are divided, and what it changes on the images that it was fitted to.</summary>
/// <remarks>
/// The temperature T minimises the mean of -ln softmax(logits / T)[label]. It is the same for all images and classes, so that the order of the classes, the predicted class and
/// all accuracies stay as they are. Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
/// </remarks>
/// <param name="Temperature">The temperature, from <see cref="MinimumTemperature"/> to <see cref="MaximumTemperature"/>. More than 1 makes the probabilities less extreme, less than 1 more extreme.</param>
/// <param name="Images">Number of images that it was fitted to.</param>
/// <param name="LogLossBefore">Mean negative log-likelihood of these images without it, in nats.</param>
/// <param name="LogLossAfter">Mean negative log-likelihood with it, in nats.</param>
/// <param name="CalibrationErrorBefore">Expected calibration error without it; see <see cref="ClassificationReport.ExpectedCalibrationError"/>.</param>
/// <param name="CalibrationErrorAfter">Expected calibration error with it.</param>
public sealed record TemperatureScaling(
    double Temperature, int Images, double LogLossBefore, double LogLossAfter, double CalibrationErrorBefore, double CalibrationErrorAfter)
{
    /// <summary>Smallest temperature that is fitted. If every image is classified correctly, the log-loss falls for ever smaller temperatures.</summary>
    public const double MinimumTemperature = 0.1;

    /// <summary>Largest temperature that is fitted. If the logits do not tell the labels, the log-loss falls for ever larger temperatures.</summary>
    public const double MaximumTemperature = 100;

    private const double Precision = 1e-12;
    private const int MaximumSteps = 200;

    /// <summary>Whether the temperature is <see cref="MinimumTemperature"/> or <see cref="MaximumTemperature"/> because the log-loss has no minimum between them. The images then do not determine it: they are too few, or all correct.</summary>
    public bool IsAtLimit => Temperature is MinimumTemperature or MaximumTemperature;

    /// <summary>Describes the result in one sentence.</summary>
    internal string Describe()
    {
        string text = FormattableString.Invariant($"Temperature {Temperature:f4}, fitted to {Images} images: log-loss {LogLossBefore:f4} before, {LogLossAfter:f4} after; calibration error {CalibrationErrorBefore:f4} before, {CalibrationErrorAfter:f4} after.");
        return IsAtLimit
            ? FormattableString.Invariant($"{text} The temperature is at the limit of {MinimumTemperature} to {MaximumTemperature}: these images do not determine it, because {(Temperature == MinimumTemperature ? "the log-loss falls the more extreme the probabilities are, as when all images are classified correctly" : "the logits do not tell their classes")}. Use more images that training has not used.")
            : text;
    }

    /// <summary>Fits the temperature.</summary>
    /// <param name="classNames">Names of the classes.</param>
    /// <param name="logits">The logits of each image, one per class.</param>
    /// <param name="labels">The label of each image, from 0.</param>
    internal static TemperatureScaling Fit(IReadOnlyList<string> classNames, IReadOnlyList<float[]> logits, IReadOnlyList<int> labels)
    {
        double temperature = 1 / FitInverse(logits, labels);
        return new TemperatureScaling(
            temperature, logits.Count, LogLoss(1), LogLoss(1 / temperature), CalibrationError(1), CalibrationError(1 / temperature));

        double LogLoss(double inverse) => Derivatives(logits, labels, inverse).Value;

        double CalibrationError(double inverse) =>
            ClassificationReport.Create(classNames, logits.Select((row, i) => new ClassifiedImage(null, labels[i], Probabilities.Of(row, inverse)))).ExpectedCalibrationError;
    }

    /// <summary>Minimises the log-loss, which is convex in 1 / T, by Newton's method. The root of the derivative is kept in an interval, which is halved where a step would leave it.</summary>
    /// <returns>1 / T.</returns>
    private static double FitInverse(IReadOnlyList<float[]> logits, IReadOnlyList<int> labels)
    {
        double low = 1 / MaximumTemperature, high = 1 / MinimumTemperature, inverse = 1;
        var (_, slope, curvature) = Derivatives(logits, labels, inverse);
        if (slope == 0)
            return inverse;
        if (Derivatives(logits, labels, low).Slope >= 0)
            return low;
        if (Derivatives(logits, labels, high).Slope <= 0)
            return high;
        for (int step = 0; step < MaximumSteps; step++)
        {
            (low, high) = slope < 0 ? (inverse, high) : (low, inverse);
            double next = inverse - slope / curvature;
            if (!(next > low && next < high))
                next = (low + high) / 2;
            bool isPrecise = Math.Abs(next - inverse) <= Precision * inverse;
            inverse = next;
            if (isPrecise)
                break;
            (_, slope, curvature) = Derivatives(logits, labels, inverse);
        }
        return inverse;
    }

    /// <summary>Computes the mean of -ln softmax(b x)[label] and its first and second derivative in b. With the mean E and the variance V of x under the probabilities softmax(b x), they are the means of E - x[label] and of V.</summary>
    private static (double Value, double Slope, double Curvature) Derivatives(IReadOnlyList<float[]> logits, IReadOnlyList<int> labels, double b)
    {
        double value = 0, slope = 0, curvature = 0;
        for (int i = 0; i < logits.Count; i++)
        {
            float[] row = logits[i];
            double maximum = row[Logits.IndexOfMax(row)], sum = 0, first = 0, second = 0;
            foreach (float logit in row)
            {
                double x = logit - maximum, weight = Math.Exp(b * x);
                (sum, first, second) = (sum + weight, first + weight * x, second + weight * x * x);
            }
            double mean = first / sum, label = row[labels[i]] - maximum;
            value += Math.Log(sum) - b * label;
            slope += mean - label;
            curvature += Math.Max(second / sum - mean * mean, 0);
        }
        return (value / logits.Count, slope / logits.Count, curvature / logits.Count);
    }
}
