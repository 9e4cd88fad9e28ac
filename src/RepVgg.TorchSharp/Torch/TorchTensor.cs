using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>A tensor of libtorch. Parameters and buffers may be moved into a <see cref="FlatStorage"/>, so what is behind the handle can change.</summary>
internal sealed class TorchTensor : Tensor
{
    private readonly int[] _shape;
    private torch.Tensor? _value;

    public TorchTensor(TorchBackend backend, torch.Tensor value, TensorRole role)
    {
        Backend = backend;
        Role = role;
        _value = value;
        _shape = Array.ConvertAll(value.shape, dimension => (int)dimension);
    }

    public TorchBackend Backend { get; }

    public TensorRole Role { get; }

    /// <summary>The flat tensor that this one is a part of, if any.</summary>
    public FlatStorage? Home { get; set; }

    public override IReadOnlyList<int> Shape => _shape;

    public long Count => _shape.Aggregate(1L, (product, dimension) => product * dimension);

    public torch.Tensor Value => _value ?? throw new ObjectDisposedException(nameof(Tensor), "The tensor was disposed.");

    /// <summary>Puts other memory behind the handle.</summary>
    public void Rebind(torch.Tensor value, FlatStorage home)
    {
        Value.Dispose();
        (_value, Home) = (value, home);
    }

    /// <summary>Gives up the handle; what backward still needs stays until it has run.</summary>
    public override void Dispose()
    {
        if (_value is null)
            return;
        _value.Dispose();
        _value = null;
        Home = null;
        Backend.Forget(this);
    }
}
