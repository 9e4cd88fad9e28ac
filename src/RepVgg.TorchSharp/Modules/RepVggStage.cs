using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>A stage in the layout of RepVGGplus: its blocks are in the submodule list <c>blocks</c>.</summary>
internal sealed class RepVggStage : torch.nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "blocks")]
    private readonly ModuleList<RepVggBlock> _blocks;

    public RepVggStage(RepVggBlock[] blocks)
        : base(nameof(RepVggStage))
    {
        _blocks = torch.nn.ModuleList(blocks);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = torch.NewDisposeScope();
        var map = input;
        foreach (var block in _blocks)
            map = block.call(map);
        return map.MoveToOuterDisposeScope();
    }
}
