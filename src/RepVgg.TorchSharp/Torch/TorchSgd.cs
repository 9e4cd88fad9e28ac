using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Stochastic gradient descent (see <see cref="SgdOptions"/>) on flat storages. On a GPU, a group needs a few libtorch calls, independent of its number of parameters. On the CPU, a group is updated in pieces that fit in the CPU caches.</summary>
internal sealed class TorchSgd : Optimizer
{
    private readonly TorchBackend _backend;
    private readonly SgdOptions _options;
    private readonly List<Group> _groups = [];

    public TorchSgd(TorchBackend backend, IReadOnlyList<ParameterGroup> groups, SgdOptions options)
        : base(groups, options)
    {
        (_backend, _options) = (backend, options);
        using var mode = torch.no_grad();
        foreach (var group in groups)
        {
            var storage = new FlatStorage(backend, [.. group.Parameters.Select(item => (TorchTensor)item.Tensor)]);
            _groups.Add(new Group(group, storage, options.Momentum == 0 ? null : torch.zeros_like(storage.Values).DetachFromDisposeScope()));
        }
    }

    private protected override void StepCore(float learningRate) => _backend.TranslateOutOfMemory(() =>
    {
        using var mode = torch.no_grad();
        foreach (var group in _groups)
        {
            group.Storage.ReclaimMembers();
            foreach (var bucket in group.Storage.Buckets)
                Update(group, bucket, learningRate * group.Options.LearningRateScale);
        }
    });

    private protected override void DisposeCore()
    {
        foreach (var group in _groups)
        {
            group.Storage.Dispose();
            group.Momentum?.Dispose();
        }
        _groups.Clear();
    }

    private protected override void ReadSlot(string slot, int parameter, Span<float> values)
    {
        using var scope = torch.NewDisposeScope();
        HostCopy.FromTensor(MomentumOf(parameter), values);
    }

    private protected override void WriteSlot(string slot, int parameter, ReadOnlySpan<float> values)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var momentum = MomentumOf(parameter);
        momentum.copy_(HostCopy.ToTensor(Array.ConvertAll(momentum.shape, dimension => (int)dimension), values));
    }

    /// <summary>Returns a view of the momentum buffer of the parameter with a given index, in group order.</summary>
    private torch.Tensor MomentumOf(int parameter)
    {
        foreach (var group in _groups)
        {
            if (parameter < group.Storage.Members.Count)
                return group.Storage.Slice(group.Momentum!, parameter);
            parameter -= group.Storage.Members.Count;
        }
        throw new ObjectDisposedException(nameof(Optimizer));
    }

    private void Update(Group group, FlatStorage.Bucket bucket, float rate)
    {
        using var scope = torch.NewDisposeScope();
        var storage = group.Storage;
        if (storage.TryConcatenateGradients(bucket) is { } gradients)
        {
            for (long start = 0; start < bucket.Length; start += storage.MaximumUpdateLength)
            {
                long length = Math.Min(bucket.Length - start, storage.MaximumUpdateLength);
                using var updateScope = torch.NewDisposeScope();
                Update(
                    storage.Values.narrow(0, bucket.Start + start, length), gradients.narrow(0, start, length),
                    group.Momentum?.narrow(0, bucket.Start + start, length), group.Options.WeightDecay, rate);
            }
            return;
        }
        for (int i = bucket.First; i < bucket.First + bucket.Members; i++)
        {
            var member = storage.Members[i].Value;
            if (member.grad is { } gradient)
                Update(member, gradient, group.Momentum is { } momentum ? storage.Slice(momentum, i) : null, group.Options.WeightDecay, rate);
        }
    }

    /// <summary>g += decay * w; v = momentum * v + g; w -= rate * v, or with Nesterov w -= rate * (g + momentum * v). Without momentum, w -= rate * g.</summary>
    private void Update(torch.Tensor weights, torch.Tensor gradients, torch.Tensor? momentum, float weightDecay, float rate)
    {
        using Scalar decay = weightDecay, momentumFactor = _options.Momentum, negativeRate = -rate;
        var direction = weightDecay == 0 ? gradients : gradients.add(weights, decay);
        if (momentum is not null)
        {
            momentum.mul_(momentumFactor).add_(direction);
            direction = _options.Nesterov ? direction.add(momentum, momentumFactor) : momentum;
        }
        weights.add_(direction, negativeRate);
    }

    private sealed record Group(ParameterGroup Options, FlatStorage Storage, torch.Tensor? Momentum);
}
