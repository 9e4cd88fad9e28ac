using RepVgg.Architectures;
using RepVgg.Backends;
using TorchSharp;
using F = TorchSharp.torch.nn.functional;

namespace RepVgg.TorchSharp;

/// <summary>The equivalent kernel and bias of a block's branches and the custom L2 penalty, differentiable by the branches' parameters. The dispose scope of the step disposes intermediate tensors.</summary>
internal sealed partial class TorchBackend
{
    /// <summary>Lower bound of the denominator of the custom L2 penalty. If the weights of both batch norms are zero, it makes the quotient 0 instead of 0 / 0.</summary>
    private const double SmallestScale = 1e-30;

    private static readonly long[] _border = [1, 1, 1, 1];

    public override Tensor EquivalentKernel(BlockBranches branches)
    {
        CurrentStep();
        branches.Validate();
        return Run(() =>
        {
            var sum = Own(branches.Kernel3x3).Value * Column(ScaleOf(branches.Norm3x3))
                + F.pad(Own(branches.Kernel1x1).Value * Column(ScaleOf(branches.Norm1x1)), _border);
            return branches.NormIdentity is { } identity
                ? sum + UnitKernel(branches.OutputChannels, branches.GroupInputs) * Column(ScaleOf(identity))
                : sum;
        });
    }

    public override Tensor EquivalentBias(BlockBranches branches)
    {
        CurrentStep();
        branches.Validate();
        return Run(() => branches.Norms.Select(norm => Own(norm.Bias).Value - Own(norm.RunningMean).Value * ScaleOf(norm)).Aggregate((sum, bias) => sum + bias));
    }

    public override Tensor BranchPenalty(BlockBranches branches)
    {
        CurrentStep();
        branches.Validate();
        return Run(() =>
        {
            var large = Own(branches.Kernel3x3).Value;
            var center = large.narrow(2, 1, 1).narrow(3, 1, 1);
            var scale3x3 = Column(ScaleOf(branches.Norm3x3)).detach();
            var scale1x1 = Column(ScaleOf(branches.Norm1x1)).detach();
            using var smallest = SmallestScale.ToScalar();
            var norm = (scale3x3.square() + scale1x1.square()).clamp_min(smallest);
            var sum = center * scale3x3 + Own(branches.Kernel1x1).Value * scale1x1;
            return large.square().sum() - center.square().sum() + (sum.square() / norm).sum();
        });
    }

    /// <summary>Computes the scale of a batch norm with running statistics: weight / sqrt(running variance + epsilon), [C].</summary>
    private torch.Tensor ScaleOf(BatchNormState norm)
    {
        using var epsilon = norm.Epsilon.ToScalar();
        return Own(norm.Weight).Value / (Own(norm.RunningVariance).Value + epsilon).sqrt();
    }

    private static torch.Tensor Column(torch.Tensor values) => values.reshape(-1, 1, 1, 1);

    /// <summary>Creates the identity as a 3x3 kernel, OIHW: the centre value of output o and input o mod (inputs per group) is 1, all other values are 0.</summary>
    private torch.Tensor UnitKernel(int outputs, int inputs)
    {
        var values = new float[outputs * inputs * 9];
        for (int o = 0; o < outputs; o++)
            values[(o * inputs + o % inputs) * 9 + 4] = 1;
        return ToDevice(HostCopy.ToTensor([outputs, inputs, 3, 3], values));
    }
}
