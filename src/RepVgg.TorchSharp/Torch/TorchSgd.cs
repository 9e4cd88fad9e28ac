using RepVgg.Backends;
using RepVgg.Weights;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Stochastic gradient descent as in torch.optim.SGD with dampening 0, on flat storages. On a GPU, a group needs a few libtorch calls, independent of its number of parameters. On the CPU, a group is updated in pieces that fit in the CPU caches.</summary>
/// <remarks>A parameter without a gradient from the last backward pass is not changed, like a parameter whose gradient is None in PyTorch.</remarks>
internal sealed class TorchSgd : Optimizer
{
    private readonly TorchBackend _backend;
    private readonly float _momentum;
    private readonly bool _nesterov;
    private readonly List<Group> _groups = [];

    public TorchSgd(TorchBackend backend, IReadOnlyList<ParameterGroup> groups, float momentum, bool nesterov)
    {
        ArgumentNullException.ThrowIfNull(groups);
        if (!(momentum >= 0))
            throw new ArgumentOutOfRangeException(nameof(momentum), momentum, "Momentum must not be negative.");
        if (nesterov && momentum == 0)
            throw new ArgumentException("Nesterov's method needs a momentum above 0.", nameof(nesterov));
        (_backend, _momentum, _nesterov) = (backend, momentum, nesterov);
        foreach (var group in groups)
        {
            TorchTensor[] members = [.. group.Parameters.Select(backend.Own)];
            if (members.Any(member => member.Role != TensorRole.Parameter))
                throw new ArgumentException("Only parameters can be trained.", nameof(groups));
            using var mode = torch.no_grad();
            var storage = new FlatStorage(backend, members);
            _groups.Add(new Group(group, storage, momentum == 0 ? null : torch.zeros_like(storage.Values).DetachFromDisposeScope()));
        }
    }

    public override void Step(float learningRate) => _backend.Guarded(() =>
    {
        using var mode = torch.no_grad();
        foreach (var group in _groups)
        {
            group.Storage.Gather();
            foreach (var run in group.Storage.Runs)
                Update(group, run, learningRate * group.Options.LearningRateScale);
        }
    });

    public override IReadOnlyList<TensorData> ExportState()
    {
        using var scope = torch.NewDisposeScope();
        var state = new List<TensorData>();
        foreach (var group in _groups)
        {
            for (int i = 0; i < group.Storage.Members.Count; i++)
            {
                var tensor = TensorData.Zeros([.. group.Storage.Members[i].Shape]);
                if (group.Momentum is { } momentum)
                    HostCopy.FromTensor(group.Storage.Part(momentum, i), tensor.Values);
                state.Add(tensor);
            }
        }
        return state;
    }

    public override void ImportState(IReadOnlyList<TensorData> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        var targets = _groups.SelectMany(group => Enumerable.Range(0, group.Storage.Members.Count).Select(index => (Group: group, Index: index))).ToList();
        if (state.Count != targets.Count)
            throw new ArgumentException($"The optimizer has {targets.Count} parameters, but the state has {state.Count} tensors.", nameof(state));
        for (int i = 0; i < state.Count; i++)
        {
            long count = targets[i].Group.Storage.Members[targets[i].Index].Count;
            if (state[i].Values.Length != count)
                throw new ArgumentException($"Tensor {i} of the state has {state[i].Values.Length} values; its parameter has {count}.", nameof(state));
        }
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        for (int i = 0; i < state.Count; i++)
        {
            var (group, index) = targets[i];
            if (group.Momentum is { } momentum)
                group.Storage.Part(momentum, index).copy_(HostCopy.ToTensor([.. group.Storage.Members[index].Shape], state[i].Values));
        }
    }

    public override void Dispose()
    {
        foreach (var group in _groups)
        {
            group.Storage.Dispose();
            group.Momentum?.Dispose();
        }
        _groups.Clear();
    }

    private void Update(Group group, FlatStorage.Run run, float rate)
    {
        using var scope = torch.NewDisposeScope();
        var storage = group.Storage;
        if (storage.TryGatherGradients(run) is { } gradients)
        {
            for (long start = 0; start < run.Length; start += storage.PieceLength)
            {
                long length = Math.Min(run.Length - start, storage.PieceLength);
                using var piece = torch.NewDisposeScope();
                Update(
                    storage.Values.narrow(0, run.Start + start, length), gradients.narrow(0, start, length),
                    group.Momentum?.narrow(0, run.Start + start, length), group.Options.WeightDecay, rate);
            }
            return;
        }
        for (int i = run.First; i < run.First + run.Members; i++)
        {
            var member = storage.Members[i].Value;
            if (member.grad is { } gradient)
                Update(member, gradient, group.Momentum is { } momentum ? storage.Part(momentum, i) : null, group.Options.WeightDecay, rate);
        }
    }

    /// <summary>g += decay * w; v = momentum * v + g; w -= rate * v, or with Nesterov w -= rate * (g + momentum * v). Without momentum, w -= rate * g.</summary>
    private void Update(torch.Tensor weights, torch.Tensor gradients, torch.Tensor? momentum, float weightDecay, float rate)
    {
        using Scalar decay = weightDecay, keep = _momentum, back = -rate;
        var direction = weightDecay == 0 ? gradients : gradients.add(weights, decay);
        if (momentum is not null)
        {
            momentum.mul_(keep).add_(direction);
            direction = _nesterov ? direction.add(momentum, keep) : momentum;
        }
        weights.add_(direction, back);
    }

    private sealed record Group(ParameterGroup Options, FlatStorage Storage, torch.Tensor? Momentum);
}
