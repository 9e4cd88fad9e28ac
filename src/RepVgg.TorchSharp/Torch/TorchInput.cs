using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>A batch whose copy to the device is under way.</summary>
internal sealed class TorchInput(IReadOnlyList<int> shape, torch.Tensor value) : StagedInput(shape)
{
    private torch.Tensor? _value = value;

    /// <summary>Hands the tensor over.</summary>
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
