using RepVgg.Architectures;
using TorchSharp;
using TorchSharp.Modules;
using F = TorchSharp.torch.nn.functional;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>The modules of one branch of a block: the layer before the main layer if there is one, the main layer, the factor per channel and the batch norm.</summary>
/// <remarks>
/// Where kernels are dilated, the average is taken over 3x3 pixels at the distance of the dilation, and borders are as wide as the dilation: the
/// branch is then a part of the block's 3x3 kernel with that dilation.
/// </remarks>
internal sealed class BranchModules
{
    private readonly BlockSpec _block;
    private readonly ModuleTree _tree;

    // Stride and padding are those of the main layer.
    private readonly int _stride, _dilation, _padding;
    private readonly Conv2d? _firstConvolution, _convolution;
    private readonly BatchNorm2d? _firstNorm, _norm;

    /// <param name="block">The block.</param>
    /// <param name="branch">The branch.</param>
    /// <param name="stride">Stride of the branch; it can differ from that of the block where a stride was replaced by dilation.</param>
    /// <param name="dilation">Dilation of kernels that are larger than 1x1.</param>
    /// <param name="epsilon">Value that the batch norms add to the variance.</param>
    /// <param name="tree">Where <see cref="Register"/> registers the modules.</param>
    public BranchModules(BlockSpec block, BranchSpec branch, int stride, int dilation, double epsilon, ModuleTree tree)
    {
        (_block, Spec, _tree, _stride, _dilation, _padding) = (block, branch, tree, stride, dilation, dilation);
        int inputs = block.InputChannels;
        if (branch.First is { } first)
        {
            int firstStride = first.Relu ? stride : 1;
            _firstConvolution = NewConvolution(inputs, first.Channels, first.Size, first.Size, firstStride, dilation);
            _firstNorm = torch.nn.BatchNorm2d(first.Channels, epsilon);
            if (first.AddsInput)
                torch.nn.init.zeros_(_firstConvolution.weight);
            (inputs, _stride, _padding) = (first.Channels, stride / firstStride, first.Relu ? dilation : 0);
        }
        if (branch is { KernelName: not null, NormalizesFilters: false })
            _convolution = NewConvolution(inputs, block.OutputChannels, branch.KernelHeight, branch.KernelWidth, _stride, _padding);
        if (branch.NormName is not null)
            _norm = torch.nn.BatchNorm2d(block.OutputChannels, epsilon);
    }

    public BranchSpec Spec { get; }

    /// <summary>Registers the modules and tensors under their names within the block, e.g. <c>rbr_dense.conv</c>.</summary>
    public void Register()
    {
        if (Spec.First is { } first)
        {
            _tree.Add(first.KernelName, _firstConvolution!);
            _tree.Add(first.NormName, _firstNorm!);
        }
        if (_convolution is not null)
            _tree.Add(Spec.KernelName!, _convolution);
        // TorchSharp's convolutions move only their own tensors to other devices and data types. A kernel that has scales beside it is therefore in a plain module.
        if (Spec.NormalizesFilters)
            _tree.Add($"{Spec.KernelName}.weight", NewKernel(), isTrained: true);
        if (Spec.Scale is { } scale)
        {
            using var initial = scale.Initial.ToScalar();
            _tree.Add(scale.Name, torch.full([_block.OutputChannels], initial), scale.IsTrained);
        }
        if (_norm is not null)
            _tree.Add(Spec.NormName!, _norm);
    }

    /// <summary>Computes the output of the branch. It is a tensor of its own, but can share the memory of the input.</summary>
    public Tensor Forward(Tensor input)
    {
        using var scope = torch.NewDisposeScope();
        var map = MainLayer(Spec.First is { } first ? FirstLayer(first, input) : input.alias());
        if (Spec.Scale is { } scale)
            map = map * _tree.TensorOf(scale.Name).reshape(1, -1, 1, 1);
        if (_norm is not null)
            map = _norm.Apply(map);
        if (Spec.Relu)
            map = map.relu();
        return map.MoveToOuterDisposeScope();
    }

