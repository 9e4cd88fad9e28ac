using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>One flat tensor that holds the values of many, so that an update of all of them is a few calls instead of a few per tensor.</summary>
/// <remarks>
/// Its members become views of it. A member may be taken over by a storage made later; <see cref="Gather"/> takes it
/// back, values kept. Kernels keep their layout: what is flat here is memory order.
/// </remarks>
internal sealed class FlatStorage : IDisposable
{
    private readonly TorchTensor[] _members;
    private readonly long[] _offsets;
    private readonly MemoryLayout _layout;

    public FlatStorage(TorchBackend backend, IReadOnlyList<TorchTensor> members)
    {
        _members = [.. members];
        _layout = backend.Layout;
        _offsets = new long[_members.Length + 1];
        for (int i = 0; i < _members.Length; i++)
            _offsets[i + 1] = _offsets[i] + _members[i].Count;
        using var mode = torch.no_grad();
        Values = torch.empty([_offsets[^1]], torch.ScalarType.Float32, backend.Device).DetachFromDisposeScope();
        Gather();
    }

    public IReadOnlyList<TorchTensor> Members => _members;

    /// <summary>The place of a member; -1 if it is none.</summary>
    public int IndexOf(TorchTensor tensor) => Array.IndexOf(_members, tensor);

    /// <summary>Every member's values, one after the other.</summary>
    public torch.Tensor Values { get; }

    /// <summary>Makes sure that the members' values are here.</summary>
    public void Gather()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            if (_members[i].Home != this)
                Adopt(_members[i], i);
        }
    }

    /// <summary>One member's part of a flat tensor of this size, in the member's shape.</summary>
    public torch.Tensor Part(torch.Tensor flat, int member)
    {
        using var slice = flat.narrow(0, _offsets[member], _members[member].Count);
        return _layout.Unflatten(slice, _members[member].Shape);
    }

    /// <summary>What Backward left for the members, in one flat tensor; null where a member took no part.</summary>
    public torch.Tensor? TryGatherGradients()
    {
        using var scope = torch.NewDisposeScope();
        var parts = new torch.Tensor[_members.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (_members[i].Value.grad is not { } gradient)
                return null;
            parts[i] = _layout.Flatten(gradient);
        }
        return torch.cat(parts).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        foreach (var member in _members)
        {
            if (member.Home == this)
                member.Home = null;
        }
        Values.Dispose();
    }

    private void Adopt(TorchTensor member, int index)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var part = Part(Values, index);
        part.copy_(member.Value);
        var own = scope.Detach(part.detach());
        if (member.Role == TensorRole.Parameter)
        {
            own.requires_grad_(true);
            own.grad = member.Value.grad;
        }
        member.Rebind(own, this);
    }
}
