using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Optimizers;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Networks;

/// <summary>The training form of a network with a RepVGG as its backbone: multi-branch blocks with batch norms, and heads for classification or for segmentation, on any backend.</summary>
/// <remarks>Source: RepVGG, section 3.2, figure 2(b); auxiliary heads and squeeze-and-excitation as in the authors' RepVGGplus; other forms of blocks: see <see cref="TrainingForm"/>.</remarks>
internal sealed class TrainingNetwork : IDisposable, ITrainingTensors
{
    private readonly Backend _backend;
    private readonly Dictionary<string, Tensor> _tensors = new(StringComparer.Ordinal);
    private readonly List<(string Name, Tensor Tensor)> _parameters = [];
    private readonly List<(string Name, Tensor Tensor)> _buffers = [];
    private readonly List<Tensor> _constants = [];
    private readonly Dictionary<string, BatchNormState> _norms = new(StringComparer.Ordinal);
    private readonly IReadOnlyList<StateEntry> _layout;
    private readonly FakeQuantization? _quantization;
    private readonly NetworkHeads _heads;
    private readonly TrainingBlock[] _blocks;
    private readonly TrainingHead _main;
    private readonly TrainingHead?[] _auxiliary;
    private readonly ulong _seed;

    /// <summary>The batch norms of heads that pretrained weights do not have. They have no statistics that could be kept.</summary>
    private readonly HashSet<string> _freshNorms = new(StringComparer.Ordinal);

    /// <summary>Whether the weights are still those that the constructor drew.</summary>
    private bool _isFresh = true;

    /// <summary>Creates a network for classification with random initial weights, with the default distributions of PyTorch.</summary>
    /// <param name="architecture">The architecture of the network.</param>
    /// <param name="classes">Number of classes, at least 1.</param>
    /// <param name="backend">The backend of the tensors. It is not disposed with the network.</param>
    /// <param name="seed">Seed of the initial weights; the same seed gives the same weights on every backend.</param>
    /// <param name="frozenStages">Number of stages, starting with the stem, that are not trained: their weights and running statistics do not change. If it is the number of all stages, only the classifier is trained.</param>
    /// <param name="freezeBatchNorm">Whether all batch norms use their running statistics in training and do not update them; their weights and biases are still trained.</param>
    /// <param name="scales">The constant scales of the branches of <see cref="TrainingForm.Csla"/>, or the initial ones of <see cref="TrainingForm.HyperSearch"/>; null for those of <see cref="RepOptimizerScales.Initial"/>.</param>
    /// <param name="quantized">The layers that are trained as they will be quantized (quantization-aware training); null for training in floating point.</param>
    /// <exception cref="ArgumentException">The architecture is invalid, the number of classes is less than 1, <paramref name="frozenStages"/> is out of range, the scales do not fit, or the training form does not permit quantization-aware training.</exception>
    public TrainingNetwork(
        RepVggArchitecture architecture, int classes, Backend backend, ulong seed, int frozenStages = 0, bool freezeBatchNorm = false, RepOptimizerScales? scales = null, QuantizedLayers? quantized = null)
        : this(HeadsOf(architecture, classes), backend, seed, frozenStages, freezeBatchNorm, scales, quantized)
    {
    }

    /// <summary>Creates a network for semantic segmentation with random initial weights, with the default distributions of PyTorch.</summary>
    /// <param name="architecture">The architecture of the network.</param>
    /// <param name="backend">The backend of the tensors. It is not disposed with the network.</param>
    /// <param name="seed">Seed of the initial weights; the same seed gives the same weights on every backend.</param>
    /// <param name="frozenStages">Number of stages of the backbone, starting with the stem, that are not trained.</param>
    /// <param name="freezeBatchNorm">Whether all batch norms use their running statistics in training and do not update them.</param>
    /// <exception cref="ArgumentException">The architecture is invalid, or <paramref name="frozenStages"/> is out of range.</exception>
    public TrainingNetwork(PspNetArchitecture architecture, Backend backend, ulong seed, int frozenStages = 0, bool freezeBatchNorm = false)
        : this(HeadsOf(architecture), backend, seed, frozenStages, freezeBatchNorm, null, null)
    {
    }

