using System.Collections;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace RepVgg.Weights;

/// <summary>Named tensors in the order in which they were added, like PyTorch's state_dict.</summary>
/// <remarks>
/// Names are those of the original RepVGG code (<c>stage1.0.rbr_dense.conv.weight</c>), in the training and the
/// deploy form. The readers and writers of all weights formats of this library use this type.
/// </remarks>
public sealed class StateDict : IEnumerable<KeyValuePair<string, TensorData>>
{
    private readonly OrderedDictionary<string, TensorData> _tensors = [];

    /// <summary>The number of tensors.</summary>
    public int Count => _tensors.Count;

    /// <summary>The names, in order.</summary>
    public IEnumerable<string> Names => _tensors.Keys;

    /// <summary>Gets, adds or replaces a tensor.</summary>
    /// <param name="name">The tensor's full name.</param>
    /// <exception cref="KeyNotFoundException">The getter throws it if there is no tensor with this name.</exception>
    public TensorData this[string name]
    {
        get => _tensors.TryGetValue(name, out var tensor)
            ? tensor
            : throw new KeyNotFoundException($"The weights contain no tensor named '{name}'.");
        set => _tensors[name] = value ?? throw new ArgumentNullException(nameof(value));
    }

    /// <summary>Whether there is a tensor with a given name.</summary>
    /// <param name="name">The tensor's full name.</param>
    /// <returns>True if there is one.</returns>
    public bool Contains(string name) => _tensors.ContainsKey(name);

    /// <summary>Gets the tensor with a given name, if there is one.</summary>
    /// <param name="name">The tensor's full name.</param>
    /// <param name="tensor">Receives the tensor, or null if there is none.</param>
    /// <returns>True if there is one.</returns>
    public bool TryGet(string name, [MaybeNullWhen(false)] out TensorData tensor) => _tensors.TryGetValue(name, out tensor);

    /// <summary>Loads the values of all tensors into memory, so that the file can be closed.</summary>
    internal StateDict LoadAll()
    {
        foreach (var tensor in _tensors.Values)
            _ = tensor.Values;
        return this;
    }

    /// <summary>Computes the SHA-256 hash of all names, shapes and values, as a hexadecimal string.</summary>
    internal string Hash()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var (name, tensor) in _tensors)
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"{name}{tensor}"));
            hash.AppendData(MemoryMarshal.AsBytes(tensor.Read().AsSpan()));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, TensorData>> GetEnumerator() => _tensors.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
