using RepVgg.Backends;
using RepVgg.Optimizers;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>What the optimizers of this backend share: updates on flat storages, the slots, and the clipping of gradients.</summary>
/// <remarks>
/// On a GPU, a group needs a few libtorch calls, independent of its number of parameters, and nothing waits for the device. On
/// the CPU, a group is updated in pieces that fit in the CPU caches.
/// </remarks>
internal abstract class TorchOptimizer : Optimizer
{
    /// <summary>Maximum number of gradients that are copied to double precision at a time for their norm. In single precision, libtorch's norms of long tensors on the CPU are 1e-5 wrong.</summary>
    private const long MaximumNormLength = 1 << 24;

    private readonly TorchBackend _backend;
    private readonly string[] _slots;
    private readonly bool _countsSteps;
    private readonly List<Group> _groups = [];

    private protected TorchOptimizer(TorchBackend backend, IReadOnlyList<ParameterGroup> groups, OptimizerOptions options, float? gradientClipNorm)
        : base(groups, options, gradientClipNorm)
    {
        _backend = backend;
        _slots = [.. options.Slots];
        _countsSteps = options.CountsSteps;
        using var mode = torch.no_grad();
        int first = 0;
        foreach (var group in groups)
        {
            var storage = new FlatStorage(backend, [.. group.Parameters.Select(item => (TorchTensor)item.Tensor)]);
            torch.Tensor NewSlot() => torch.zeros_like(storage.Values).DetachFromDisposeScope();
            _groups.Add(new Group(group.WeightDecay, group.LearningRateScale, storage, first, [.. _slots.Select(_ => NewSlot())], group.GradientMultipliers is null ? null : NewSlot()));
            for (int i = 0; i < group.GradientMultipliers?.Count; i++)
                WriteSlot(MultiplierSlot, first + i, group.GradientMultipliers[i].Values);
            first += group.Parameters.Count;
        }
    }

