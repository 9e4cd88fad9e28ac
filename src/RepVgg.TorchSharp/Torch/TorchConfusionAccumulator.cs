using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Confusion accumulator on the device. Adding a batch queues a few small kernels and does not wait for the device.</summary>
internal sealed class TorchConfusionAccumulator : ConfusionAccumulator
{
    private readonly TorchBackend _backend;
    private readonly torch.Tensor _lossSum, _counts;
    private long _images;

    public TorchConfusionAccumulator(TorchBackend backend, int classes, byte ignored)
        : base(backend, classes, ignored)
    {
        _backend = backend;
        _lossSum = torch.zeros([], torch.ScalarType.Float64, backend.Device).DetachFromDisposeScope();
        // The last cell counts the pixels that are left out.
        _counts = torch.zeros([classes * classes + 1], torch.ScalarType.Int64, backend.Device).DetachFromDisposeScope();
    }

    private protected override void AddCore(Tensor loss, Tensor logits, ReadOnlySpan<byte> labels)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var targets = _backend.PixelLabelsOnDevice(labels.ToArray(), logits.Shape);
        using var images = logits.Shape[0].ToScalar();
        using var classes = Classes.ToScalar();
        using var ignored = ((int)Ignored).ToScalar();
        using var last = (Classes * Classes).ToScalar();
        _lossSum.add_(((TorchTensor)loss).Value.to(torch.ScalarType.Float64), images);
        var pairs = targets.mul(classes).Plus(((TorchTensor)logits).Value.argmax(1));
        var cells = pairs.masked_fill(targets.eq(ignored), last).flatten();
        _counts.scatter_add_(0, cells, torch.ones_like(cells));
        _images += logits.Shape[0];
    }

    public override ConfusionTotals ReadAndReset()
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        var totals = new ConfusionTotals(_lossSum.item<double>(), _images, _counts.cpu().data<long>().ToArray()[..(Classes * Classes)]);
        _lossSum.zero_();
        _counts.zero_();
        _images = 0;
        return totals;
    }

    public override void Dispose()
    {
        _lossSum.Dispose();
        _counts.Dispose();
    }
}
