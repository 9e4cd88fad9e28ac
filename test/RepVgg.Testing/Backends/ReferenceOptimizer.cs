using RepVgg.Optimizers;

namespace RepVgg.Testing;

/// <summary>The optimizers in double precision, from their formulas, for one parameter.</summary>
internal sealed class ReferenceOptimizer(OptimizerOptions options, double[] weights, double rateScale, double weightDecay, float[]? multipliers)
{
    private readonly double[] _first = new double[weights.Length], _second = new double[weights.Length];

    /// <summary>The weights; every step changes them.</summary>
    public double[] Weights => weights;

    public int Steps { get; private set; }

    /// <summary>Gets a slot by the name that PyTorch gives it.</summary>
    public double[] this[string slot] => slot == "exp_avg_sq" ? _second : _first;

    public void Step(double[] gradient, double learningRate)
    {
        double rate = learningRate * rateScale;
        Steps++;
        for (int i = 0; i < weights.Length; i++)
        {
            double m = multipliers?[i] ?? 1, g = m * gradient[i];
            switch (options)
            {
                case SgdOptions sgd:
                    g += weightDecay * weights[i];
                    _first[i] = sgd.Momentum * _first[i] + g;
                    weights[i] -= rate * (sgd.Nesterov ? g + sgd.Momentum * _first[i] : _first[i]);
                    break;
                case AdamWOptions adamW:
                    // The values that were written in decimal digits.
                    double beta1 = (double)(decimal)adamW.Beta1, beta2 = (double)(decimal)adamW.Beta2;
                    _first[i] = beta1 * _first[i] + (1 - beta1) * g;
                    _second[i] = beta2 * _second[i] + (1 - beta2) * g * g;
                    double average = _first[i] / (1 - Math.Pow(beta1, Steps)), square = _second[i] / (1 - Math.Pow(beta2, Steps));
                    weights[i] = (1 - rate * weightDecay) * weights[i] - rate * m * average / (Math.Sqrt(square) + adamW.Epsilon);
                    break;
                default:
                    throw new ArgumentException($"There is no reference for {options.GetType().Name}.", nameof(options));
            }
        }
    }

    /// <summary>Scales gradients so that their L2 norm together is at most a maximum, as torch.nn.utils.clip_grad_norm_ does.</summary>
    public static double[][] Clip(double[][] gradients, float? maximum)
    {
        double norm = Math.Sqrt(gradients.Sum(gradient => gradient.Sum(value => value * value)));
        double factor = maximum is { } limit ? Math.Min(1, limit / (norm + 1e-6)) : 1;
        return [.. gradients.Select(gradient => gradient.Select(value => value * factor).ToArray())];
    }
}
