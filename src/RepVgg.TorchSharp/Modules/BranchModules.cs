using RepVgg.Architectures;
using TorchSharp;
using TorchSharp.Modules;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>The modules of one branch of a block: a convolution without bias or the identity, and a batch norm if the branch has one.</summary>
internal sealed class BranchModules
{
    /// <param name="block">The block.</param>
    /// <param name="branch">The branch.</param>
    /// <param name="stride">Stride of the convolution; it can differ from that of the block where a stride was replaced by dilation.</param>
    /// <param name="dilation">Dilation of kernels that are larger than 1x1.</param>
    /// <param name="epsilon">Value that the batch norm adds to the variance.</param>
    public BranchModules(BlockSpec block, BranchSpec branch, int stride, int dilation, double epsilon)
    {
        Spec = branch;
        if (branch.KernelName is not null)
        {
            int height = branch.KernelHeight, width = branch.KernelWidth;
            Convolution = torch.nn.Conv2d(
                block.InputChannels, block.OutputChannels, (height, width), (stride, stride), (height / 2 * dilation, width / 2 * dilation), (dilation, dilation),
                groups: block.Groups, bias: false);
        }
        if (branch.NormName is not null)
            Norm = torch.nn.BatchNorm2d(block.OutputChannels, epsilon);
    }

    public BranchSpec Spec { get; }

    /// <summary>The convolution; null for the identity.</summary>
    public Conv2d? Convolution { get; }

    /// <summary>The batch norm; null without one.</summary>
    public BatchNorm2d? Norm { get; }

    /// <summary>The modules with their names within the block, e.g. <c>rbr_dense.conv</c>.</summary>
    public IEnumerable<(string Name, torch.nn.Module Module)> NamedModules
    {
        get
        {
            if (Convolution is not null)
                yield return (Spec.KernelName!, Convolution);
            if (Norm is not null)
                yield return (Spec.NormName!, Norm);
        }
    }

    /// <summary>Computes the output of the branch; the input itself for the identity without batch norm and factor.</summary>
    public Tensor Forward(Tensor input)
    {
        var result = input;
        if (Convolution is not null)
            result = Convolution.call(result);
        if (Norm is not null)
            result = Norm.call(result);
        return result;
    }
}
