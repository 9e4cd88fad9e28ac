using System.Numerics;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Trainers;

/// <summary>A smooth function and its gradient.</summary>
/// <param name="point">Where to evaluate.</param>
/// <param name="gradient">Receives the gradient; same length as <paramref name="point"/>.</param>
/// <returns>The value at <paramref name="point"/>.</returns>
internal delegate double DifferentiableFunction(double[] point, double[] gradient);

/// <summary>
/// Minimises f(x) + l1 * sum of |x[i]| over the first coordinates, by limited-memory BFGS (Nocedal and Wright,
/// Numerical Optimization, algorithms 7.4, 3.5 and 3.6); with l1 above zero by its orthant-wise form
/// (Andrew and Gao, 2007).
/// </summary>
/// <param name="historySize">Number of (step, gradient change) pairs kept.</param>
/// <param name="maximumIterations">Number of line searches at most.</param>
/// <param name="tolerance">Ends when the weighted mean improvement of the value per iteration falls below it.</param>
/// <param name="l1">Weight of the absolute values.</param>
/// <param name="penalized">How many of the leading coordinates the absolute values are taken of.</param>
internal sealed class LbfgsMinimizer(int historySize, int maximumIterations, double tolerance, double l1, int penalized)
{
    private const double ImprovementMemory = 0.25;
    private const double SufficientDecrease = 1e-4;

    private readonly List<(double[] Step, double[] Change, double Product)> _history = [];

    /// <summary>Minimises, starting from and ending in <paramref name="point"/>.</summary>
    /// <returns>The value reached.</returns>
    public double Minimize(DifferentiableFunction function, double[] point)
    {
        _history.Clear();
        double[] gradient = new double[point.Length];
        double[] nextPoint = new double[point.Length];
        double[] nextGradient = new double[point.Length];
        double[] steepest = new double[point.Length];
        double[] direction = new double[point.Length];
        double value = function(point, gradient) + Penalty(point);
        double improvement = 0;
        for (int iteration = 1; ; iteration++)
        {
            SteepestDescent(point, gradient, steepest);
            if (!Descend(out double nextValue))
            {
                // The curvature pairs may be spoilt by rounding: once more along the steepest descent, else it is the end.
                if (_history.Count == 0)
                {
                    return value;
                }

                _history.Clear();
                if (!Descend(out nextValue))
                {
                    return value;
                }
            }

            improvement = value - nextValue + (ImprovementMemory * improvement);
            double mean = improvement * (1 - ImprovementMemory) / (1 - Math.Pow(ImprovementMemory, iteration));
            Remember(point, gradient, nextPoint, nextGradient);
            nextPoint.CopyTo(point, 0);
            (gradient, nextGradient) = (nextGradient, gradient);
            value = nextValue;
            if (mean < tolerance || iteration >= maximumIterations)
            {
                return value;
            }

            bool Descend(out double reached)
            {
                reached = value;
                ApplyInverseHessian(steepest, direction);
                double slope = -Vectors.Dot(steepest, direction);
                if (!(slope < 0))
                {
                    return false;
                }

                double firstStep = _history.Count == 0 ? 1 / Math.Sqrt(Vectors.Dot(direction, direction)) : 1;
                if (l1 > 0)
                {
                    return Backtrack(function, point, steepest, direction, value, firstStep, nextPoint, nextGradient, out reached);
                }

                StrongWolfeSearch search = new(
                    step =>
                    {
                        Vectors.AddScaled(point, step, direction, nextPoint);
                        double tried = function(nextPoint, nextGradient);
                        return (tried, Vectors.Dot(direction, nextGradient));
                    });
                return search.Run(value, slope, firstStep, out reached);
            }
        }
    }

    private double Penalty(double[] point)
    {
        double sum = 0;
        if (l1 > 0)
        {
            for (int i = 0; i < penalized; i++)
            {
                sum += Math.Abs(point[i]);
            }
        }

        return l1 * sum;
    }

    /// <summary>The negative gradient; with l1, the negative pseudo-gradient.</summary>
    private void SteepestDescent(double[] point, double[] gradient, double[] steepest)
    {
        for (int i = 0; i < point.Length; i++)
        {
            double g = gradient[i];
            if (l1 > 0 && i < penalized)
            {
                g = point[i] != 0 ? g + (Math.Sign(point[i]) * l1) : g < -l1 ? g + l1 : g > l1 ? g - l1 : 0;
            }

            steepest[i] = -g;
        }
    }