    private TrainingNetwork(NetworkHeads heads, Backend backend, ulong seed, int frozenStages, bool freezeBatchNorm, RepOptimizerScales? scales, QuantizedLayers? quantized)
    {
        ArgumentNullException.ThrowIfNull(backend);
        var architecture = heads.Backbone;
        if (frozenStages < 0 || frozenStages > architecture.Stages.Length)
            throw new ArgumentException($"{frozenStages} stages cannot be frozen: {architecture.Name} has {architecture.Stages.Length}, the stem included.", nameof(frozenStages));
        if (scales is not null)
            CheckScales(architecture, scales);
        if (quantized is not null)
        {
            quantized.Check(architecture);
            QuantizedLayers.CheckForm(architecture.TrainingForm);
            if (architecture.Blocks.FirstOrDefault(block => !block.Geometry.IsCentred) is { } shifted)
                throw new ArgumentException($"Quantization-aware training rounds the equivalent kernel of each block, which is defined for kernels that are centred on the same pixel; {shifted.Name} is padded on one side, as TensorFlow pads inputs of even size. Quantize the network after training.");
        }
        FrozenStages = frozenStages;
        FreezesBatchNorm = freezeBatchNorm;
        _heads = heads;
        ScalesHash = scales?.Hash;
        _backend = backend;
        _seed = seed;
        string[] ranges = [.. quantized?.Ranges(architecture) ?? []];
        _layout = [.. heads.Layout, .. ranges.Select(ActivationRanges.Entry)];

        foreach (var entry in _layout)
        {
            var initial = scales is not null && entry.Kind is StateKind.Scale or StateKind.ConstantScale ? scales[entry.Name] : Initialization.Draw(entry, seed);
            // A frozen weight is created as a buffer, so that backends compute no gradient for it.
            bool trained = entry.IsParameter && !IsFrozen(entry.Name);
            var tensor = trained ? backend.CreateParameter(initial) : backend.CreateBuffer(initial);
            _tensors[entry.Name] = tensor;
            (trained ? _parameters : _buffers).Add((entry.Name, tensor));
        }
        _quantization = quantized is null ? null : new FakeQuantization(quantized, ranges.ToDictionary(name => name, name => new RangeState(_tensors[name])));
        _blocks = [.. architecture.Blocks.Select(block => new TrainingBlock(block, this, _quantization))];
        _main = heads.CreateMain(this, _quantization);
        // The auxiliary head of a frozen stage is not created, because its loss has no gradient for trained parameters.
        _auxiliary = [.. architecture.Stages.Select((_, i) => i >= frozenStages ? heads.CreateAuxiliary(i, this) : null)];
    }

    /// <summary>The architecture of the network; for segmentation, that of its backbone.</summary>
    public RepVggArchitecture Architecture => _heads.Backbone;

    /// <summary>The architecture of a network for segmentation; null for a network for classification.</summary>
    public PspNetArchitecture? Segmentation => (_heads as PspNetHeads)?.Architecture;

    /// <summary>Number of classes.</summary>
    public int Classes => _heads.Classes;

    /// <summary>Number of stages, starting with the stem, that are not trained.</summary>
    public int FrozenStages { get; }

    /// <summary>Whether all batch norms use fixed running statistics in training.</summary>
    public bool FreezesBatchNorm { get; }

    /// <summary>Whether training steps leave all statistics as they are: batch norms use their running statistics, and the ranges of quantized activations are fixed. For the last epochs of a run.</summary>
    public bool FreezesStatistics
    {
        get;
        set
        {
            field = value;
            foreach (var (name, norm) in _norms)
                norm.Frozen = IsNormFrozen(name);
            _quantization?.FreezesRanges = value;
        }
    }

    /// <summary>The layers that are trained as they will be quantized; null for training in floating point.</summary>
    public QuantizedLayers? Quantized => _quantization?.Layers;

