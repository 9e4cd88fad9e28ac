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
/// Computes relu(BN(conv3x3(x)) + BN(conv1x1(x)) [+ BN(x)]), or the sum of the branches of another form, optionally with squeeze-and-excitation. Feature maps are NCHW. Parameters
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

    [ComponentName(Name = "rbr_reparam")]
    private Conv2d? _fused;

    // The branches, and the modules that contain their convolutions and batch norms, e.g. rbr_dense with conv and bn.
    private BranchModules[] _branches = [];
    private readonly Dictionary<string, torch.nn.Module> _containers = [];

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
    /// <exception cref="DeviceUnavailableException">TorchSharp or its native libraries are missing, have another version, or need a newer system.</exception>
    public RepVggBlock(
        int inputChannels, int outputChannels, int stride = 1, int groups = 1, SqueezeExcitation squeezeExcitation = SqueezeExcitation.None,
        int dilation = 1, bool deploy = false, double batchNormEpsilon = 1e-5)
        : this(new BlockSpec("", inputChannels, outputChannels, stride, groups, squeezeExcitation), stride, dilation, deploy, batchNormEpsilon)
    {
    }

    /// <summary>Creates a block of an architecture, in the form of <paramref name="shape"/>. Its stride can differ from that of <paramref name="shape"/> where a stride was replaced by dilation.</summary>
    internal RepVggBlock(BlockSpec shape, int stride, int dilation, bool deploy, double batchNormEpsilon)
        : base(TorchRuntime.Checked(nameof(RepVggBlock)))
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
            _branches = [.. shape.Branches.Select(branch => new BranchModules(shape, branch, stride, dilation, batchNormEpsilon))];
        }
        RegisterComponents();
        // The identity comes first, as in the authors' checkpoints.
        foreach (var (name, module) in _branches.OrderBy(branch => branch.Convolution is null ? 0 : 1).SelectMany(branch => branch.NamedModules))
            Register(name, module);
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
            map = _branches[0].Forward(input);
            // The sum and the ReLU are computed in place, which must not change the input.
            if (ReferenceEquals(map, input))
                map = input.clone();
            foreach (var branch in _branches.AsSpan(1))
                map.add_(branch.Forward(input));
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
        var tensors = state_dict();
        var sum = Fusion.Sum(_shape, Stride, name => Read(tensors[name]), name => _branches.First(branch => branch.Spec.NormName == name).Norm!.eps);

        var fused = NewFused();
        var kernel = _branches.First(branch => branch.Convolution is not null).Convolution!.weight;
        fused.to(kernel.dtype);
        fused.to(kernel.device);
        using (torch.no_grad())
        using (torch.NewDisposeScope())
        {
            fused.weight.copy_(HostCopy.ToTensor([_shape.OutputChannels, _shape.InputChannels / _shape.Groups, 3, 3], sum.Kernel.ToArray()));
            fused.bias!.copy_(HostCopy.ToTensor([_shape.OutputChannels], sum.Bias.ToArray()));
        }
        fused.train(training);
        foreach (var (name, module) in _containers)
        {
            register_module(name, null!);
            module.Dispose();
        }
        _containers.Clear();
        (_branches, _fused) = ([], fused);
        register_module("rbr_reparam", fused);
    }

    /// <summary>Registers a module under a name that may have two parts, e.g. <c>rbr_dense.conv</c>.</summary>
    private void Register(string name, torch.nn.Module module)
    {
        int dot = name.IndexOf('.');
        string first = dot < 0 ? name : name[..dot];
        if (!_containers.TryGetValue(first, out var container))
        {
            container = dot < 0 ? module : new Container();
            _containers[first] = container;
            register_module(first, container);
        }
        if (dot >= 0)
            container.register_module(name[(dot + 1)..], module);
    }

    private static float[] Read(Tensor tensor)
    {
        var values = new float[tensor.NumberOfElements];
        HostCopy.FromTensor(tensor, values);
        return values;
    }

    private Conv2d NewFused() => torch.nn.Conv2d(_shape.InputChannels, _shape.OutputChannels, 3, Stride, _dilation, _dilation, groups: _shape.Groups, bias: true);

    /// <summary>A module that only contains other modules.</summary>
    private sealed class Container() : torch.nn.Module(nameof(Container));
}
