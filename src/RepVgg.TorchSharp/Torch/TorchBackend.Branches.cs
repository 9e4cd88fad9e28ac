using RepVgg.Backends;
using TorchSharp;
using F = TorchSharp.torch.nn.functional;

namespace RepVgg.TorchSharp;

/// <summary>What a block's branches add up to, as functions of their parameters. Intermediate handles die with the step.</summary>
internal sealed partial class TorchBackend
{
    /// <summary>Batch norms whose weights are both zero have no part in the centre; this keeps it from being 0 / 0.</summary>
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

    /// <summary>What a batch norm with running statistics multiplies by.</summary>
    private torch.Tensor ScaleOf(BatchNormState norm)
    {
        using var epsilon = norm.Epsilon.ToScalar();
        return Own(norm.Weight).Value / (Own(norm.RunningVariance).Value + epsilon).sqrt();
    }

    private static torch.Tensor Column(torch.Tensor values) => values.reshape(-1, 1, 1, 1);

    /// <summary>The identity as a 3x3 kernel: within a group, output o reads input o mod (inputs of a group).</summary>
    private torch.Tensor UnitKernel(int outputs, int inputs)
    {
        var values = new float[outputs * inputs * 9];
        for (int o = 0; o < outputs; o++)
            values[(o * inputs + o % inputs) * 9 + 4] = 1;
        return ToDevice(HostCopy.ToTensor([outputs, inputs, 3, 3], values));
    }
}