    /// <summary>Whether a range of a quantized activation was measured or imported.</summary>
    public bool HasRanges
    {
        get
        {
            Span<float> bounds = stackalloc float[2];
            foreach (var entry in _layout.Where(entry => entry.Kind == StateKind.ActivationRange))
            {
                _backend.CopyOut(_tensors[entry.Name], bounds);
                if (bounds.ContainsAnyExcept(0f))
                    return true;
            }
            return false;
        }
    }

    /// <summary>The trained tensors under the authors' names, in the order of the authors' checkpoints, without those of frozen stages.</summary>
    public IReadOnlyList<(string Name, Tensor Tensor)> Parameters => _parameters;

    /// <summary>The running statistics and the weights of frozen stages under the authors' names, and the ranges of quantized activations.</summary>
    public IReadOnlyList<(string Name, Tensor Tensor)> Buffers => _buffers;

    /// <summary>
    /// Groups the trained parameters by weight decay and learning rate, for <see cref="Backend.CreateOptimizer"/>. As in the
    /// RepVGG authors' training code, weight decay applies to kernels, linear weights and the weights of identity batch norms.
    /// </summary>
    /// <param name="weightDecay">Weight decay of the parameters to which it applies; 0 for all others.</param>
    /// <param name="headLearningRateScale">Factor of the learning rate of the layers that compute logits; for segmentation, of all layers of the heads.</param>
    /// <param name="decayBranchKernels">False to exclude the kernels of the blocks from weight decay, for a loss with <see cref="CustomL2"/>.</param>
    /// <param name="multipliers">Gradient multipliers by the names of the parameters that have them; null for none.</param>
    /// <param name="layerDecay">Factor of the learning rate from each block to the one before it; the last block has it once. It does not apply to the classifier and the auxiliary heads.</param>
    /// <returns>The groups; together they contain every parameter once.</returns>
    public IReadOnlyList<ParameterGroup> ParameterGroups(
        float weightDecay, float headLearningRateScale = 1, bool decayBranchKernels = true, IReadOnlyDictionary<string, TensorData>? multipliers = null, float layerDecay = 1)
    {
        string[] blocks = [.. Architecture.Blocks.Select(block => $"{block.Name}.")];
        var entries = _layout.ToDictionary(entry => entry.Name);
        return
        [
            .. _parameters
                .GroupBy(parameter => (
                    Decay: entries[parameter.Name] is { HasWeightDecay: true } entry && (decayBranchKernels || !entry.IsBranchKernel) ? weightDecay : 0,
                    Scale: _heads.HasHeadLearningRate(parameter.Name) ? headLearningRateScale : LayerScale(parameter.Name),
                    IsMultiplied: multipliers?.ContainsKey(parameter.Name) == true))
                .Select(group => new ParameterGroup([.. group], group.Key.Decay, group.Key.Scale)
                {
                    GradientMultipliers = group.Key.IsMultiplied ? [.. group.Select(parameter => multipliers![parameter.Name])] : null,
                }),
        ];

        float LayerScale(string parameter)
        {
            int block = layerDecay == 1 ? -1 : Array.FindIndex(blocks, name => parameter.StartsWith(name, StringComparison.Ordinal));
            return block < 0 ? 1 : (float)Math.Pow(layerDecay, blocks.Length - block);
        }
    }

    /// <summary>Computes the logits of the main head. Must be called within a step of the backend. Auxiliary heads are not computed.</summary>
    /// <param name="images">[N, C, H, W], already normalised.</param>
    /// <returns>[N, classes]; for segmentation, [N, classes, H, W].</returns>
    public Tensor Forward(Tensor images) => Run(images, null, null);

    /// <summary>Computes the logits of the main head and of every auxiliary head, for the training loss. Must be called within a step of the backend.</summary>
    /// <param name="images">[N, C, H, W], already normalised.</param>
    /// <returns>The logits as of <see cref="Forward"/>, and those of the auxiliary heads in the order of the stages, without the heads of frozen stages.</returns>
    public (Tensor Logits, IReadOnlyList<Tensor> Auxiliary) ForwardWithAuxiliary(Tensor images) => ForwardWithAuxiliary(images, null);

