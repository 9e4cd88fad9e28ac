using RepVgg.Backends;
using RepVgg.Optimizers;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>AdamW; see <see cref="AdamWOptions"/>.</summary>
internal sealed class TorchAdamW(TorchBackend backend, IReadOnlyList<ParameterGroup> groups, AdamWOptions options, float? gradientClipNorm)
    : TorchOptimizer(backend, groups, options, gradientClipNorm)
{
    private protected override void Update(torch.Tensor weights, torch.Tensor gradients, torch.Tensor[] slots, torch.Tensor? multiplier, float rate, float weightDecay, float step)
    {
        var factors = options.Factors(rate, weightDecay, step);
        using Scalar weightFactor = factors.WeightFactor.ToScalar(), negativeRate = (-factors.Rate).ToScalar(), rootDivisor = factors.RootDivisor.ToScalar(),
            beta1 = factors.Beta1.ToScalar(), averageFactor = factors.AverageFactor.ToScalar(), beta2 = factors.Beta2.ToScalar(), squareFactor = factors.SquareFactor.ToScalar();
        var (average, square) = (slots[0], slots[1]);
        average.mul_(beta1).add_(gradients, averageFactor);
        square.mul_(beta2).addcmul_(gradients, gradients, squareFactor);
        var denominator = square.sqrt().div_(rootDivisor).AddInPlace(factors.Epsilon);
        if (weightDecay != 0)
            weights.mul_(weightFactor);
        weights.addcdiv_(multiplier is null ? average : average.mul(multiplier), denominator, negativeRate);
    }
}
