using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>A batch on the device; the asynchronous copy to the device may still be running.</summary>
internal sealed class TorchInput(IReadOnlyList<int> shape, torch.Tensor value) : StagedInput(shape)
{
    private torch.Tensor? _value = value;

    /// <summary>Returns the tensor and transfers its ownership to the caller.</summary>
    public torch.Tensor Take()
    {
        var taken = _value ?? throw new InvalidOperationException("The batch was taken or disposed already.");
        _value = null;
        return taken;
    }

    public override void Dispose()
    {
        _value?.Dispose();
        _value = null;
    }
}
