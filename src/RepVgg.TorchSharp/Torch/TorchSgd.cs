using RepVgg.Backends;
using RepVgg.Optimizers;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Stochastic gradient descent; see <see cref="SgdOptions"/>.</summary>
internal sealed class TorchSgd(TorchBackend backend, IReadOnlyList<ParameterGroup> groups, SgdOptions options, float? gradientClipNorm)
    : TorchOptimizer(backend, groups, options, gradientClipNorm)
{
    private protected override void Update(torch.Tensor weights, torch.Tensor gradients, torch.Tensor[] slots, torch.Tensor? multiplier, float rate, float weightDecay, float step)
    {
        using Scalar decay = weightDecay.ToScalar(), momentumFactor = options.Momentum.ToScalar(), negativeRate = (-rate).ToScalar();
        var direction = weightDecay == 0 ? gradients : gradients.add(weights, decay);
        if (slots is [var momentum])
        {
            momentum.mul_(momentumFactor).AddInPlace(direction);
            direction = options.Nesterov ? direction.add(momentum, momentumFactor) : momentum;
        }
        weights.add_(direction, negativeRate);
    }
}