    /// <summary>Computes the logits of the main head and of every auxiliary head, with dropout and stochastic depth.</summary>
    internal (Tensor Logits, IReadOnlyList<Tensor> Auxiliary) ForwardWithAuxiliary(Tensor images, RandomDrops? drops)
    {
        var auxiliary = new List<Tensor>();
        return (Run(images, auxiliary, drops), auxiliary);
    }

    /// <summary>
    /// Computes the equivalent 3x3 kernel and bias of a block from the current parameters of its branches. Must be called
    /// within a step of the backend. The result is differentiable with respect to these parameters.
    /// </summary>
    /// <remarks>Source: RepVGG, section 3.3. Batch norms use their running statistics, as in the fused network.</remarks>
    /// <param name="block">The block's name, e.g. <c>stage1.0</c>.</param>
    /// <returns>[O, I / groups, 3, 3] and [O].</returns>
    /// <exception cref="ArgumentException">There is no block of that name.</exception>
    /// <exception cref="NotSupportedException">The training form has branches of several layers, or a batch norm after the sum.</exception>
    public (Tensor Kernel, Tensor Bias) EquivalentConvolution(string block)
    {
        int index = Architecture.Blocks.Select(shape => shape.Name).ToList().IndexOf(block);
        if (index < 0)
            throw new ArgumentException($"{Architecture.Name} has no block named '{block}'.", nameof(block));
        if (!Architecture.Blocks.ElementAt(index).Geometry.IsCentred)
            throw new NotSupportedException($"The equivalent convolution of {block} is defined for kernels that are centred on the same pixel, but the block is padded on one side.");
        if (Architecture.Blocks.ElementAt(index).Branches.Any(branch => !branch.IsSingleLayer) || TrainingForms.SumNormOf(Architecture.TrainingForm) is not null)
            throw new NotSupportedException($"The equivalent convolution of {block} is not differentiable: it is defined for forms whose blocks only sum branches of one layer, not for {Architecture.TrainingForm}.");
        var branches = _blocks[index].Branches;
        return (_backend.EquivalentKernel(branches), _backend.EquivalentBias(branches));
    }

    /// <summary>
    /// Computes the RepVGG authors' custom L2 penalty of the trained blocks: the sum of
    /// <see cref="Backend.BranchPenalty"/>. Must be called within a step of the backend.
    /// </summary>
    /// <returns>A scalar; null if all blocks are frozen.</returns>
    public Tensor? CustomL2()
    {
        int frozen = Architecture.Stages.Take(FrozenStages).Sum(Architecture.BlocksOf);
        return _blocks.Length == frozen ? null : _blocks.Skip(frozen).Select(block => _backend.BranchPenalty(block.Branches)).Aggregate(_backend.Add);
    }

    /// <summary>Copies all tensors of the network, under the authors' names.</summary>
    /// <returns>The weights.</returns>
    public StateDict ExportState()
    {
        var state = new StateDict();
        foreach (var entry in _layout)
        {
            var tensor = TensorData.Zeros(entry.Shape);
            _backend.CopyOut(_tensors[entry.Name], tensor.Values);
            state[entry.Name] = tensor;
        }
        return state;
    }

    /// <summary>Overwrites all tensors of the network.</summary>
    /// <param name="state">Weights of this architecture's training form, with the ranges of quantized activations if the network has them; PyTorch's batch counters are ignored.</param>
    /// <exception cref="ArgumentException">Tensors are missing or surplus, or have a wrong shape. The message names the first ones, and no tensor is changed.</exception>
    public void ImportState(StateDict state)
    {
        _heads.Check(state);
        StateLayout.Check(state, _layout, $"the quantized activations of {Architecture.Name}", _ => true);
        foreach (var entry in _layout)
            _backend.CopyIn(_tensors[entry.Name], state[entry.Name].Values);
        _isFresh = false;
    }

