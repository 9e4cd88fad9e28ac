using RepVgg.Backends;
using RepVgg.Weights;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>A one-dimensional tensor that contains the values of several tensors, its members. An update of all members then needs a few libtorch calls instead of a few calls per tensor.</summary>
/// <remarks>
/// The members become views of the flat tensor. A storage that is created later can take over a member; <see cref="Gather"/>
/// moves it back with its values. The values of kernels are in memory order, which depends on the <see cref="MemoryLayout"/>.
/// </remarks>
internal sealed class FlatStorage : IDisposable
{
    /// <summary>Maximum number of values per update on the CPU. These values, their gradients and their momentum buffers stay in the CPU caches from one operation to the next.</summary>
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

    /// <summary>Gets the index of a member; -1 if the tensor is not a member.</summary>
    public int IndexOf(TorchTensor tensor) => Array.IndexOf(_members, tensor);

    /// <summary>The values of all members, concatenated; a tensor of shape [total number of values].</summary>
    public torch.Tensor Values { get; }

    /// <summary>The members, grouped into runs of consecutive members. A run has at most <see cref="PieceLength"/> values, or a single member that is longer.</summary>
    public IReadOnlyList<Run> Runs { get; }

    /// <summary>Maximum number of values that an update should process at a time.</summary>
    public long PieceLength { get; }

    /// <summary>Copies members that another storage has taken over back into this storage.</summary>
    public void Gather()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            if (_members[i].Home != this)
                Adopt(_members[i], i);
        }
    }

    /// <summary>Gets a view of one member's part of a flat tensor of the same length as <see cref="Values"/>, in the member's shape.</summary>
    public torch.Tensor Part(torch.Tensor flat, int member)
    {
        using var slice = flat.narrow(0, _offsets[member], _members[member].Count);
        return _layout.Unflatten(slice, _members[member].Shape);
    }

    /// <summary>Concatenates the gradients of a run of members into one flat tensor; null if a member has no gradient.</summary>
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

    /// <summary>A range of consecutive members (index of the first, count), and their range of values in the flat tensor (start, length).</summary>
    public readonly record struct Run(int First, int Members, long Start, long Length);
}
