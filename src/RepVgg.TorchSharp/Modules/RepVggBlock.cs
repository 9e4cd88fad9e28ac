using RepVgg.Architectures;
using RepVgg.Reparameterization;
using RepVgg.Weights;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>A RepVGG block as a TorchSharp module. It has up to three branches in training; <see cref="SwitchToDeploy"/> replaces them by one 3x3 convolution.</summary>
/// <remarks>
/// Computes relu(BN(conv3x3(x)) + BN(conv1x1(x)) [+ BN(x)]), optionally with squeeze-and-excitation. Feature maps are NCHW. Parameters
/// have the names of the RepVGG authors' code: <c>rbr_dense.conv.weight</c>, <c>rbr_1x1.bn.bias</c>, <c>rbr_identity.running_mean</c>,
/// <c>rbr_reparam.weight</c>, <c>se.down.weight</c>. Source: RepVGG, section 3.2, figure 2.
/// </remarks>
public sealed class RepVggBlock : torch.nn.Module<Tensor, Tensor>
{
    private readonly BlockSpec _shape;
    private readonly int _dilation;

    [ComponentName(Name = "se")]
    private readonly SqueezeExcite? _exciteBefore;

    [ComponentName(Name = "post_se")]
    private readonly SqueezeExcite? _exciteAfter;

    [ComponentName(Name = "rbr_identity")]
    private BatchNorm2d? _identity;

    [ComponentName(Name = "rbr_dense")]
    private ConvNorm? _large;

    [ComponentName(Name = "rbr_1x1")]
    private ConvNorm? _small;

    [ComponentName(Name = "rbr_reparam")]
    private Conv2d? _fused;

    /// <summary>Creates a block with random weights.</summary>
    /// <param name="inputChannels">Number of input channels.</param>
    /// <param name="outputChannels">Number of output channels.</param>
    /// <param name="stride">Stride, 1 or 2. The block has an identity branch if the stride is 1 and the numbers of input and output channels are equal.</param>
    /// <param name="groups">Number of groups of the convolutions.</param>
    /// <param name="squeezeExcitation">Position of squeeze-and-excitation, or None.</param>
    /// <param name="dilation">Dilation of the 3x3 convolution, at least 1.</param>
    /// <param name="deploy">True to create the fused form, for weights that are already fused.</param>
    /// <param name="batchNormEpsilon">Value that the batch norms add to the variance.</param>
    /// <exception cref="ArgumentException">A number is out of range, or the groups do not divide the channels.</exception>
    public RepVggBlock(
        int inputChannels, int outputChannels, int stride = 1, int groups = 1, SqueezeExcitation squeezeExcitation = SqueezeExcitation.None,
        int dilation = 1, bool deploy = false, double batchNormEpsilon = 1e-5)
        : this(new BlockSpec("", inputChannels, outputChannels, stride, groups, squeezeExcitation), stride, dilation, deploy, batchNormEpsilon)
    {
    }

    /// <summary>Creates a block of an architecture. Its stride can differ from that of <paramref name="shape"/> where a stride was replaced by dilation.</summary>
    internal RepVggBlock(BlockSpec shape, int stride, int dilation, bool deploy, double batchNormEpsilon)
        : base(nameof(RepVggBlock))
    {
        if (shape.InputChannels < 1 || shape.OutputChannels < 1 || shape.Stride < 1 || dilation < 1 || shape.Groups < 1)
            throw new ArgumentException($"A block of {shape.InputChannels} to {shape.OutputChannels} channels, stride {shape.Stride}, dilation {dilation} and {shape.Groups} groups cannot be created: all must be 1 or more.");
        if (shape.InputChannels % shape.Groups != 0 || shape.OutputChannels % shape.Groups != 0)
            throw new ArgumentException($"{shape.Groups} groups do not divide {shape.InputChannels} and {shape.OutputChannels} channels.");
        (_shape, _dilation, Stride) = (shape, dilation, stride);
        if (shape.SqueezeExcitation != SqueezeExcitation.None && shape.SqueezeWidth < 1)
            throw new ArgumentException($"{shape.OutputChannels} channels are too few for squeeze-and-excitation.");
        switch (shape.SqueezeExcitation)
        {
            case SqueezeExcitation.BeforeRelu:
                _exciteBefore = new SqueezeExcite(shape.OutputChannels, shape.SqueezeWidth);
                break;
            case SqueezeExcitation.AfterRelu:
                _exciteAfter = new SqueezeExcite(shape.OutputChannels, shape.SqueezeWidth);
                break;
        }
        if (deploy)
        {
            _fused = NewFused();
        }
        else
        {
            if (shape.HasIdentity)
                _identity = torch.nn.BatchNorm2d(shape.OutputChannels, batchNormEpsilon);
            _large = new ConvNorm(shape.InputChannels, shape.OutputChannels, 3, stride, dilation, dilation, shape.Groups, batchNormEpsilon);
            _small = new ConvNorm(shape.InputChannels, shape.OutputChannels, 1, stride, 0, 1, shape.Groups, batchNormEpsilon);
        }
        RegisterComponents();
    }

    /// <summary>Stride of the block.</summary>
    public int Stride { get; }

    /// <summary>Whether the branches have been fused.</summary>
    public bool IsDeployed => _fused is not null;

    /// <inheritdoc/>
    public override Tensor forward(Tensor input)
    {
        using var scope = torch.NewDisposeScope();
        Tensor map;
        if (_fused is not null)
        {
            map = _fused.call(input);
        }
        else
        {
            map = _large!.call(input);
            map.add_(_small!.call(input));
            if (_identity is not null)
                map.add_(_identity.call(input));
        }
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
    public void SwitchToDeploy()
    {
        if (_fused is not null)
            return;
        var sum = Branch(_large!, 3).Plus(Branch(_small!, 1));
        if (_identity is not null)
            sum = sum.Plus(LinearBranch.Identity(_shape.InputChannels).Then(ConvNorm.Values(_identity)));

        var fused = NewFused();
        fused.to(_large!.Kernel.dtype);
        fused.to(_large.Kernel.device);
        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            fused.weight.copy_(HostCopy.ToTensor([_shape.OutputChannels, _shape.InputChannels / _shape.Groups, 3, 3], sum.Kernel.ToArray()));
            fused.bias!.copy_(HostCopy.ToTensor([_shape.OutputChannels], sum.Bias.ToArray()));
        }
        fused.train(training);
        foreach (string branch in (string[])["rbr_identity", "rbr_dense", "rbr_1x1"])
            register_module(branch, null!);
        _identity?.Dispose();
        _large.Dispose();
        _small!.Dispose();
        (_identity, _large, _small, _fused) = (null, null, null, fused);
        register_module("rbr_reparam", fused);
    }

    private LinearBranch Branch(ConvNorm branch, int size)
    {
        var (kernel, norm) = branch.Values();
        return LinearBranch.Convolution(new TensorData(kernel), _shape.InputChannels, _shape.OutputChannels, size, size, Stride, _shape.Groups).Then(norm);
    }

    private Conv2d NewFused() => torch.nn.Conv2d(_shape.InputChannels, _shape.OutputChannels, 3, Stride, _dilation, _dilation, groups: _shape.Groups, bias: true);
}
