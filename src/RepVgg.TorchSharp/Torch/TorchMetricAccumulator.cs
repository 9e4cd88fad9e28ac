using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Metric accumulator on the device: sum of losses and numbers of correct predictions. Adding a batch queues a few small kernels and does not wait for the device.</summary>
internal sealed class TorchMetricAccumulator : MetricAccumulator
{
    private readonly TorchBackend _backend;
    private readonly torch.Tensor _lossSum;
    private readonly torch.Tensor _correct;
    private readonly torch.Tensor _correctTop5;
    private long _images;

    public TorchMetricAccumulator(TorchBackend backend)
        : base(backend)
    {
        _backend = backend;
        _lossSum = torch.zeros([], torch.ScalarType.Float64, backend.Device).DetachFromDisposeScope();
        _correct = torch.zeros([], torch.ScalarType.Int64, backend.Device).DetachFromDisposeScope();
        _correctTop5 = torch.zeros([], torch.ScalarType.Int64, backend.Device).DetachFromDisposeScope();
    }

    private protected override void AddCore(Tensor loss, Tensor logits, ReadOnlySpan<int> labels)
    {
        var targets = _backend.LabelsOnDevice(labels);
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        using var count = labels.Length.ToScalar();
        _lossSum.add_(((TorchTensor)loss).Value.to(torch.ScalarType.Float64), count);
        var (_, predicted) = ((TorchTensor)logits).Value.topk(Math.Min(MetricTotals.Top, logits.Shape[1]), 1);
        var hits = predicted.eq(targets.unsqueeze(1));
        _correct.AddInPlace(hits.select(1, 0).sum());
        _correctTop5.AddInPlace(hits.sum());
        _images += labels.Length;
    }

    public override MetricTotals ReadAndReset()
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var totals = new MetricTotals(_lossSum.item<double>(), _correct.item<long>(), _correctTop5.item<long>(), _images);
        _lossSum.zero_();
        _correct.zero_();
        _correctTop5.zero_();
        _images = 0;
        return totals;
    }

    public override void Dispose()
    {
        _lossSum.Dispose();
        _correct.Dispose();
        _correctTop5.Dispose();
    }
}
