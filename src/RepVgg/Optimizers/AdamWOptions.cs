using System.Globalization;

namespace RepVgg.Optimizers;

/// <summary>AdamW as in PyTorch's torch.optim.AdamW: Adam with a weight decay that is not part of the gradient. A run that gives none has a peak learning rate of 0.001 and a weight decay of 0.01.</summary>
/// <remarks>
/// Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019. In update t of a parameter, from 1:
/// w *= 1 - learning rate * weight decay; m = Beta1 * m + (1 - Beta1) * g; v = Beta2 * v + (1 - Beta2) * g^2;
/// w -= learning rate / (1 - Beta1^t) * m / (sqrt(v) / sqrt(1 - Beta2^t) + Epsilon), where g is the gradient, and m and v are 0 at first.
/// </remarks>
/// <param name="Beta1">Decay of the average m of the gradients; 0 or more and less than 1.</param>
/// <param name="Beta2">Decay of the average v of the squared gradients; 0 or more and less than 1.</param>
/// <param name="Epsilon">Value that is added to the denominator; more than 0.</param>
public sealed record AdamWOptions(float Beta1 = 0.9f, float Beta2 = 0.999f, float Epsilon = 1e-8f) : OptimizerOptions
{
    /// <summary>Name of the slot of m.</summary>
    internal const string GradientAverage = "exp_avg";

    /// <summary>Name of the slot of v.</summary>
    internal const string SquareAverage = "exp_avg_sq";

    internal override float DefaultLearningRate => 1e-3f;

    internal override float DefaultWeightDecay => 0.01f;

    internal override string Name => "AdamW";

    internal override IReadOnlyList<string> Slots => [GradientAverage, SquareAverage];

    internal override bool CountsSteps => true;

    internal override void Validate()
    {
        Require(Beta1 is >= 0 and < 1, nameof(Beta1), Beta1, "0 or more and less than 1");
        Require(Beta2 is >= 0 and < 1, nameof(Beta2), Beta2, "0 or more and less than 1");
        Require(Epsilon > 0 && float.IsFinite(Epsilon), nameof(Epsilon), Epsilon, "more than 0");
    }

    /// <summary>Computes the factors of an update.</summary>
    /// <param name="learningRate">The learning rate of the update.</param>
    /// <param name="weightDecay">The weight decay of the parameter.</param>
    /// <param name="step">Number of updates of the parameter, with this one.</param>
    internal AdamWFactors Factors(float learningRate, float weightDecay, float step)
    {
        double beta1 = ToDouble(Beta1), beta2 = ToDouble(Beta2);
        return new AdamWFactors(
            (float)(1 - (double)learningRate * weightDecay),
            Beta1, (float)(1 - beta1),
            Beta2, (float)(1 - beta2),
            (float)(learningRate / (1 - Math.Pow(beta1, step))), (float)Math.Sqrt(1 - Math.Pow(beta2, step)), Epsilon);
    }

    /// <summary>Returns the double with the same decimal digits, which PyTorch computes with: 1 - 0.999 in double precision is 1.3e-5 away, relatively, from 1 minus the float 0.999f.</summary>
    private static double ToDouble(float value) => double.Parse(value.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
}

/// <summary>The factors of an AdamW update, which are equal for all elements of a parameter.</summary>
/// <param name="WeightFactor">1 - learning rate * weight decay.</param>
/// <param name="Beta1">Factor of m.</param>
/// <param name="AverageFactor">1 - Beta1.</param>
/// <param name="Beta2">Factor of v.</param>
/// <param name="SquareFactor">1 - Beta2.</param>
/// <param name="Rate">Learning rate / (1 - Beta1^t).</param>
/// <param name="RootDivisor">sqrt(1 - Beta2^t).</param>
/// <param name="Epsilon">Value that is added to the denominator.</param>
internal readonly record struct AdamWFactors(
    float WeightFactor, float Beta1, float AverageFactor, float Beta2, float SquareFactor, float Rate, float RootDivisor, float Epsilon);
