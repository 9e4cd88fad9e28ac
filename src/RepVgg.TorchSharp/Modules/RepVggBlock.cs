using RepVgg.Architectures;
using RepVgg.Reparameterization;
using RepVgg.Weights;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>A RepVGG block as a TorchSharp module. It is the sum of several branches in training; <see cref="SwitchToDeploy"/> replaces them by one 3x3 convolution.</summary>
/// <remarks>
/// Computes relu(BN(conv3x3(x)) + BN(conv1x1(x)) [+ BN(x)]), or the block of another <see cref="TrainingForm"/>, optionally with squeeze-and-excitation. Feature maps are NCHW. Parameters
/// have the names of the RepVGG authors' code: <c>rbr_dense.conv.weight</c>, <c>rbr_1x1.bn.bias</c>, <c>rbr_identity.running_mean</c>,
/// <c>rbr_reparam.weight</c>, <c>se.down.weight</c>; those of other forms have the names of their authors' code. Source: RepVGG, section 3.2, figure 2.
/// </remarks>
public sealed class RepVggBlock : torch.nn.Module<Tensor, Tensor>
{
    private readonly BlockSpec _shape;
    private readonly int _dilation;

    [ComponentName(Name = "se")]
    private readonly SqueezeExcite? _exciteBefore;

    [ComponentName(Name = "post_se")]
    private readonly SqueezeExcite? _exciteAfter;

    [ComponentName(Name = "rbr_reparam")]
    private Conv2d? _fused;

    // The branches, and their modules and the batch norm of their sum by the names within the block.
    private BranchModules[] _branches = [];
    private readonly ModuleTree _tree;

    /// <summary>Creates a block with random weights.</summary>
    /// <param name="inputChannels">Number of input channels.</param>
    /// <param name="outputChannels">Number of output channels.</param>
    /// <param name="stride">Stride, 1 or 2. The block has an identity branch if the stride is 1 and the numbers of input and output channels are equal.</param>
    /// <param name="groups">Number of groups of the convolutions.</param>
    /// <param name="squeezeExcitation">Position of squeeze-and-excitation, or None.</param>
    /// <param name="dilation">Dilation of the 3x3 convolution, at least 1.</param>
    /// <param name="deploy">True to create the fused form, for weights that are already fused.</param>
    /// <param name="batchNormEpsilon">Value that the batch norms add to the variance.</param>
    /// <param name="trainingForm">The training form.</param>
    /// <param name="convolutionBranches">Number of 3x3 convolutions of a block of <see cref="TrainingForm.MobileOne"/>, from 1 to 16. Other forms do not use it.</param>
    /// <exception cref="ArgumentException">A number is out of range, the groups do not divide the channels, or the training form is not defined with this squeeze-and-excitation or with groups.</exception>
    /// <exception cref="NotSupportedException"><paramref name="deploy"/> is true, and the training form cannot be fused.</exception>
    /// <exception cref="DeviceUnavailableException">TorchSharp or its native libraries are missing, have another version, or need a newer system.</exception>
    public RepVggBlock(
        int inputChannels, int outputChannels, int stride = 1, int groups = 1, SqueezeExcitation squeezeExcitation = SqueezeExcitation.None,
        int dilation = 1, bool deploy = false, double batchNormEpsilon = 1e-5,
        TrainingForm trainingForm = TrainingForm.RepVgg, int convolutionBranches = RepVggArchitecture.DefaultConvolutionBranches)
        : this(
            new BlockSpec("", inputChannels, outputChannels, stride, groups, squeezeExcitation)
            {
                Form = trainingForm,
                Layers = TrainingForms.LayersPerBlock(trainingForm),
                ConvolutionBranches = convolutionBranches,
            },
            stride, dilation, deploy, batchNormEpsilon)
    {
    }

