using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Exponential moving average of weights on the device, on flat storages. It uses the optimizer's storages whose members are all averaged, and an additional storage for the other tensors.</summary>
internal sealed class TorchWeightAverage : WeightAverage
{
    private readonly TorchBackend _backend;
    private readonly TorchTensor[] _tensors;
    private readonly List<(FlatStorage Storage, torch.Tensor Average)> _parts = [];
    private readonly FlatStorage? _own;

    public TorchWeightAverage(TorchBackend backend, IReadOnlyList<(string Name, Tensor Tensor)> tensors)
        : base(tensors)
    {
        _backend = backend;
        _tensors = [.. tensors.Select(item => (TorchTensor)item.Tensor)];

        var all = new HashSet<TorchTensor>(_tensors, ReferenceEqualityComparer.Instance);
        var storages = _tensors.Select(tensor => tensor.Home).OfType<FlatStorage>().Distinct().Where(home => home.Members.All(all.Contains)).ToList();
        TorchTensor[] rest = [.. _tensors.Where(tensor => tensor.Home is null || !storages.Contains(tensor.Home))];
        if (rest.Length > 0)
            storages.Add(_own = new FlatStorage(backend, rest));
        using var mode = torch.no_grad();
        foreach (var storage in storages)
            _parts.Add((storage, storage.Values.clone().DetachFromDisposeScope()));
    }

    public override void Update(float decay) => _backend.Guarded(() =>
    {
        using var mode = torch.no_grad();
        using Scalar keep = decay, add = 1 - decay;
        foreach (var (storage, average) in _parts)
        {
            storage.Gather();
            average.mul_(keep).add_(storage.Values, add);
        }
    });

    public override void Swap() => _backend.Guarded(() =>
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        foreach (var (storage, average) in _parts)
        {
            storage.Gather();
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
        _own?.Dispose();
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
                return storage.Part(average, index);
        }
        throw new ObjectDisposedException(nameof(WeightAverage));
    }
}