    /// <summary>The two-loop recursion; with l1, components that would turn against the steepest descent are dropped.</summary>
    private void ApplyInverseHessian(double[] steepest, double[] direction)
    {
        steepest.CopyTo(direction, 0);
        if (_history.Count == 0)
        {
            return;
        }

        Span<double> alpha = new double[_history.Count];
        for (int i = _history.Count - 1; i >= 0; i--)
        {
            (double[] step, double[] change, double product) = _history[i];
            alpha[i] = Vectors.Dot(step, direction) / product;
            Vectors.AddScaled(direction, -alpha[i], change, direction);
        }

        (_, double[] lastChange, double lastProduct) = _history[^1];
        double scale = lastProduct / Vectors.Dot(lastChange, lastChange);
        for (int i = 0; i < direction.Length; i++)
        {
            direction[i] *= scale;
        }

        for (int i = 0; i < _history.Count; i++)
        {
            (double[] step, double[] change, double product) = _history[i];
            double beta = Vectors.Dot(change, direction) / product;
            Vectors.AddScaled(direction, alpha[i] - beta, step, direction);
        }

        for (int i = 0; l1 > 0 && i < direction.Length; i++)
        {
            if (direction[i] * steepest[i] <= 0)
            {
                direction[i] = 0;
            }
        }
    }

    /// <summary>Halves the step until the penalised value falls enough, staying within the orthant.</summary>
    private bool Backtrack(
        DifferentiableFunction function,
        double[] point,
        double[] steepest,
        double[] direction,
        double value,
        double step,
        double[] nextPoint,
        double[] nextGradient,
        out double reached)
    {
        for (int attempt = 0; attempt < 60; attempt++, step /= 2)
        {
            double expected = 0;
            for (int i = 0; i < point.Length; i++)
            {
                double moved = point[i] + (step * direction[i]);
                if (i < penalized)
                {
                    int orthant = Math.Sign(point[i] != 0 ? point[i] : steepest[i]);
                    moved = Math.Sign(moved) == orthant ? moved : 0;
                }

                expected -= steepest[i] * (moved - point[i]);
                nextPoint[i] = moved;
            }

            reached = function(nextPoint, nextGradient) + Penalty(nextPoint);
            if (expected < 0 && reached <= value + (SufficientDecrease * expected))
            {
                return true;
            }
        }

        reached = value;
        return false;
    }

    private void Remember(double[] point, double[] gradient, double[] nextPoint, double[] nextGradient)
    {
        (double[] step, double[] change) = (new double[point.Length], new double[point.Length]);
        if (_history.Count == historySize)
        {
            (step, change, _) = _history[0];
            _history.RemoveAt(0);
        }

        Vectors.AddScaled(nextPoint, -1, point, step);
        Vectors.AddScaled(nextGradient, -1, gradient, change);
        double product = Vectors.Dot(step, change);
        if (product > 0)
        {
            _history.Add((step, change, product));
        }
    }
}

/// <summary>The few vector operations that training needs; sums run in a fixed order.</summary>
internal static class Vectors
{
    /// <summary>Sum of a[i] * b[i].</summary>
    public static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        ReadOnlySpan<Vector<double>> wideA = MemoryMarshal.Cast<double, Vector<double>>(a);
        ReadOnlySpan<Vector<double>> wideB = MemoryMarshal.Cast<double, Vector<double>>(b);
        Vector<double> sums = Vector<double>.Zero;
        for (int i = 0; i < wideA.Length; i++)
        {
            sums += wideA[i] * wideB[i];
        }

        double sum = Vector.Sum(sums);
        for (int i = wideA.Length * Vector<double>.Count; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }

    /// <summary>result = a + scale * b; the result may be a or b.</summary>
    public static void AddScaled(ReadOnlySpan<double> a, double scale, ReadOnlySpan<double> b, Span<double> result)
    {
        ReadOnlySpan<Vector<double>> wideA = MemoryMarshal.Cast<double, Vector<double>>(a);
        ReadOnlySpan<Vector<double>> wideB = MemoryMarshal.Cast<double, Vector<double>>(b);
        Span<Vector<double>> wideResult = MemoryMarshal.Cast<double, Vector<double>>(result);
        for (int i = 0; i < wideA.Length; i++)
        {
            wideResult[i] = wideA[i] + (wideB[i] * scale);
        }

        for (int i = wideA.Length * Vector<double>.Count; i < a.Length; i++)
        {
            result[i] = a[i] + (b[i] * scale);
        }
    }
}
