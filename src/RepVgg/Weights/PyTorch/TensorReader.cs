using RepVgg.Runtime.Files;

namespace RepVgg.Weights.PyTorch;

/// <summary>Reads values of a strided tensor from its storage.</summary>
internal static class TensorReader
{
    /// <summary>Reads consecutive values of a tensor. The caller must have checked that the tensor is within its storage.</summary>
    /// <param name="file">The file.</param>
    /// <param name="position">Position of the storage in the file, in bytes.</param>
    /// <param name="tensor">The tensor to read.</param>
    /// <param name="start">Index of the first value in row-major order.</param>
    /// <param name="values">Receives the values; at least one.</param>
    public static void Read(ByteSource file, long position, PickleTensor tensor, int start, Span<float> values)
    {
        int size = StorageDecoder.SizeOf(tensor.Storage.Type);
        long first = position + (tensor.Storage.ViewOffset + tensor.Offset) * size;
        if (IsContiguous(tensor))
        {
            StorageDecoder.Read(file, first + (long)start * size, tensor.Storage.Type, values);
            return;
        }

        var extent = new float[checked((int)tensor.Extent)];
        StorageDecoder.Read(file, first, tensor.Storage.Type, extent);
        Gather(tensor, extent, start, values);
    }

    private static bool IsContiguous(PickleTensor tensor)
    {
        long expected = 1;
        for (int i = tensor.Shape.Length - 1; i >= 0; i--)
        {
            if (tensor.Shape[i] != 1 && tensor.Strides[i] != expected)
                return false;
            expected *= tensor.Shape[i];
        }
        return true;
    }

    /// <summary>Copies the values at the row-major indices from <paramref name="start"/> on, which are at strided positions of the storage.</summary>
    private static void Gather(PickleTensor tensor, float[] extent, int start, Span<float> values)
    {
        var index = new int[tensor.Shape.Length];
        long source = 0;
        for (int axis = index.Length - 1, rest = start; axis >= 0; axis--)
        {
            (rest, index[axis]) = Math.DivRem(rest, tensor.Shape[axis]);
            source += tensor.Strides[axis] * index[axis];
        }
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = extent[source];
            for (int axis = index.Length - 1; axis >= 0; axis--)
            {
                source += tensor.Strides[axis];
                if (++index[axis] < tensor.Shape[axis])
                    break;
                source -= tensor.Strides[axis] * tensor.Shape[axis];
                index[axis] = 0;
            }
        }
    }
}
