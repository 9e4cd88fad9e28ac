using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using F = TorchSharp.torch.nn.functional;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>Squeeze-and-excitation: x * sigmoid(up(relu(down(mean of x over height and width)))), where down and up are 1x1 convolutions named as in the RepVGG authors' code.</summary>
internal sealed class SqueezeExcite : torch.nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "down")]
    private readonly Conv2d _down;

    [ComponentName(Name = "up")]
    private readonly Conv2d _up;

    public SqueezeExcite(int channels, int reduced)
        : base(nameof(SqueezeExcite))
    {
        _down = torch.nn.Conv2d(channels, reduced, 1);
        _up = torch.nn.Conv2d(reduced, channels, 1);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = torch.NewDisposeScope();
        var squeezed = _down.call(F.adaptive_avg_pool2d(input, [1, 1])).relu_();
        return (input * _up.call(squeezed).sigmoid_()).MoveToOuterDisposeScope();
    }
}
