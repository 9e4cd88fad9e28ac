using RepVgg.Architectures;
using RepVgg.Reparameterization;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>A RepVGG without its classifier as a TorchSharp module, for detection, segmentation and other tasks that use feature maps.</summary>
/// <remarks>
/// The blocks have the training form of the architecture. Parameters have the names of the RepVGG authors' code (<c>stage1.0.rbr_dense.conv.weight</c>),
/// or within blocks of other training forms those of their authors, so their checkpoints can be imported and weights trained here can be exported for their code. <see cref="DeployExtensions.SwitchToDeploy"/> fuses the backbone, alone or within a larger network.
/// </remarks>
public sealed class RepVggBackbone : torch.nn.Module<Tensor, Tensor>
{
    private readonly torch.nn.Module<Tensor, Tensor>[] _stages;

    /// <summary>Creates a backbone with random weights.</summary>
    /// <param name="architecture">The architecture, such as <c>RepVggVariants.A0</c>. Auxiliary heads are not created.</param>
    /// <param name="outputStride">Ratio of the image size to the size of the last feature map. Strides that would exceed it are replaced by dilation, as in segmentation networks. Null for that of the architecture.</param>
    /// <param name="deploy">True to create the fused form, for weights that are already fused.</param>
    /// <exception cref="ArgumentException">The architecture cannot be built, or the output stride is not a product of its first strides.</exception>
    /// <exception cref="NotSupportedException"><paramref name="deploy"/> is true, and the training form cannot be fused; or a stage is padded on one side.</exception>
    /// <exception cref="DeviceUnavailableException">TorchSharp or its native libraries are missing, have another version, or need a newer system.</exception>
    public RepVggBackbone(RepVggArchitecture architecture, int? outputStride = null, bool deploy = false)
        : base(TorchRuntime.Checked(nameof(RepVggBackbone)))
    {
        ArgumentNullException.ThrowIfNull(architecture);
        if (outputStride is not null)
            architecture = architecture with { OutputStride = outputStride };
        architecture.Validate();
        if (architecture.Stages.Any(stage => !stage.IsPaddedOnAllSides))
            throw new NotSupportedException($"{architecture.Name} is padded on one side, as TensorFlow pads inputs of even size, which this module does not compute. Convert the network for images of odd size, such as 225 x 225.");
        if (deploy)
            Fusion.RequireFusable(architecture);
        Architecture = architecture;
        var shapes = new Queue<BlockSpec>(architecture.Blocks);
        _stages = new torch.nn.Module<Tensor, Tensor>[architecture.Stages.Length];
        for (int i = 0; i < _stages.Length; i++)
        {
            RepVggBlock[] blocks = [.. Enumerable.Range(0, architecture.BlocksOf(architecture.Stages[i])).Select(_ => shapes.Dequeue())
                .Select(shape => new RepVggBlock(shape, shape.Stride, shape.Dilation, deploy, architecture.BatchNormEpsilon))];
            _stages[i] = i == 0 ? blocks[0]
                : architecture.PlusLayout ? new RepVggStage(blocks)
                : torch.nn.Sequential(blocks.Select((block, index) => ($"{index}", (torch.nn.Module<Tensor, Tensor>)block)));
            register_module(architecture.Stages[i].Name, _stages[i]);
        }
    }

    /// <summary>The architecture of the backbone, with its output stride.</summary>
    public RepVggArchitecture Architecture { get; }

    /// <summary>Number of output channels of each stage, starting with the stem.</summary>
    public IReadOnlyList<int> StageWidths => [.. Architecture.Stages.Select(stage => stage.Width)];

    /// <summary>Computes the feature map of the last stage.</summary>
    /// <param name="input">Normalised images, [N, C, H, W].</param>
    /// <returns>The feature map, [N, features, h, w].</returns>
    public override Tensor forward(Tensor input)
    {
        using var scope = torch.NewDisposeScope();
        var map = input;
        foreach (var stage in _stages)
            map = stage.call(map);
        return map.MoveToOuterDisposeScope();
    }

    /// <summary>Computes the feature maps of all stages, starting with the stem.</summary>
    /// <param name="input">Normalised images, [N, C, H, W].</param>
    /// <returns>One feature map [N, width, h, w] per stage. The caller disposes them.</returns>
    public IReadOnlyList<Tensor> Stages(Tensor input)
    {
        var maps = new List<Tensor>();
        foreach (var stage in _stages)
            maps.Add(stage.call(maps.Count == 0 ? input : maps[^1]));
        return maps;
    }

    /// <summary>Overwrites the weights.</summary>
    /// <param name="state">Weights in the current form of this module, training or fused. Weights of a classifier or of auxiliary heads, and batch counters, are ignored.</param>
    /// <exception cref="ArgumentException">Tensors are missing, unexpected or of the wrong shape. The message names the first ones, and no weight is changed.</exception>
    public void ImportState(StateDict state) => ModuleWeights.Import(
        state, ModuleWeights.Of(this), $"the backbone of {Architecture.Name}", name => StateLayout.IsAuxiliary(name) || name.StartsWith("linear.", StringComparison.Ordinal));

    /// <summary>Copies the weights, under the names of the RepVGG authors' code and without batch counters.</summary>
    /// <returns>The weights.</returns>
    public StateDict ExportState() => ModuleWeights.Export(ModuleWeights.Of(this));
}

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
