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
            .Select(branch => (branch.Kernel is { } kernel ? PadTo3x3(Value(kernel), branch) : UnitKernel(shape[0], shape[1])) * Column(ScaleOf(branch, shape[0])))
            .Aggregate((sum, kernel) => sum + kernel);
    });

    private protected override Tensor EquivalentBiasCore(IReadOnlyList<Branch> branches) => Run(() =>
    {
        int outputs = branches.First(branch => branch.Kernel is not null).Kernel!.Shape[0];
        var bias = torch.zeros([outputs], torch.ScalarType.Float32, _device);
        foreach (var branch in branches)
        {
            if (branch.Norm is { } norm)
                bias = bias + Multiply(Value(norm.Bias), branch.Scale) - Value(norm.RunningMean) * ScaleOf(branch, outputs);
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
                var border = kernel.square().sum() - center.square().sum();
                borders = borders is null ? border : borders + border;
            }
            centers = centers is null ? center * scale : centers + center * scale;
            norms = norms is null ? scale.square() : norms + scale.square();
        }
        using var smallest = SmallestScale.ToScalar();
        return borders! + (centers!.square() / norms!.clamp_min(smallest)).sum();
    });

    /// <summary>Computes the scale of a branch with running statistics, [O]: its constant factor, times weight / sqrt(running variance + epsilon) of its batch norm.</summary>
    private torch.Tensor ScaleOf(Branch branch, int outputs)
    {
        if (branch.Norm is not { } norm)
            return torch.full([outputs], branch.Scale, torch.ScalarType.Float32, _device);
        using var epsilon = norm.Epsilon.ToScalar();
        return Multiply(Value(norm.Weight) / (Value(norm.RunningVariance) + epsilon).sqrt(), branch.Scale);
    }

    private static torch.Tensor Column(torch.Tensor values) => values.reshape(-1, 1, 1, 1);

    private static torch.Tensor PadTo3x3(torch.Tensor kernel, Branch branch)
    {
        int rows = (3 - branch.KernelHeight) / 2, columns = (3 - branch.KernelWidth) / 2;
        return rows + columns == 0 ? kernel : F.pad(kernel, [columns, columns, rows, rows]);
    }

    /// <summary>Creates the identity as a 3x3 kernel, OIHW: the centre value of output o and input o mod (inputs per group) is 1, all other values are 0.</summary>
    private torch.Tensor UnitKernel(int outputs, int inputs)
    {
        var values = new float[outputs * inputs * 9];
        for (int o = 0; o < outputs; o++)
            values[(o * inputs + o % inputs) * 9 + 4] = 1;
        return ToDevice(HostCopy.ToTensor([outputs, inputs, 3, 3], values));
    }
}
