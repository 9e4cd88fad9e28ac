using RepVgg.Backends;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>A libtorch tensor. Parameters and buffers can be moved into a <see cref="FlatStorage"/>, which replaces the underlying <see cref="torch.Tensor"/>.</summary>
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

    /// <summary>Whether the tensor is a parameter, a buffer or an input, and not the result of an operation.</summary>
    public bool IsLeaf { get; init; }

    internal override TensorRole Role { get; }

    internal override bool IsReleased => _value is null || _value.IsInvalid;

    internal override bool RetainsGradient => IsLeaf && Value.requires_grad;

    /// <summary>The flat storage that contains the values of this tensor, or null.</summary>
    public FlatStorage? Storage { get; set; }

    public override IReadOnlyList<int> Shape => _shape;

    public long Count => _shape.Aggregate(1L, (product, dimension) => product * dimension);

    public torch.Tensor Value => _value ?? throw new ObjectDisposedException(nameof(Tensor), "The tensor was disposed.");

    /// <summary>Replaces the underlying tensor by a view of a flat storage.</summary>
    public void ReplaceValue(torch.Tensor value, FlatStorage storage)
    {
        Value.Dispose();
        (_value, Storage) = (value, storage);
    }

    /// <summary>Disposes the tensor handle. libtorch keeps memory that a later backward pass needs.</summary>
    public override void Dispose()
    {
        if (_value is null)
            return;
        _value.Dispose();
        _value = null;
        Storage = null;
        Backend.Unregister(this);
    }
}
