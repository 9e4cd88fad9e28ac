using RepVgg.Architectures;
using TorchSharp;
using TorchSharp.Modules;
using F = TorchSharp.torch.nn.functional;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>Squeeze-and-excitation: x * sigmoid(up(relu(down(mean of x over height and width)))), where down and up are 1x1 convolutions.</summary>
internal sealed class SqueezeExcite : torch.nn.Module<Tensor, Tensor>
{
    // Names in the deploy form, which are those of the RepVGG authors' code.
    private const string DeployDown = "down", DeployUp = "up";

    private readonly string _downName, _upName;
    private readonly Conv2d _down;
    private readonly Conv2d _up;

    /// <param name="block">The block, which determines the channels and, in the training form, the names of the layers.</param>
    /// <param name="deploy">Whether the block is in the deploy form.</param>
    public SqueezeExcite(BlockSpec block, bool deploy)
        : base(nameof(SqueezeExcite))
    {
        (_downName, _upName) = deploy ? (DeployDown, DeployUp) : (LastPart(block.SqueezeLayer), LastPart(block.ExciteLayer));
        _down = torch.nn.Conv2d(block.OutputChannels, block.SqueezeWidth, 1);
        _up = torch.nn.Conv2d(block.SqueezeWidth, block.OutputChannels, 1);
        register_module(_downName, _down);
        register_module(_upName, _up);
    }

    /// <summary>Gives the layers their names in the deploy form.</summary>
    public void SwitchToDeploy()
    {
        register_module(_downName, null!);
        register_module(_upName, null!);
        register_module(DeployDown, _down);
        register_module(DeployUp, _up);
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = torch.NewDisposeScope();
        var squeezed = _down.call(F.adaptive_avg_pool2d(input, [1, 1])).relu_();
        return (input * _up.call(squeezed).sigmoid_()).MoveToOuterDisposeScope();
    }

    private static string LastPart(string name) => name[(name.LastIndexOf('.') + 1)..];
}
