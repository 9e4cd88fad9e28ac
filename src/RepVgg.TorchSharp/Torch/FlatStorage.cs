using RepVgg.Backends;
using RepVgg.Weights;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>A one-dimensional tensor that contains the values of several tensors, its members. An update of all members then needs a few libtorch calls instead of a few calls per tensor.</summary>
/// <remarks>
/// The members become views of the flat tensor. A storage that is created later can take over a member; <see cref="ReclaimMembers"/>
/// moves it back with its values. The values of kernels are in memory order, which depends on the <see cref="MemoryLayout"/>.
/// </remarks>
internal sealed class FlatStorage : IDisposable
{
    /// <summary>Maximum number of values per update on the CPU. These values, their gradients and their momentum buffers stay in the CPU caches from one operation to the next.</summary>
    private const long ValuesInCache = 1 << 17;

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
        MaximumUpdateLength = backend.Device.type == DeviceType.CPU ? ValuesInCache : long.MaxValue;
        Buckets = [.. Split(_offsets, MaximumUpdateLength)];
        using var mode = torch.no_grad();
        Values = torch.empty([_offsets[^1]], torch.ScalarType.Float32, backend.Device).DetachFromDisposeScope();
        ReclaimMembers();
    }

    public IReadOnlyList<TorchTensor> Members => _members;

    /// <summary>Gets the index of a member; -1 if the tensor is not a member.</summary>
    public int IndexOf(TorchTensor tensor) => Array.IndexOf(_members, tensor);

    /// <summary>The values of all members, concatenated; a tensor of shape [total number of values].</summary>
    public torch.Tensor Values { get; }

    /// <summary>The members, grouped into buckets of consecutive members. A bucket has at most <see cref="MaximumUpdateLength"/> values, or a single member that is longer.</summary>
    public IReadOnlyList<Bucket> Buckets { get; }

    /// <summary>Maximum number of values that an update should process at a time.</summary>
    public long MaximumUpdateLength { get; }

    /// <summary>Copies members that another storage has taken over back into this storage.</summary>
    public void ReclaimMembers()
    {
        for (int i = 0; i < _members.Length; i++)
        {
            if (_members[i].Storage != this)
                MoveIntoStorage(_members[i], i);
        }
    }

    /// <summary>Gets a view of one member's part of a flat tensor of the same length as <see cref="Values"/>, in the member's shape.</summary>
    public torch.Tensor Slice(torch.Tensor flat, int member)
    {
        using var slice = flat.narrow(0, _offsets[member], _members[member].Count);
        return _layout.Unflatten(slice, _members[member].Shape);
    }

    /// <summary>Concatenates the gradients of a bucket of members into one flat tensor; null if a member has no gradient.</summary>
    public torch.Tensor? TryConcatenateGradients(Bucket bucket)
    {
        using var scope = torch.NewDisposeScope();
        var parts = new torch.Tensor[bucket.Members];
        for (int i = 0; i < parts.Length; i++)
        {
            if (_members[bucket.First + i].Value.grad is not { } gradient)
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
            if (member.Storage == this)
                member.Storage = null;
        }
        Values.Dispose();
    }

    private void MoveIntoStorage(TorchTensor member, int index)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var part = Slice(Values, index);
        part.copy_(member.Value);
        var view = scope.Detach(part.detach());
        if (member.Role == TensorRole.Parameter)
        {
            view.requires_grad_(true);
            view.grad = member.Value.grad;
        }
        member.ReplaceValue(view, this);
    }

    private static IEnumerable<Bucket> Split(long[] offsets, long longest)
    {
        int members = offsets.Length - 1;
        for (int first = 0, next; first < members; first = next)
        {
            next = first + 1;
            while (next < members && offsets[next + 1] - offsets[first] <= longest)
                next++;
            yield return new Bucket(first, next - first, offsets[first], offsets[next] - offsets[first]);
        }
    }

    /// <summary>A range of consecutive members (index of the first, count), and their range of values in the flat tensor (start, length).</summary>
    public readonly record struct Bucket(int First, int Members, long Start, long Length);
}
