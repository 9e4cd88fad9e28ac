namespace RepVgg.Weights.PyTorch;

/// <summary>Reads a strided tensor from its storage into a contiguous array.</summary>
internal static class TensorReader
{
    /// <summary>Reads a tensor. The caller must have checked that the tensor is within its storage.</summary>
    /// <param name="stream">Seekable stream with the file.</param>
    /// <param name="position">Position of the storage in the stream, in bytes.</param>
    /// <param name="tensor">The tensor to read.</param>
    public static float[] Read(Stream stream, long position, PickleTensor tensor)
    {
        var values = new float[tensor.Count];
        if (values.Length == 0)
            return values;
        int size = StorageDecoder.SizeOf(tensor.Storage.Type);
        long first = position + (tensor.Storage.ViewOffset + tensor.Offset) * size;
        if (IsContiguous(tensor))
        {
            StorageDecoder.Read(stream, first, tensor.Storage.Type, values);
            return values;
        }

        var window = new float[checked((int)tensor.Extent)];
        StorageDecoder.Read(stream, first, tensor.Storage.Type, window);
        Gather(tensor, window, values);
        return values;
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

    private static void Gather(PickleTensor tensor, float[] window, float[] values)
    {
        var index = new int[tensor.Shape.Length];
        long source = 0;
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = window[source];
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
