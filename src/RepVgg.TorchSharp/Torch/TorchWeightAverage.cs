using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Exponential moving average of weights on the device, on flat storages. It uses the optimizer's storages whose members are all averaged, and an additional storage for the other tensors.</summary>
internal sealed class TorchWeightAverage : WeightAverage
{
    private readonly TorchBackend _backend;
    private readonly TorchTensor[] _tensors;
    private readonly List<(FlatStorage Storage, torch.Tensor Average)> _parts = [];
    private readonly FlatStorage? _additionalStorage;

    public TorchWeightAverage(TorchBackend backend, IReadOnlyList<(string Name, Tensor Tensor)> tensors)
        : base(tensors)
    {
        _backend = backend;
        _tensors = [.. tensors.Select(item => (TorchTensor)item.Tensor)];

        var all = new HashSet<TorchTensor>(_tensors, ReferenceEqualityComparer.Instance);
        var storages = _tensors.Select(tensor => tensor.Storage).OfType<FlatStorage>().Distinct().Where(storage => storage.Members.All(all.Contains)).ToList();
        TorchTensor[] others = [.. _tensors.Where(tensor => tensor.Storage is null || !storages.Contains(tensor.Storage))];
        if (others.Length > 0)
            storages.Add(_additionalStorage = new FlatStorage(backend, others));
        using var mode = torch.no_grad();
        foreach (var storage in storages)
            _parts.Add((storage, storage.Values.clone().DetachFromDisposeScope()));
    }

    public override void Update(float decay) => _backend.TranslateOutOfMemory(() =>
    {
        using var mode = torch.no_grad();
        using Scalar averageFactor = decay.ToScalar(), valueFactor = (1 - decay).ToScalar();
        foreach (var (storage, average) in _parts)
        {
            storage.ReclaimMembers();
            average.mul_(averageFactor).add_(storage.Values, valueFactor);
        }
    });

    public override void Swap() => _backend.TranslateOutOfMemory(() =>
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        foreach (var (storage, average) in _parts)
        {
            storage.ReclaimMembers();
            var values = storage.Values.clone();
            storage.Values.copy_(average);
            average.copy_(values);
        }
    });

    public override void Dispose()
    {
        foreach (var (_, average) in _parts)
            average.Dispose();
        _parts.Clear();
        _additionalStorage?.Dispose();
    }

    private protected override void ReadAverage(int tensor, Span<float> values)
    {
        using var scope = torch.NewDisposeScope();
        HostCopy.FromTensor(AverageOf(_tensors[tensor]), values);
    }

    private protected override void WriteAverage(int tensor, ReadOnlySpan<float> values)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        AverageOf(_tensors[tensor]).copy_(HostCopy.ToTensor([.. _tensors[tensor].Shape], values));
    }

    private torch.Tensor AverageOf(TorchTensor tensor)
    {
        foreach (var (storage, average) in _parts)
        {
            int index = storage.IndexOf(tensor);
            if (index >= 0)
                return storage.Slice(average, index);
        }
        throw new ObjectDisposedException(nameof(WeightAverage));
    }
}
