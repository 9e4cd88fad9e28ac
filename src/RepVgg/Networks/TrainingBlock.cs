using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Networks;

/// <summary>The tensors of a network or block by their names.</summary>
internal interface ITrainingTensors
{
    /// <summary>The parameter or buffer with a full name, e.g. <c>stage1.0.rbr_dense.conv.weight</c>.</summary>
    Tensor Tensor(string name);

    /// <summary>The batch norm with a full name, e.g. <c>stage1.0.rbr_dense.bn</c>.</summary>
    BatchNormState Norm(string name);

    /// <summary>Creates a constant tensor that is not part of the weights, and is disposed with the network.</summary>
    Tensor Constant(TensorData values);
}

/// <summary>One block in its training form: the sum of its branches, a batch norm of the sum if the form has one, ReLU, and squeeze-and-excitation before or after the ReLU if the block has it.</summary>
internal sealed class TrainingBlock
{
    private readonly BlockSpec _spec;
    private readonly TrainingBranch[] _branches;
    private readonly BatchNormState? _sumNorm;
    private readonly (Tensor Weight, Tensor Bias) _down, _up;
    private readonly FakeQuantization? _quantization;

    /// <summary>Creates a block.</summary>
    /// <param name="spec">The block.</param>
    /// <param name="tensors">The tensors of the network.</param>
    /// <param name="quantization">The fake quantization of the network; null for none.</param>
    public TrainingBlock(BlockSpec spec, ITrainingTensors tensors, FakeQuantization? quantization = null)
    {
        _quantization = quantization;
        _spec = spec;
        _branches = [.. spec.Branches.Select(branch => new TrainingBranch(spec, branch, tensors))];
        _sumNorm = TrainingForms.SumNormOf(spec.Form) is { } norm ? tensors.Norm($"{spec.Name}.{norm}") : null;
        if (spec.SqueezeExcitation != SqueezeExcitation.None)
        {
            _down = (tensors.Tensor($"{spec.SqueezeLayer}.weight"), tensors.Tensor($"{spec.SqueezeLayer}.bias"));
            _up = (tensors.Tensor($"{spec.ExciteLayer}.weight"), tensors.Tensor($"{spec.ExciteLayer}.bias"));
        }
    }

    /// <summary>The tensors of the main layers of the branches, in the order of <see cref="BlockSpec.Branches"/>.</summary>
    public IReadOnlyList<Branch> Branches => [.. _branches.Select(branch => branch.Main)];

    /// <summary>Computes the sum of the branches and its batch norm, without ReLU and squeeze-and-excitation.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="input">The input map of the block, NCHW.</param>
    public Tensor SumBranches(Backend backend, Tensor input) => Sum(backend, input, _branches, _sumNorm, relu: false);

    /// <summary>Computes the output of the block.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="input">The input map of the block, NCHW.</param>
    /// <param name="dropPath">Function applied to the sum of the other branches if the block has an identity branch (stochastic depth); null for none.</param>
    public Tensor Forward(Backend backend, Tensor input, Func<Tensor, Tensor>? dropPath = null)
    {
        bool relu = _spec.SqueezeExcitation != SqueezeExcitation.BeforeRelu, isQuantized = _quantization?.IsQuantized(_spec.Name) == true, endsInRelu = relu && !isQuantized;
        var output = dropPath is null || !_branches.Any(branch => branch.IsIdentity) ? Sum(backend, input, _branches, _sumNorm, endsInRelu) : DropPath(backend, input, dropPath, endsInRelu);
        if (isQuantized)
        {
            using var error = QuantizationError(backend, input);
            output = Replace(output, backend.Add(output, error));
            if (relu)
                output = Replace(output, backend.Relu(output));
        }
        if (_spec.SqueezeExcitation != SqueezeExcitation.None)
        {
            output = Quantize(output, ActivationRanges.BeforeSqueeze(_spec.Name));
            output = Replace(output, SqueezeAndExcite(backend, output));
            if (!relu)
                output = Replace(output, backend.Relu(output));
        }
        return Quantize(output, ActivationRanges.Output(_spec.Name));

        Tensor Quantize(Tensor map, string range) => _quantization?.Find(range) is { } state ? Replace(map, backend.FakeQuantize(map, state)) : map;
    }

    /// <summary>Computes what the rounding of the equivalent kernel adds to the sum of the branches.</summary>
    internal Tensor QuantizationError(Backend backend, Tensor input)
    {
        var kernel = backend.EquivalentKernel(Branches);
        if (_sumNorm is not null)
            kernel = Replace(kernel, backend.EquivalentKernel([new Branch(kernel, _sumNorm)]));
        using (kernel)
        {
            using var error = backend.QuantizationError(kernel, _quantization!.Layers.LargestWeight);
            return backend.Conv2d(input, error, null, _spec.Geometry.Of(3, 3));
        }
    }

    /// <summary>Computes the sum of some of the branches. Those of a single layer are one operation of the backend.</summary>
    private Tensor Sum(Backend backend, Tensor input, IReadOnlyList<TrainingBranch> branches, BatchNormState? norm, bool relu)
    {
        Branch[] single = [.. branches.Where(branch => branch.IsSingleLayer).Select(branch => branch.Main)];
        if (single.Length == branches.Count)
            return backend.MultiBranchConv(input, single, _spec.Geometry, relu, norm);
        var sum = single.Length == 0 ? null : backend.MultiBranchConv(input, single, _spec.Geometry, relu: false);
        foreach (var branch in branches.Where(branch => !branch.IsSingleLayer))
        {
            var part = branch.Forward(backend, input);
            sum = sum is null ? part : Replace(part, Replace(sum, backend.Add(sum, part)));
        }
        return Finish(backend, sum!, norm, relu);
    }

