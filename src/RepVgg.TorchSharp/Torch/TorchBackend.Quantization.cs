using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>The operations of quantization-aware training. Everything stays on the device, so that a step does not wait for it.</summary>
internal sealed partial class TorchBackend
{
    private protected override Tensor FakeQuantizeCore(Tensor activation, Tensor bounds, float momentum) => Run(() =>
    {
        using var scope = torch.NewDisposeScope();
        using var smallest = ((float)byte.MinValue).ToScalar();
        using var largest = ((float)byte.MaxValue).ToScalar();
        var x = ToSinglePrecision(Value(activation));
        torch.Tensor rounded, inside;
        using (torch.no_grad())
        {
            var range = Value(bounds);
            if (momentum > 0)
                MoveBounds(range, x, momentum);
            var (low, high) = (range[0], range[1]);
            var scale = (high - low) / largest;
            var zero = (-low / scale).round().clamp(smallest, largest);
            var levels = (x / scale).round().Plus(zero);
            var isEmpty = scale == smallest;
            inside = ((levels >= smallest) & (levels <= largest)) | isEmpty;
            rounded = torch.where(isEmpty, x, (levels.clamp(smallest, largest) - zero) * scale);
        }
        // Straight through: the difference is 0, and its gradient is that of x.
        var passed = x * inside;
        return rounded.Plus(passed - passed.detach()).MoveToOuterDisposeScope();
    });

    private protected override Tensor QuantizationErrorCore(Tensor weights, int largest) => Run(
        () =>
        {
            using var scope = torch.NewDisposeScope();
            using var mode = torch.no_grad();
            using var none = 0f.ToScalar();
            using var levels = ((float)largest).ToScalar();
            var w = ToSinglePrecision(Value(weights));
            long[] perOutput = [w.shape[0], .. Enumerable.Repeat(1L, w.shape.Length - 1)];
            var bound = w.reshape(w.shape[0], -1).abs().amax([1]).reshape(perOutput);
            var scale = torch.where(bound == none, torch.ones_like(bound), bound / levels);
            return ((w / scale).round() * scale - w).MoveToOuterDisposeScope();
        },
        isKernel: true);

    /// <summary>Moves the bounds of a range towards those of a batch, which replace the bounds 0 and 0.</summary>
    private static void MoveBounds(torch.Tensor range, torch.Tensor values, float momentum)
    {
        using var none = 0f.ToScalar();
        var batch = torch.stack([values.min().clamp_max(none), values.max().clamp_min(none)]);
        range.copy_(torch.where((range == none).all(), batch, range.Plus(Multiply(batch - range, momentum))));
    }
}
