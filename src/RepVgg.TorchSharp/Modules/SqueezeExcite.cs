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

    // TorchSharp would register fields of module types under the names of the fields.
    private readonly (string Name, Conv2d Layer) _down, _up;

    /// <param name="block">The block, which determines the channels and, in the training form, the names of the layers.</param>
    /// <param name="deploy">Whether the block is in the deploy form.</param>
    public SqueezeExcite(BlockSpec block, bool deploy)
        : base(nameof(SqueezeExcite))
    {
        _down = (deploy ? DeployDown : LastPart(block.SqueezeLayer), torch.nn.Conv2d(block.OutputChannels, block.SqueezeWidth, 1));
        _up = (deploy ? DeployUp : LastPart(block.ExciteLayer), torch.nn.Conv2d(block.SqueezeWidth, block.OutputChannels, 1));
        register_module(_down.Name, _down.Layer);
        register_module(_up.Name, _up.Layer);
    }

    /// <summary>Gives the layers their names in the deploy form.</summary>
    public void SwitchToDeploy()
    {
        register_module(_down.Name, null!);
        register_module(_up.Name, null!);
        register_module(DeployDown, _down.Layer);
        register_module(DeployUp, _up.Layer);
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = torch.NewDisposeScope();
        var squeezed = _down.Layer.call(F.adaptive_avg_pool2d(input, [1, 1])).relu_();
        return (input * _up.Layer.call(squeezed).sigmoid_()).MoveToOuterDisposeScope();
    }

    private static string LastPart(string name) => name[(name.LastIndexOf('.') + 1)..];
}
