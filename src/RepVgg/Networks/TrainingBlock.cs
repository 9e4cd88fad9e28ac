using RepVgg.Architectures;
using RepVgg.Backends;

namespace RepVgg.Networks;

/// <summary>One multi-branch block: the sum of the branches, ReLU, and squeeze-and-excitation before or after the ReLU if the block has it.</summary>
internal sealed class TrainingBlock
{
    private readonly BlockSpec _spec;
    private readonly Branch[] _convolutions, _identities;
    private readonly (Tensor Weight, Tensor Bias) _down, _up;

    public TrainingBlock(BlockSpec spec, TrainingNetwork network)
    {
        _spec = spec;
        Branches = [.. spec.Branches.Select(branch => network.Branch(spec, branch))];
        _convolutions = [.. Branches.Where(branch => branch.Kernel is not null)];
        _identities = [.. Branches.Where(branch => branch.Kernel is null)];
        if (spec.SqueezeExcitationName is { } name)
        {
            _down = (network.Tensor($"{name}.down.weight"), network.Tensor($"{name}.down.bias"));
            _up = (network.Tensor($"{name}.up.weight"), network.Tensor($"{name}.up.bias"));
        }
    }

    /// <summary>The tensors of the branches, in the order of <see cref="BlockSpec.Branches"/>.</summary>
    public IReadOnlyList<Branch> Branches { get; }

    /// <summary>Computes the sum of the branches, without ReLU and squeeze-and-excitation.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="input">The input map of the block, NCHW.</param>
    public Tensor SumBranches(Backend backend, Tensor input) => Sum(backend, input, Branches, relu: false);

    /// <summary>Computes the output of the block.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="input">The input map of the block, NCHW.</param>
    /// <param name="dropPath">Function applied to the sum of the convolution branches if the block has an identity branch (stochastic depth); null for none.</param>
    public Tensor Forward(Backend backend, Tensor input, Func<Tensor, Tensor>? dropPath = null)
    {
        bool relu = _spec.SqueezeExcitation != SqueezeExcitation.BeforeRelu;
        var output = dropPath is null || _identities.Length == 0 ? Sum(backend, input, Branches, relu) : DropPath(backend, input, dropPath, relu);
        if (_spec.SqueezeExcitation == SqueezeExcitation.None)
            return output;
        var excited = SqueezeAndExcite(backend, output);
        output.Dispose();
        if (relu)
            return excited;
        var rectified = backend.Relu(excited);
        excited.Dispose();
        return rectified;
    }

    private Tensor Sum(Backend backend, Tensor input, IReadOnlyList<Branch> branches, bool relu) =>
        backend.MultiBranchConv(input, branches, _spec.Stride, _spec.Groups, relu);

    private Tensor DropPath(Backend backend, Tensor input, Func<Tensor, Tensor> dropPath, bool relu)
    {
        using var convolutions = Sum(backend, input, _convolutions, relu: false);
        using var dropped = dropPath(convolutions);
        using var identity = Sum(backend, input, _identities, relu: false);
        var sum = backend.Add(dropped, identity);
        if (!relu)
            return sum;
        using (sum)
            return backend.Relu(sum);
    }

    private Tensor SqueezeAndExcite(Backend backend, Tensor map)
    {
        var squeezed = backend.Relu(backend.Conv2d(backend.GlobalAveragePool(map), _down.Weight, _down.Bias, 1, 0, 1));
        return backend.ScaleChannels(map, backend.Sigmoid(backend.Conv2d(squeezed, _up.Weight, _up.Bias, 1, 0, 1)));
    }
}
