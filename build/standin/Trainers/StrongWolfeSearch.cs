namespace Microsoft.ML.Trainers;

/// <summary>
/// Finds a step along a descent direction that meets the strong Wolfe conditions
/// (Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6).
/// </summary>
/// <param name="evaluate">Value and slope at a step.</param>
internal sealed class StrongWolfeSearch(Func<double, (double Value, double Slope)> evaluate)
{
    private const double SufficientDecrease = 1e-4;
    private const double Curvature = 0.9;
    private const double SmallestChange = 0.01;
    private const int MaximumTrials = 30;

    /// <summary>Searches; the last evaluated step is the one found.</summary>
    /// <param name="value">Value at step 0.</param>
    /// <param name="slope">Slope at step 0; negative.</param>
    /// <param name="firstStep">The first step tried.</param>
    /// <param name="reached">The value at the step found; <paramref name="value"/> if none is.</param>
    /// <returns>Whether a step was found.</returns>
    public bool Run(double value, double slope, double firstStep, out double reached)
    {
        Trial start = new(0, value, slope);
        Trial previous = start;
        double step = firstStep;
        for (int trial = 0; trial < MaximumTrials; trial++)
        {
            (double tried, double triedSlope) = evaluate(step);
            if (!double.IsFinite(tried))
            {
                step = (previous.Step + step) / 2;
                continue;
            }

            Trial current = new(step, tried, triedSlope);
            if (tried > value + (SufficientDecrease * step * slope) || (previous.Step > 0 && tried >= previous.Value))
            {
                return Zoom(start, previous, current, out reached);
            }

            if (Math.Abs(triedSlope) <= -Curvature * slope)
            {
                reached = tried;
                return true;
            }

            if (triedSlope >= 0)
            {
                return Zoom(start, current, previous, out reached);
            }

            previous = current;
            step *= 2;
        }

        reached = value;
        return false;
    }

    /// <summary>Narrows an interval that holds a good step; <paramref name="low"/> is its better end.</summary>
    private bool Zoom(Trial start, Trial low, Trial high, out double reached)
    {
        for (int trial = 0; trial < MaximumTrials; trial++)
        {
            double step = Between(low, high);
            (double tried, double triedSlope) = evaluate(step);
            Trial current = new(step, tried, triedSlope);
            if (!(tried <= start.Value + (SufficientDecrease * step * start.Slope)) || tried >= low.Value)
            {
                high = current;
            }
            else
            {
                if (Math.Abs(triedSlope) <= -Curvature * start.Slope)
                {
                    reached = tried;
                    return true;
                }

                if (triedSlope * (high.Step - low.Step) >= 0)
                {
                    high = low;
                }

                low = current;
            }
        }

        // No step meets the slope condition closely enough to be found: any decrease will do.
        reached = low.Step > 0 ? evaluate(low.Step).Value : start.Value;
        return reached < start.Value;
    }

    /// <summary>Minimum of the cubic through both ends, kept away from them; the middle if there is none.</summary>
    private static double Between(Trial a, Trial b)
    {
        double width = b.Step - a.Step;
        double d1 = a.Slope + b.Slope - (3 * (a.Value - b.Value) / (a.Step - b.Step));
        double d2 = Math.Sign(width) * Math.Sqrt((d1 * d1) - (a.Slope * b.Slope));
        double step = b.Step - (width * (b.Slope + d2 - d1) / (b.Slope - a.Slope + (2 * d2)));
        if (!double.IsFinite(step))
        {
            return a.Step + (width / 2);
        }

        double left = Math.Min(a.Step, b.Step) + (SmallestChange * Math.Abs(width));
        double right = Math.Max(a.Step, b.Step) - (SmallestChange * Math.Abs(width));
        return Math.Clamp(step, left, right);
    }

    private readonly record struct Trial(double Step, double Value, double Slope);
}