    /// <summary>
    /// Prepares the weights for an optimizer, before the first step. If they are still the random ones of the constructor, and the optimizer is
    /// RepOptimizer, the kernels become the sums of the branches of the network of the form <see cref="TrainingForm.Csla"/> with the same seed. Otherwise no weight is changed.
    /// </summary>
    /// <param name="optimizer">The optimizer; see <see cref="RepOptimizerOptions.For"/>.</param>
    public void PrepareFor(OptimizerOptions optimizer)
    {
        if (_isFresh && optimizer is RepOptimizerOptions repOptimizer)
        {
            var branches = StateLayout.Training(Architecture with { TrainingForm = TrainingForm.Csla }, Classes).ToDictionary(entry => entry.Name);
            foreach (var (name, kernel) in repOptimizer.InitialKernels(Architecture, name => Initialization.Draw(branches[name], _seed)))
                _backend.CopyIn(_tensors[name], kernel.Values);
        }
        _isFresh = false;
    }

    /// <summary>Overwrites the tensors with those of a network that may have another number of classes, or no classifier. A network for segmentation also takes over the backbone of a classifier.</summary>
    /// <param name="state">Weights of this architecture's training form; PyTorch's batch counters are ignored. Ranges of quantized activations are not taken over.</param>
    /// <returns>
    /// Names of the tensors that keep their initial values because they compute logits and the numbers of classes differ; without a classifier in
    /// <paramref name="state"/>, also those of the auxiliary heads; and all heads for segmentation if those of <paramref name="state"/> do not fit. Empty if all tensors were copied.
    /// </returns>
    /// <exception cref="ArgumentException">Tensors are missing or surplus, or have a wrong shape. The message names the first ones, and no tensor is changed.</exception>
    public IReadOnlyList<string> ImportPretrained(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        var isFresh = _heads.CheckPretrained(state);
        CheckFilters(state);
        var fresh = new List<string>();
        foreach (var entry in _layout.Where(entry => entry.Kind != StateKind.ActivationRange))
        {
            if (isFresh(entry.Name))
                fresh.Add(entry.Name);
            else
                _backend.CopyIn(_tensors[entry.Name], state[entry.Name].Values);
        }
        PretrainedHash = state.Hash();
        _isFresh = false;
        _freshNorms.Clear();
        _freshNorms.UnionWith(fresh.Where(name => name.EndsWith(".running_mean", StringComparison.Ordinal)).Select(name => name[..name.LastIndexOf('.')]));
        foreach (var (name, norm) in _norms)
            norm.Frozen = IsNormFrozen(name);
        return fresh;
    }

    /// <summary>Checks that no filter that is divided by its norm is zero: its gradient would be about 10^12 times too large.</summary>
    private void CheckFilters(StateDict state)
    {
        foreach (var block in Architecture.Blocks)
        {
            foreach (var branch in block.Branches.Where(branch => branch.NormalizesFilters))
            {
                string name = $"{block.Name}.{branch.KernelName}.weight";
                float[] kernel = state[name].Values;
                int length = kernel.Length / block.OutputChannels;
                for (int filter = 0; filter < block.OutputChannels; filter++)
                {
                    if (!kernel.AsSpan(filter * length, length).ContainsAnyExcept(0f))
                        throw new ArgumentException($"'{name}': filter {filter} is zero, so it has no direction. The training form {Architecture.TrainingForm} divides every filter by its norm; give the filter small random values.", nameof(state));
                }
            }
        }
    }

    /// <summary>Hash of the imported pretrained weights; null if none were imported.</summary>
    internal string? PretrainedHash { get; private set; }

    /// <summary>Hash of the scales that were given; null if none were.</summary>
    internal string? ScalesHash { get; }

    /// <summary>Releases all parameters and buffers; the backend is not disposed.</summary>
    public void Dispose()
    {
        foreach (var tensor in _tensors.Values.Concat(_constants))
            tensor.Dispose();
    }

