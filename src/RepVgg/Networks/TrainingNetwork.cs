using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Formats;

namespace RepVgg.Networks;

/// <summary>The training form of a RepVGG: multi-branch blocks with batch norms, on any backend.</summary>
/// <remarks>Source: RepVGG, section 3.2, figure 2(b); auxiliary heads and squeeze-and-excitation as the authors' RepVGGplus has them.</remarks>
public sealed class TrainingNetwork : IDisposable
{
    private readonly Backend _backend;
    private readonly Dictionary<string, Tensor> _tensors = new(StringComparer.Ordinal);
    private readonly List<(string Name, Tensor Tensor)> _parameters = [];
    private readonly List<(string Name, Tensor Tensor)> _buffers = [];
    private readonly IReadOnlyList<StateEntry> _layout;
    private readonly TrainingBlock[] _blocks;
    private readonly AuxiliaryHead?[] _heads;

    /// <summary>Builds the network with fresh weights, drawn as PyTorch's defaults draw them.</summary>
    /// <param name="architecture">What to build.</param>
    /// <param name="classes">Number of classes, at least 1.</param>
    /// <param name="backend">Where it lives; stays the caller's.</param>
    /// <param name="seed">Draws the weights; the same seed gives the same weights on every backend.</param>
    /// <exception cref="ArgumentException">The architecture cannot be built, or there is no class.</exception>
    public TrainingNetwork(RepVggArchitecture architecture, int classes, Backend backend, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(backend);
        architecture.Validate();
        ArgumentOutOfRangeException.ThrowIfLessThan(classes, 1);
        Architecture = architecture;
        Classes = classes;
        _backend = backend;
        _layout = StateLayout.Training(architecture, classes);

        var initial = Initialization.Draw(architecture, classes, seed);
        foreach (var entry in _layout)
        {
            var tensor = entry.IsParameter ? backend.CreateParameter(initial[entry.Name]) : backend.CreateBuffer(initial[entry.Name]);
            _tensors[entry.Name] = tensor;
            (entry.IsParameter ? _parameters : _buffers).Add((entry.Name, tensor));
        }
        _blocks = [.. architecture.Blocks.Select(block => new TrainingBlock(block, this))];
        _heads = [.. architecture.Stages.Select(stage => stage.AuxiliaryHead ? new AuxiliaryHead(stage.Name + StateLayout.AuxiliarySuffix, this) : null)];
    }

    /// <summary>What was built.</summary>
    public RepVggArchitecture Architecture { get; }

    /// <summary>Number of classes.</summary>
    public int Classes { get; }

    /// <summary>The trained tensors under the authors' names, in the order of their checkpoints.</summary>
    public IReadOnlyList<(string Name, Tensor Tensor)> Parameters => _parameters;

    /// <summary>The running statistics under the authors' names.</summary>
    public IReadOnlyList<(string Name, Tensor Tensor)> Buffers => _buffers;

    /// <summary>Computes the logits within a step of the backend; auxiliary heads are left out.</summary>
    /// <param name="images">[N, C, H, W], already normalised.</param>
    /// <returns>[N, classes].</returns>
    public Tensor Forward(Tensor images) => Run(images, null);

    /// <summary>Computes the logits of the classifier and of every auxiliary head, for the training loss.</summary>
    /// <param name="images">[N, C, H, W], already normalised.</param>
    /// <returns>The classifier's logits [N, classes], and those of the heads in the order of their stages.</returns>
    public (Tensor Logits, IReadOnlyList<Tensor> Auxiliary) ForwardWithAuxiliary(Tensor images)
    {
        var auxiliary = new List<Tensor>();
        return (Run(images, auxiliary), auxiliary);
    }

    /// <summary>Copies every tensor out, under the authors' names.</summary>
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

    /// <summary>Overwrites every tensor.</summary>
    /// <param name="state">Weights of this architecture's training form; PyTorch's batch counters are ignored.</param>
    /// <exception cref="ArgumentException">Names are missing, surplus or misshapen; the message lists all of them, and nothing was changed.</exception>
    public void ImportState(StateDict state)
    {
        StateLayout.Check(state, _layout, $"the training form of {Architecture.Name} with {Classes} classes");
        foreach (var entry in _layout)
            _backend.CopyIn(_tensors[entry.Name], state[entry.Name].Values);
    }

    /// <summary>Releases every parameter and buffer; the backend stays.</summary>
    public void Dispose()
    {
        foreach (var tensor in _tensors.Values)
            tensor.Dispose();
    }

    private Tensor Run(Tensor images, List<Tensor>? auxiliary)
    {
        ArgumentNullException.ThrowIfNull(images);
        if (images.Shape.Count != 4 || images.Shape[1] != Architecture.InputChannels)
            throw new ArgumentException($"{Architecture.Name} reads [N, {Architecture.InputChannels}, H, W], not [{string.Join(", ", images.Shape)}].", nameof(images));
        Architecture.ValidateImageSize(images.Shape[2], images.Shape[3]);

        var map = images;
        int block = 0;
        for (int stage = 0; stage < _heads.Length; stage++)
        {
            for (int i = 0; i < Architecture.Stages[stage].Depth; i++)
            {
                var next = _blocks[block++].Forward(_backend, map);
                if (map != images)
                    map.Dispose();
                map = next;
            }
            if (auxiliary is not null && _heads[stage] is { } head)
                auxiliary.Add(head.Forward(_backend, map));
        }
        return _backend.Linear(_backend.GlobalAveragePool(map), _tensors["linear.weight"], _tensors["linear.bias"]);
    }

    internal Tensor Tensor(string name) => _tensors[name];

    internal BatchNormState Norm(string name) => new(
        _tensors[$"{name}.weight"], _tensors[$"{name}.bias"],
        _tensors[$"{name}.running_mean"], _tensors[$"{name}.running_var"], Architecture.BatchNormEpsilon);
}