    private Tensor FirstLayer(FirstLayerSpec first, Tensor input)
    {
        var map = _firstConvolution!.call(input);
        if (first.AddsInput)
            map = map.Plus(input);
        map = _firstNorm!.Apply(map);
        return first.Relu ? map.relu_() : PadWithNorm(map, _firstNorm!);
    }

    private Tensor MainLayer(Tensor map) => Spec.Kind switch
    {
        BranchKind.Identity => map,
        BranchKind.Delta => Delta(map),
        BranchKind.Average => Average(map),
        _ when Spec.NormalizesFilters => F.conv2d(
            map, NormalizedFilters(_tree.TensorOf($"{Spec.KernelName}.weight")), strides: [_stride, _stride], padding: [_padding, _padding], dilation: [_dilation, _dilation], groups: _block.Groups),
        _ => _convolution!.call(map),
    };

    /// <summary>Computes the average over 3x3 pixels as a convolution of every channel, which can be dilated.</summary>
    private Tensor Average(Tensor map)
    {
        var ones = torch.ones([map.shape[1], 1, 3, 3], map.dtype, map.device);
        using var count = 9.ToScalar();
        return F.conv2d(map, ones, strides: [_stride, _stride], padding: [_padding, _padding], dilation: [_dilation, _dilation], groups: map.shape[1]) / count;
    }

    /// <summary>Computes the convolution with the kernel D, see <see cref="BranchKind.Delta"/>: takes every stride-th pixel, and omits channels or appends zeros in every group.</summary>
    private Tensor Delta(Tensor map)
    {
        int inputs = _block.InputChannels / _block.Groups, outputs = _block.OutputChannels / _block.Groups;
        map = map.slice(2, 0, map.shape[2], _stride).slice(3, 0, map.shape[3], _stride);
        long[] shape = map.shape;
        return F.pad(map.reshape(shape[0], _block.Groups, inputs, shape[2], shape[3]), [0, 0, 0, 0, 0, outputs - inputs]).reshape(shape[0], _block.OutputChannels, shape[2], shape[3]);
    }

    /// <summary>Pads the output of a batch norm with what it makes of zeros under its running statistics; the border has no gradient.</summary>
    private Tensor PadWithNorm(Tensor map, BatchNorm2d norm)
    {
        Tensor border;
        using (torch.no_grad())
        {
            var value = norm.bias! - norm.running_mean! * norm.weight! / norm.running_var!.Plus(norm.eps).sqrt();
            var isBorder = F.pad(torch.zeros([1, 1, map.shape[2], map.shape[3]], map.dtype, map.device), [_dilation, _dilation, _dilation, _dilation], value: 1);
            border = value.to(map.dtype).reshape(1, -1, 1, 1) * isBorder;
        }
        return F.pad(map, [_dilation, _dilation, _dilation, _dilation]).Plus(border);
    }

    private static Tensor NormalizedFilters(Tensor kernel) => F.normalize(kernel.reshape(kernel.shape[0], -1), eps: BranchSpec.SmallestFilterNorm).reshape(kernel.shape);

    /// <summary>Creates the kernel of the main layer with the initial distribution of a convolution.</summary>
    private Tensor NewKernel() => torch.nn.init.kaiming_uniform_(
        torch.empty([_block.OutputChannels, _block.InputChannels / _block.Groups, Spec.KernelHeight, Spec.KernelWidth]), a: Math.Sqrt(5));

    /// <summary>Creates a convolution without bias. The padding is that of a dimension in which the kernel has 3 values.</summary>
    private Conv2d NewConvolution(int inputs, int outputs, int height, int width, int stride, int padding) => torch.nn.Conv2d(
        inputs, outputs, (height, width), (stride, stride), (height / 2 * padding, width / 2 * padding), (_dilation, _dilation), groups: _block.Groups, bias: false);
}