    /// <summary>Creates a block of an architecture, in the form of <paramref name="shape"/>. Its stride can differ from that of <paramref name="shape"/> where a stride was replaced by dilation.</summary>
    internal RepVggBlock(BlockSpec shape, int stride, int dilation, bool deploy, double batchNormEpsilon)
        : base(TorchRuntime.Checked(nameof(RepVggBlock)))
    {
        if (ArchitectureValidation.Problems(shape) is { Count: > 0 } problems)
            throw new ArgumentException($"The block cannot be created: {string.Join("; ", problems)}.");
        if (dilation < 1)
            throw new ArgumentException($"The block cannot be created: its dilation is {dilation}, not at least 1.", nameof(dilation));
        (_shape, _dilation, Stride, _tree) = (shape, dilation, stride, new ModuleTree(this));
        switch (shape.SqueezeExcitation)
        {
            case SqueezeExcitation.BeforeRelu:
                _exciteBefore = new SqueezeExcite(shape, deploy);
                break;
            case SqueezeExcitation.AfterRelu:
                _exciteAfter = new SqueezeExcite(shape, deploy);
                break;
        }
        if (deploy)
        {
            RequireFusable();
            _fused = NewFused();
            RegisterComponents();
            return;
        }
        RegisterComponents();
        _branches = [.. shape.Branches.Select(branch => new BranchModules(shape, branch, stride, dilation, batchNormEpsilon, _tree))];
        // The identity comes first, as in the authors' checkpoints.
        foreach (var branch in _branches.OrderBy(branch => branch.Spec.Kind == BranchKind.Identity ? 0 : 1))
            branch.Register();
        if (TrainingForms.SumNormOf(shape.Form) is { } norm)
            _tree.Add(norm, torch.nn.BatchNorm2d(shape.OutputChannels, batchNormEpsilon));
    }

    /// <summary>Stride of the block.</summary>
    public int Stride { get; }

    /// <summary>Whether the branches have been fused.</summary>
    public bool IsDeployed => _fused is not null;

    /// <inheritdoc/>
    public override Tensor forward(Tensor input)
    {
        using var scope = torch.NewDisposeScope();
        var map = _fused is null ? SumBranches(input) : _fused.call(input);
        if (_exciteBefore is not null)
            map = _exciteBefore.call(map);
        map.relu_();
        if (_exciteAfter is not null)
            map = _exciteAfter.call(map);
        return map.MoveToOuterDisposeScope();
    }

    /// <summary>Replaces the branches by one 3x3 convolution that computes the same output in evaluation mode. The kernel and bias are computed in double precision. Does nothing if the block is already fused.</summary>
    /// <remarks>The parameters of the branches are disposed, so create optimizers after this call. The device and data type do not change. Source: RepVGG, section 3.3.</remarks>
    /// <exception cref="ArgumentException">A running variance plus epsilon is not positive or is NaN. The block is not changed.</exception>
    /// <exception cref="NotSupportedException">The training form cannot be fused: <see cref="TrainingForm.ReluInBranches"/> and <see cref="TrainingForm.ResidualReorg"/>. The block is not changed.</exception>
    public void SwitchToDeploy()
    {
        if (_fused is not null)
            return;
        RequireFusable();
        var tensors = state_dict();
        var sum = Fusion.Sum(_shape, Stride, name => Read(tensors[name]), name => _tree.NormOf(name).eps);

        var fused = NewFused();
        var parameter = parameters().First();
        fused.to(parameter.dtype);
        fused.to(parameter.device);
        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            fused.weight.copy_(HostCopy.ToTensor([_shape.OutputChannels, _shape.InputChannels / _shape.Groups, 3, 3], sum.Kernel.ToArray()));
            fused.bias!.copy_(HostCopy.ToTensor([_shape.OutputChannels], sum.Bias.ToArray()));
        }
        fused.train(training);
        _tree.Clear();
        (_branches, _fused) = ([], fused);
        register_module("rbr_reparam", fused);
        _exciteBefore?.SwitchToDeploy();
        _exciteAfter?.SwitchToDeploy();
    }

    /// <summary>Throws an exception if the training form of the block cannot be fused.</summary>
    /// <exception cref="NotSupportedException">The form cannot be fused; the message states why.</exception>
    internal void RequireFusable()
    {
        if (TrainingForms.FusionObstacleOf(_shape.Form) is { } obstacle)
            throw new NotSupportedException($"A block of the training form {_shape.Form} has no deploy form, so it cannot be fused: {obstacle}.");
    }

    /// <summary>Computes the sum of the branches, and its batch norm if the form has one. No branch is changed in place, because it can share the memory of the input or be needed for gradients.</summary>
    private Tensor SumBranches(Tensor input)
    {
        var sum = _branches[0].Forward(input);
        foreach (var branch in _branches.AsSpan(1))
        {
            using var part = branch.Forward(input);
            using var previous = sum;
            sum = previous.Plus(part);
        }
        return TrainingForms.SumNormOf(_shape.Form) is { } norm ? _tree.NormOf(norm).Apply(sum) : sum;
    }

    private static float[] Read(Tensor tensor)
    {
        var values = new float[tensor.NumberOfElements];
        HostCopy.FromTensor(tensor, values);
        return values;
    }

    private Conv2d NewFused() => torch.nn.Conv2d(_shape.InputChannels, _shape.OutputChannels, 3, Stride, _dilation, _dilation, groups: _shape.Groups, bias: true);
}