    private Tensor Run(Tensor images, List<Tensor>? auxiliary, RandomDrops? drops)
    {
        ArgumentNullException.ThrowIfNull(images);
        if (images.Shape.Count != 4 || images.Shape[1] != Architecture.InputChannels)
            throw new ArgumentException($"{Architecture.Name} reads [N, {Architecture.InputChannels}, H, W], not [{string.Join(", ", images.Shape)}].", nameof(images));
        _heads.ValidateImageSize(images.Shape[2], images.Shape[3]);

        var map = Quantize(images, ActivationRanges.Input);
        int block = 0;
        for (int stage = 0; stage < _auxiliary.Length; stage++)
        {
            for (int i = 0; i < Architecture.BlocksOf(Architecture.Stages[stage]); i++)
            {
                int index = block++;
                bool drop = drops is not null && stage >= FrozenStages && drops.PathRate(index, _blocks.Length) > 0;
                var next = _blocks[index].Forward(_backend, map, drop ? part => drops!.DropPath(part, index, _blocks.Length) : null);
                if (map != images)
                    map.Dispose();
                map = next;
            }
            if (auxiliary is not null && _auxiliary[stage] is { } head)
                auxiliary.Add(head.Forward(_backend, map, images.Shape[2], images.Shape[3], drops));
        }
        return _main.Forward(_backend, map, images.Shape[2], images.Shape[3], drops);
    }

    private Tensor Quantize(Tensor activation, string range) => _quantization?.Find(range) is { } state ? _backend.FakeQuantize(activation, state) : activation;

    /// <summary>The blocks in order of execution.</summary>
    internal IReadOnlyList<TrainingBlock> Blocks => _blocks;

    /// <summary>The auxiliary head after each stage; null if a stage has none or is frozen.</summary>
    internal IReadOnlyList<TrainingHead?> AuxiliaryHeads => _auxiliary;

    /// <inheritdoc/>
    public Tensor Tensor(string name) => _tensors[name];

    /// <inheritdoc/>
    public BatchNormState Norm(string name)
    {
        if (!_norms.TryGetValue(name, out var norm))
        {
            norm = new BatchNormState(
                _tensors[$"{name}.weight"], _tensors[$"{name}.bias"],
                _tensors[$"{name}.running_mean"], _tensors[$"{name}.running_var"], Architecture.BatchNormEpsilon)
            {
                Frozen = IsNormFrozen(name),
            };
            _norms.Add(name, norm);
        }
        return norm;
    }

    /// <inheritdoc/>
    Tensor ITrainingTensors.Constant(TensorData values)
    {
        var tensor = _backend.CreateBuffer(values);
        _constants.Add(tensor);
        return tensor;
    }

    private static ClassifierHeads HeadsOf(RepVggArchitecture architecture, int classes)
    {
        architecture.Validate();
        ArgumentOutOfRangeException.ThrowIfLessThan(classes, 1);
        return new ClassifierHeads(architecture, classes);
    }

    private static PspNetHeads HeadsOf(PspNetArchitecture architecture)
    {
        architecture.Validate();
        return new PspNetHeads(architecture);
    }

    private static void CheckScales(RepVggArchitecture architecture, RepOptimizerScales scales)
    {
        if (architecture.TrainingForm is not (TrainingForm.Csla or TrainingForm.HyperSearch))
        {
            throw new ArgumentException(
                $"Scales of branches were given, but {architecture.Name} in the training form {architecture.TrainingForm} has no scaled branches, only {TrainingForm.Csla} and {TrainingForm.HyperSearch} have. "
                + $"For the form {TrainingForm.Plain}, RepOptimizer uses them: see {nameof(RepOptimizerOptions)}.", nameof(scales));
        }
        scales.Validate(architecture);
    }

    private bool IsNormFrozen(string name) => (FreezesBatchNorm && !_freshNorms.Contains(name)) || FreezesStatistics || IsFrozen(name);

    /// <summary>Whether a tensor or layer belongs to a frozen stage or to its auxiliary head.</summary>
    private bool IsFrozen(string name)
    {
        string prefix = name.Split('.', 2)[0];
        return Enumerable.Range(0, FrozenStages).Any(stage => prefix == Architecture.Stages[stage].Name || _heads.IsAuxiliaryOf(name, stage));
    }
}
