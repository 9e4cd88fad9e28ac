using RepVgg.Architectures;
using RepVgg.Formats;
using RepVgg.Networks;
using TorchSharp;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>A RepVGG without its classifier as a TorchSharp module, for detection, segmentation and whatever else reads feature maps.</summary>
/// <remarks>
/// Parameters bear the authors' names (<c>stage1.0.rbr_dense.conv.weight</c>), so their checkpoints load and weights
/// trained here can be saved for their code. <see cref="DeployExtensions.SwitchToDeploy"/> fuses it, alone or within a larger network.
/// </remarks>
public sealed class RepVggBackbone : torch.nn.Module<Tensor, Tensor>
{
    private readonly torch.nn.Module<Tensor, Tensor>[] _stages;

    /// <summary>Makes a backbone with fresh weights.</summary>
    /// <param name="architecture">Such as <c>RepVggVariants.A0</c>; auxiliary heads are left out.</param>
    /// <param name="outputStride">Pixels of the image that one pixel of the last map may span; the strides beyond are traded for dilation, as segmentation networks do. Null keeps all strides.</param>
    /// <param name="deploy">True: the fused form from the start, for weights that were fused before.</param>
    /// <exception cref="ArgumentException">The architecture cannot be built, or its strides do not reach the output stride.</exception>
    public RepVggBackbone(RepVggArchitecture architecture, int? outputStride = null, bool deploy = false)
        : base(nameof(RepVggBackbone))
    {
        ArgumentNullException.ThrowIfNull(architecture);
        architecture.Validate();
        Architecture = architecture;
        int limit = outputStride ?? architecture.TotalStride, spanned = 1, dilation = 1;
        var shapes = new Queue<BlockSpec>(architecture.Blocks);
        _stages = new torch.nn.Module<Tensor, Tensor>[architecture.Stages.Length];
        for (int i = 0; i < _stages.Length; i++)
        {
            var blocks = new RepVggBlock[architecture.Stages[i].Depth];
            for (int j = 0; j < blocks.Length; j++)
            {
                var shape = shapes.Dequeue();
                bool keepsStride = spanned * shape.Stride <= limit;
                if (keepsStride)
                    spanned *= shape.Stride;
                else
                    dilation *= shape.Stride;
                blocks[j] = new RepVggBlock(shape, keepsStride ? shape.Stride : 1, dilation, deploy, architecture.BatchNormEpsilon);
            }
            _stages[i] = i == 0 ? blocks[0]
                : architecture.PlusLayout ? new RepVggStage(blocks)
                : torch.nn.Sequential(blocks.Select((block, index) => ($"{index}", (torch.nn.Module<Tensor, Tensor>)block)));
            register_module(architecture.Stages[i].Name, _stages[i]);
        }
        if (spanned != limit)
            throw new ArgumentException($"The strides of {architecture.Name} multiply to {architecture.TotalStride}; an output stride of {outputStride} is not on the way.", nameof(outputStride));
    }

    /// <summary>What was built.</summary>
    public RepVggArchitecture Architecture { get; }

    /// <summary>Channels of each stage's output, the stem's first.</summary>
    public IReadOnlyList<int> StageWidths => [.. Architecture.Stages.Select(stage => stage.Width)];

    /// <summary>The last stage's map.</summary>
    /// <param name="input">Normalised images, [N, C, H, W].</param>
    /// <returns>[N, features, h, w].</returns>
    public override Tensor forward(Tensor input)
    {
        using var scope = torch.NewDisposeScope();
        var map = input;
        foreach (var stage in _stages)
            map = stage.call(map);
        return map.MoveToOuterDisposeScope();
    }

    /// <summary>The maps of every stage, the stem's first.</summary>
    /// <param name="input">Normalised images, [N, C, H, W].</param>
    /// <returns>One map a stage; the caller's to dispose.</returns>
    public IReadOnlyList<Tensor> Stages(Tensor input)
    {
        var maps = new List<Tensor>();
        foreach (var stage in _stages)
            maps.Add(stage.call(maps.Count == 0 ? input : maps[^1]));
        return maps;
    }

    /// <summary>Overwrites the weights.</summary>
    /// <param name="state">Weights in this module's form, training or fused; a classifier, auxiliary heads and batch counters in them are ignored.</param>
    /// <exception cref="ArgumentException">Names are missing, surplus or misshapen; the message lists all of them, and nothing was changed.</exception>
    public void ImportState(StateDict state)
    {
        StateLayout.Check(
            state,
            [.. Tensors().Select(entry => new StateEntry(entry.Name, Array.ConvertAll(entry.Tensor.shape, dimension => (int)dimension), StateKind.ConvWeight))],
            $"the backbone of {Architecture.Name}",
            name => DeployStates.IsAuxiliary(name) || name.StartsWith("linear.", StringComparison.Ordinal));
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        foreach (var (name, tensor) in Tensors())
            tensor.copy_(HostCopy.ToTensor([.. state[name].Shape], state[name].Values));
    }

    /// <summary>Copies the weights out, under the authors' names, without batch counters.</summary>
    /// <returns>The weights.</returns>
    public StateDict ExportState()
    {
        var state = new StateDict();
        foreach (var (name, tensor) in Tensors())
        {
            var copy = TensorData.Zeros(Array.ConvertAll(tensor.shape, dimension => (int)dimension));
            HostCopy.FromTensor(tensor, copy.Values);
            state[name] = copy;
        }
        return state;
    }

    private IEnumerable<(string Name, Tensor Tensor)> Tensors() => state_dict()
        .Where(entry => !entry.Key.EndsWith(StateLayout.BatchCounter, StringComparison.Ordinal))
        .Select(entry => (entry.Key, entry.Value));
}
