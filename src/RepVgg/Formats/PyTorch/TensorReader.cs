namespace RepVgg.Formats.PyTorch;

/// <summary>Copies a strided window of a storage into values of its own.</summary>
internal static class TensorReader
{
    /// <summary>Reads a tensor whose window has been checked to lie inside its storage.</summary>
    /// <param name="stream">The file.</param>
    /// <param name="position">Where the storage begins.</param>
    /// <param name="tensor">The window.</param>
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
