using RepVgg.Architectures;
using RepVgg.Backends;
using TorchSharp;
using F = TorchSharp.torch.nn.functional;

namespace RepVgg.TorchSharp;

/// <summary>The equivalent kernel and bias of a block's branches and the custom L2 penalty, differentiable by the branches' parameters. The dispose scope of the step disposes intermediate tensors.</summary>
internal sealed partial class TorchBackend
{
    /// <summary>Lower bound of the denominator of the custom L2 penalty. If the scales of all branches are zero, it makes the quotient 0 instead of 0 / 0.</summary>
    private const double SmallestScale = 1e-30;

    private protected override Tensor EquivalentKernelCore(IReadOnlyList<Branch> branches) => Run(() =>
    {
        var shape = branches.First(branch => branch.Kernel is not null).Kernel!.Shape;
        return branches
            .Select(branch => PadTo3x3(branch.Kernel is null ? UnitKernel(shape[0], shape[1]) : FiltersOf(branch), branch) * Column(ScaleOf(branch, shape[0])))
            .Aggregate((sum, kernel) => sum.Plus(kernel));
    }, isKernel: true);

    private protected override Tensor EquivalentBiasCore(IReadOnlyList<Branch> branches) => Run(() =>
    {
        int outputs = branches.First(branch => branch.Kernel is not null).Kernel!.Shape[0];
        var bias = torch.zeros([outputs], torch.ScalarType.Float32, _device);
        foreach (var branch in branches)
        {
            if (branch.Norm is { } norm)
                bias = bias.Plus(WithChannelScale(Value(norm.Bias), branch)) - Value(norm.RunningMean) * ScaleOf(branch, outputs);
        }
        return bias;
    });

    private protected override Tensor BranchPenaltyCore(IReadOnlyList<Branch> branches) => Run(() =>
    {
        torch.Tensor? borders = null, centers = null, norms = null;
        foreach (var branch in branches.Where(branch => branch.Kernel is not null))
        {
            var kernel = Value(branch.Kernel!);
            var center = kernel.narrow(2, branch.KernelHeight / 2, 1).narrow(3, branch.KernelWidth / 2, 1);
            var scale = Column(ScaleOf(branch, branch.Kernel!.Shape[0])).detach();
            if (branch.KernelHeight * branch.KernelWidth > 1)
            {
                var border = (kernel * kernel).sum() - (center * center).sum();
                borders = borders?.Plus(border) ?? border;
            }
            centers = centers?.Plus(center * scale) ?? center * scale;
            norms = norms?.Plus(scale * scale) ?? scale * scale;
        }
        using var smallest = SmallestScale.ToScalar();
        return borders!.Plus((centers! * centers! / norms!.clamp_min(smallest)).sum());
    });

    /// <summary>Computes the scale of a branch with running statistics, [O]: its channel scale, times weight / sqrt(running variance + epsilon) of its batch norm.</summary>
    private torch.Tensor ScaleOf(Branch branch, int outputs) => WithChannelScale(
        branch.Norm is { } norm ? NormScaleOf(norm) : torch.ones([outputs], torch.ScalarType.Float32, _device),
        branch);

    /// <summary>Computes weight / sqrt(running variance + epsilon), [O].</summary>
    private static torch.Tensor NormScaleOf(BatchNormState norm) => Value(norm.Weight) / Value(norm.RunningVariance).Plus(norm.Epsilon).sqrt();

    /// <summary>Multiplies one value per output by the channel scale of a branch, if it has one.</summary>
    private static torch.Tensor WithChannelScale(torch.Tensor values, Branch branch) => branch.ChannelScale is { } scale ? values * Value(scale) : values;

    /// <summary>Returns the kernel of a branch, with normalised filters if the branch has them.</summary>
    private static torch.Tensor FiltersOf(Branch branch)
    {
        var kernel = Value(branch.Kernel!);
        return branch.NormalizesFilters ? F.normalize(kernel.reshape(kernel.shape[0], -1), eps: BranchSpec.SmallestFilterNorm).reshape(kernel.shape) : kernel;
    }

    private static torch.Tensor Column(torch.Tensor values) => values.reshape(-1, 1, 1, 1);

    private static torch.Tensor PadTo3x3(torch.Tensor kernel, Branch branch)
    {
        int rows = (3 - branch.KernelHeight) / 2, columns = (3 - branch.KernelWidth) / 2;
        return rows + columns == 0 ? kernel : F.pad(kernel, [columns, columns, rows, rows]);
    }

    /// <summary>Creates the identity as a 1x1 kernel, OIHW: the value of output o and input o mod (inputs per group) is 1, all other values are 0.</summary>
    private torch.Tensor UnitKernel(int outputs, int inputs) =>
        torch.eye(inputs, dtype: torch.ScalarType.Float32, device: _device).repeat(outputs / inputs, 1).reshape(outputs, inputs, 1, 1);
}