    private Tensor DropPath(Backend backend, Tensor input, Func<Tensor, Tensor> dropPath, bool relu)
    {
        using var convolutions = Sum(backend, input, [.. _branches.Where(branch => !branch.IsIdentity)], null, relu: false);
        using var dropped = dropPath(convolutions);
        using var identity = Sum(backend, input, [.. _branches.Where(branch => branch.IsIdentity)], null, relu: false);
        return Finish(backend, backend.Add(dropped, identity), _sumNorm, relu);
    }

    private static Tensor Finish(Backend backend, Tensor sum, BatchNormState? norm, bool relu)
    {
        if (norm is not null)
            sum = Replace(sum, backend.BatchNorm(sum, norm));
        return relu ? Replace(sum, backend.Relu(sum)) : sum;
    }

    /// <summary>Disposes the handle of a tensor that is not used again by the block.</summary>
    internal static Tensor Replace(Tensor used, Tensor next)
    {
        used.Dispose();
        return next;
    }

    private Tensor SqueezeAndExcite(Backend backend, Tensor map)
    {
        var squeezed = backend.Relu(backend.Conv2d(backend.GlobalAveragePool(map), _down.Weight, _down.Bias, 1, 0, 1));
        return backend.ScaleChannels(map, backend.Sigmoid(backend.Conv2d(squeezed, _up.Weight, _up.Bias, 1, 0, 1)));
    }
}

/// <summary>One branch of a block: at most two layers.</summary>
internal sealed class TrainingBranch
{
    private readonly BlockSpec _block;
    private readonly BranchSpec _spec;
    private readonly Tensor? _firstKernel;
    private readonly BatchNormState? _firstNorm;

    public TrainingBranch(BlockSpec block, BranchSpec spec, ITrainingTensors tensors)
    {
        (_block, _spec) = (block, spec);
        if (spec.First is { } first)
            (_firstKernel, _firstNorm) = (tensors.Tensor($"{block.Name}.{first.KernelName}.weight"), tensors.Norm($"{block.Name}.{first.NormName}"));
        var kernel = spec.Kind == BranchKind.Delta ? tensors.Constant(DeltaKernel(block))
            : spec.KernelName is { } name ? tensors.Tensor($"{block.Name}.{name}.weight") : null;
        Main = new Branch(kernel, spec.NormName is { } norm ? tensors.Norm($"{block.Name}.{norm}") : null)
        {
            ChannelScale = spec.Scale is { } scale ? tensors.Tensor($"{block.Name}.{scale.Name}") : null,
            NormalizesFilters = spec.NormalizesFilters,
        };
    }

    /// <summary>The tensors of the main layer.</summary>
    public Branch Main { get; }

    /// <summary>Whether the branch is the identity, to which stochastic depth reduces a block. A scaled identity is part of the block's kernel.</summary>
    public bool IsIdentity => _spec is { Kind: BranchKind.Identity, Scale: null };

    public bool IsSingleLayer => _spec.IsSingleLayer;

    /// <summary>Computes the branch by itself.</summary>
    public Tensor Forward(Backend backend, Tensor input)
    {
        int stride = _block.Stride;
        if (_spec.First is not { } first)
            return MainLayer(backend, input, stride, padded: false);
        int firstStride = first.Relu ? stride : 1;
        var map = backend.Conv2d(input, _firstKernel!, null, firstStride, first.Size / 2, _block.Groups);
        if (first.AddsInput)
            map = TrainingBlock.Replace(map, backend.Add(map, input));
        map = TrainingBlock.Replace(map, backend.BatchNorm(map, _firstNorm!));
        bool padded = !first.Relu;
        map = TrainingBlock.Replace(map, padded ? backend.PadWithNorm(map, _firstNorm!) : backend.Relu(map));
        return TrainingBlock.Replace(map, MainLayer(backend, map, stride / firstStride, padded));
    }

    /// <summary>Computes the main layer with its batch norm and ReLU.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="input">The input of the layer, which is not disposed.</param>
    /// <param name="stride">Stride of the layer.</param>
    /// <param name="padded">Whether the input was padded before.</param>
    private Tensor MainLayer(Backend backend, Tensor input, int stride, bool padded)
    {
        if (_spec.Kind != BranchKind.Average && !padded)
            return backend.MultiBranchConv(input, [Main], _block.Geometry with { Stride = stride }, _spec.Relu);
        var output = _spec.Kind == BranchKind.Average
            ? backend.AveragePool3x3(input, stride, padded ? 0 : 1)
            : backend.Conv2d(input, Main.Kernel!, null, stride, 0, _block.Groups);
        if (Main.Norm is { } norm)
            output = TrainingBlock.Replace(output, backend.BatchNorm(output, norm));
        return _spec.Relu ? TrainingBlock.Replace(output, backend.Relu(output)) : output;
    }

    /// <summary>Creates the kernel D, [O, I / groups, 1, 1]; see <see cref="BranchKind.Delta"/>.</summary>
    private static TensorData DeltaKernel(BlockSpec block)
    {
        int inputs = block.InputChannels / block.Groups, outputs = block.OutputChannels / block.Groups;
        var kernel = TensorData.Zeros(block.OutputChannels, inputs, 1, 1);
        for (int o = 0; o < block.OutputChannels; o++)
        {
            if (o % outputs < inputs)
                kernel.Values[o * inputs + o % outputs] = 1;
        }
        return kernel;
    }
}
