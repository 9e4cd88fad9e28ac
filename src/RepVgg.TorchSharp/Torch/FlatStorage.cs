using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>One flat tensor that holds the values of many, so that an update of all of them is a few calls instead of a few per tensor.</summary>
/// <remarks>
/// Its members become views of it. A member may be taken over by a storage made later; <see cref="Gather"/> takes it
/// back, values kept. Kernels keep their layout: what is flat here is memory order.
/// </remarks>
internal sealed class FlatStorage : IDisposable
{
    /// <summary>How many values an update on the CPU takes at a time: these, their gradients and their momenta stay in the cores' caches from one operation to the next.</summary>
    private const long CachedValues = 1 << 17;

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
        PieceLength = backend.Device.type == DeviceType.CPU ? CachedValues : long.MaxValue;
        Runs = [.. Split(_offsets, PieceLength)];
        using var mode = torch.no_grad();
        Values = torch.empty([_offsets[^1]], torch.ScalarType.Float32, backend.Device).DetachFromDisposeScope();
        Gather();
    }

    public IReadOnlyList<TorchTensor> Members => _members;

    /// <summary>The place of a member; -1 if it is none.</summary>
    public int IndexOf(TorchTensor tensor) => Array.IndexOf(_members, tensor);

    /// <summary>Every member's values, one after the other.</summary>
    public torch.Tensor Values { get; }

    /// <summary>The members in runs of neighbours: as many as fit in <see cref="PieceLength"/>, or one that is longer.</summary>
    public IReadOnlyList<Run> Runs { get; }

    /// <summary>How many values an update should take at a time.</summary>
    public long PieceLength { get; }

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

    /// <summary>What Backward left for a run of members, in one flat tensor; null where one of them took no part.</summary>
    public torch.Tensor? TryGatherGradients(Run run)
    {
        using var scope = torch.NewDisposeScope();
        var parts = new torch.Tensor[run.Members];
        for (int i = 0; i < parts.Length; i++)
        {
            if (_members[run.First + i].Value.grad is not { } gradient)
                return null;
            parts[i] = _layout.Flatten(gradient);
        }
        var whole = parts.Length == 1 ? parts[0] : torch.cat(parts);
        return whole.MoveToOuterDisposeScope();
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

    private static IEnumerable<Run> Split(long[] offsets, long longest)
    {
        int members = offsets.Length - 1;
        for (int first = 0, next; first < members; first = next)
        {
            next = first + 1;
            while (next < members && offsets[next + 1] - offsets[first] <= longest)
                next++;
            yield return new Run(first, next - first, offsets[first], offsets[next] - offsets[first]);
        }
    }

    /// <summary>Neighbours among the members, and their place in the flat tensor.</summary>
    public readonly record struct Run(int First, int Members, long Start, long Length);
}
