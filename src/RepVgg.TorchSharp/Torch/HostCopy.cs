using System.Runtime.InteropServices;
using RepVgg.Weights;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Copies between managed memory and contiguous single-precision tensors on the CPU.</summary>
internal static class HostCopy
{
    // Number of floats per copy, 1 GiB. TorchSharp exposes tensor memory as a span of bytes, whose length must be below 2 GiB.
    private const int Chunk = 1 << 28;

    /// <summary>Creates a CPU tensor with a copy of the values.</summary>
    public static torch.Tensor ToTensor(ReadOnlySpan<int> shape, ReadOnlySpan<float> values)
    {
        long count = 1;
        var dimensions = new long[shape.Length];
        for (int i = 0; i < shape.Length; i++)
            count *= dimensions[i] = shape[i];
        if (count != values.Length)
            throw new ArgumentException($"A tensor of shape [{string.Join(", ", dimensions)}] holds {count} values, not {values.Length}.", nameof(values));
        var tensor = torch.empty(dimensions, torch.ScalarType.Float32, torch.CPU);
        if (count <= Chunk)
        {
            MemoryMarshal.AsBytes(values).CopyTo(tensor.bytes);
            return tensor;
        }
        using var flat = tensor.view(-1);
        for (int start = 0; start < values.Length; start += Chunk)
        {
            var part = values[start..Math.Min(values.Length, start + Chunk)];
            using var target = flat.narrow(0, start, part.Length);
            MemoryMarshal.AsBytes(part).CopyTo(target.bytes);
        }
        return tensor;
    }

    /// <summary>Creates a tensor that shares managed memory without copying. The memory is pinned until the tensor is disposed. Memory that is not an array, or is empty, is copied.</summary>
    public static torch.Tensor View(ReadOnlySpan<int> shape, ReadOnlyMemory<float> values)
    {
        if (values.Length > 0 && MemoryMarshal.TryGetArray(values, out var segment))
        {
            using var flat = torch.frombuffer(segment.Array!, torch.ScalarType.Float32, segment.Count, segment.Offset);
            return flat.view(Array.ConvertAll(shape.ToArray(), dimension => (long)dimension));
        }
        return ToTensor(shape, values.Span);
    }

    /// <summary>Copies the values of a tensor of any device, data type and strides, in row-major order.</summary>
    public static void FromTensor(torch.Tensor source, Span<float> values)
    {
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        if (source.NumberOfElements != values.Length)
            throw new ArgumentException($"The tensor holds {source.NumberOfElements} values, not {values.Length}.", nameof(values));
        var flat = source.to(torch.ScalarType.Float32).cpu().contiguous().view(-1);
        for (int start = 0; start < values.Length; start += Chunk)
        {
            int length = Math.Min(values.Length - start, Chunk);
            flat.narrow(0, start, length).bytes.CopyTo(MemoryMarshal.AsBytes(values.Slice(start, length)));
        }
    }
}
