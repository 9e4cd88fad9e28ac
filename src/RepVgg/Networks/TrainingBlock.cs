using RepVgg.Architectures;
using RepVgg.Backends;

namespace RepVgg.Networks;

/// <summary>One multi-branch block: the sum of the branches, ReLU, and squeeze-and-excitation before or after the ReLU if the block has it.</summary>
internal sealed class TrainingBlock
{
    private readonly BlockSpec _shape;
    private readonly Tensor _kernel3x3, _kernel1x1;
    private readonly BatchNormState _norm3x3, _norm1x1;
    private readonly BatchNormState? _normIdentity;
    private readonly (Tensor Weight, Tensor Bias) _down, _up;

    public TrainingBlock(BlockSpec shape, TrainingNetwork network)
    {
        _shape = shape;
        _kernel3x3 = network.Tensor($"{shape.Name}.rbr_dense.conv.weight");
        _norm3x3 = network.Norm($"{shape.Name}.rbr_dense.bn");
        _kernel1x1 = network.Tensor($"{shape.Name}.rbr_1x1.conv.weight");
        _norm1x1 = network.Norm($"{shape.Name}.rbr_1x1.bn");
        if (shape.HasIdentity)
            _normIdentity = network.Norm($"{shape.Name}.rbr_identity");
        if (shape.SqueezeExcitationName is { } name)
        {
            _down = (network.Tensor($"{name}.down.weight"), network.Tensor($"{name}.down.bias"));
            _up = (network.Tensor($"{name}.up.weight"), network.Tensor($"{name}.up.bias"));
        }
    }

    /// <summary>The parameters of the branches.</summary>
    public BlockBranches Branches => new(_kernel3x3, _norm3x3, _kernel1x1, _norm1x1, _normIdentity);

    /// <summary>Computes the sum of the branches, without ReLU and squeeze-and-excitation.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="input">The input map of the block, NCHW.</param>
    public Tensor SumBranches(Backend backend, Tensor input) =>
        backend.MultiBranchConv(input, _kernel3x3, _norm3x3, _kernel1x1, _norm1x1, _normIdentity, _shape.Stride, _shape.Groups, relu: false);

    /// <summary>Computes the output of the block.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="input">The input map of the block, NCHW.</param>
    /// <param name="dropPath">Function applied to the sum of the convolution branches if the block has an identity branch (stochastic depth); null for none.</param>
    public Tensor Forward(Backend backend, Tensor input, Func<Tensor, Tensor>? dropPath = null)
    {
        bool relu = _shape.SqueezeExcitation != SqueezeExcitation.BeforeRelu;
        var output = dropPath is null || _normIdentity is null
            ? backend.MultiBranchConv(input, _kernel3x3, _norm3x3, _kernel1x1, _norm1x1, _normIdentity, _shape.Stride, _shape.Groups, relu)
            : SkipAtRandom(backend, input, _normIdentity, dropPath, relu);
        if (_shape.SqueezeExcitation == SqueezeExcitation.None)
            return output;
        var excited = SqueezeAndExcite(backend, output);
        output.Dispose();
        if (relu)
            return excited;
        var rectified = backend.Relu(excited);
        excited.Dispose();
        return rectified;
    }

    private Tensor SkipAtRandom(Backend backend, Tensor input, BatchNormState normIdentity, Func<Tensor, Tensor> dropPath, bool relu)
    {
        using var convolutions = backend.MultiBranchConv(input, _kernel3x3, _norm3x3, _kernel1x1, _norm1x1, null, _shape.Stride, _shape.Groups, relu: false);
        using var dropped = dropPath(convolutions);
        using var identity = backend.BatchNorm(input, normIdentity);
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