    private protected override void StepCore(float learningRate) => _backend.TranslateOutOfMemory(() =>
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        foreach (var group in _groups)
            group.Storage.ReclaimMembers();
        var gradientFactor = GradientClipNorm is { } norm ? ClipFactor(norm) : null;
        foreach (var group in _groups)
        {
            foreach (var bucket in group.Storage.Buckets)
                UpdateBucket(group, bucket, learningRate * group.LearningRateScale, gradientFactor);
        }
    });

    /// <summary>Updates weights in place, with tensors of one shape.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="gradients">The gradients: clipped, and times the multipliers. They must not be changed.</param>
    /// <param name="slots">The slots, in the order of <see cref="OptimizerOptions.Slots"/>.</param>
    /// <param name="multiplier">The gradient multipliers; null if there are none.</param>
    /// <param name="rate">The learning rate of the group.</param>
    /// <param name="weightDecay">The weight decay of the group.</param>
    /// <param name="step">Number of updates of these weights, with this one.</param>
    private protected abstract void Update(torch.Tensor weights, torch.Tensor gradients, torch.Tensor[] slots, torch.Tensor? multiplier, float rate, float weightDecay, float step);

    private protected override void ReadSlot(string slot, int parameter, Span<float> values)
    {
        using var scope = torch.NewDisposeScope();
        HostCopy.FromTensor(SlotOf(slot, parameter), values);
    }

    private protected override void WriteSlot(string slot, int parameter, ReadOnlySpan<float> values)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var destination = SlotOf(slot, parameter);
        destination.copy_(HostCopy.ToTensor(Array.ConvertAll(destination.shape, dimension => (int)dimension), values));
    }

    private protected override void DisposeCore()
    {
        foreach (var group in _groups)
            group.Dispose();
        _groups.Clear();
    }

    /// <summary>Returns a view of a slot of the parameter with a given index, in group order.</summary>
    private torch.Tensor SlotOf(string slot, int parameter)
    {
        var group = _groups.Last(group => group.First <= parameter);
        return group.Storage.Slice(slot == MultiplierSlot ? group.Multiplier! : group.Slots[Array.IndexOf(_slots, slot)], parameter - group.First);
    }

    private void UpdateBucket(Group group, FlatStorage.Bucket bucket, float rate, torch.Tensor? gradientFactor)
    {
        using var scope = torch.NewDisposeScope();
        var storage = group.Storage;
        var steps = Steps.Slice(group.First + bucket.First, bucket.Members);
        // Members that were not updated equally often have different factors in some algorithms.
        if (!steps.ContainsAnyExcept(steps[0]) && storage.TryConcatenateGradients(bucket) is { } gradients)
        {
            if (_countsSteps)
                steps.Fill(steps[0] + 1);
            for (long start = 0; start < bucket.Length; start += storage.MaximumUpdateLength)
            {
                long first = bucket.Start + start, length = Math.Min(bucket.Length - start, storage.MaximumUpdateLength);
                UpdatePart(storage.Values.narrow(0, first, length), gradients.narrow(0, start, length), flat => flat.narrow(0, first, length), steps[0]);
            }
            return;
        }
        for (int i = 0; i < bucket.Members; i++)
        {
            int member = bucket.First + i;
            if (storage.Members[member].Value is not { grad: { } gradient } value)
                continue;
            if (_countsSteps)
                steps[i]++;
            UpdatePart(value, gradient, flat => storage.Slice(flat, member), steps[i]);
        }

        void UpdatePart(torch.Tensor weights, torch.Tensor gradients, Func<torch.Tensor, torch.Tensor> part, float step)
        {
            using var partScope = torch.NewDisposeScope();
            var multiplier = group.Multiplier is null ? null : part(group.Multiplier);
            if (gradientFactor is not null)
                gradients = gradients.mul(gradientFactor);
            if (multiplier is not null)
                gradients = gradients.mul(multiplier);
            Update(weights, gradients, [.. group.Slots.Select(part)], multiplier, rate, group.WeightDecay, step);
        }
    }

    /// <summary>Computes the factor of all gradients that clips their L2 norm, as a tensor on the device, so that nothing waits for it.</summary>
    private torch.Tensor? ClipFactor(float maximumNorm)
    {
        using var scope = torch.NewDisposeScope();
        var norms = new List<torch.Tensor>();
        foreach (var group in _groups)
        {
            var storage = group.Storage;
            foreach (var bucket in storage.Buckets)
            {
                using var bucketScope = torch.NewDisposeScope();
                if (storage.TryConcatenateGradients(bucket) is { } gradients)
                {
                    long longest = Math.Min(storage.MaximumUpdateLength, MaximumNormLength);
                    for (long start = 0; start < bucket.Length; start += longest)
                        Add(gradients.narrow(0, start, Math.Min(bucket.Length - start, longest)));
                }
                else
                {
                    foreach (var member in storage.Members.Skip(bucket.First).Take(bucket.Members))
                    {
                        if (member.Value.grad is { } gradient)
                            Add(gradient);
                    }
                }
            }
        }
        if (norms.Count == 0)
            return null;
        using Scalar maximum = maximumNorm.ToScalar(), one = 1.ToScalar();
        return torch.stack(norms).norm().AddInPlace(GradientClipEpsilon).reciprocal_().mul_(maximum).clamp_max_(one).to(torch.ScalarType.Float32).MoveToOuterDisposeScope();

        void Add(torch.Tensor part)
        {
            using var partScope = torch.NewDisposeScope();
            norms.Add(part.to(torch.ScalarType.Float64).norm().DetachFromDisposeScope());
            scope.Attach(norms[^1]);
        }
    }

    /// <summary>The factors of a group, its storage, the index of its first parameter in group order, and its slots and gradient multipliers as flat tensors.</summary>
    private sealed record Group(float WeightDecay, float LearningRateScale, FlatStorage Storage, int First, torch.Tensor[] Slots, torch.Tensor? Multiplier) : IDisposable
    {
        public void Dispose()
        {
            Storage.Dispose();
            foreach (var slot in Slots)
                slot.Dispose();
            Multiplier?.Dispose();
        }
    }
}
