namespace RepVgg.Formats.PyTorch;

/// <summary>A class or function that a pickle names; only those of <see cref="PickleGlobals"/> ever come to be.</summary>
internal sealed record PickleGlobal(string Name);

/// <summary>A stretch of values that a checkpoint holds elsewhere.</summary>
/// <param name="Type">Type of its values.</param>
/// <param name="Key">Its name within the checkpoint.</param>
/// <param name="Count">Number of values.</param>
/// <param name="ViewOffset">First value of the view, in legacy files that share storages by views; else 0.</param>
internal sealed record PickleStorage(ScalarType Type, string Key, long Count, long ViewOffset = 0);

/// <summary>A tensor: a strided window into a storage.</summary>
internal sealed record PickleTensor(PickleStorage Storage, long Offset, int[] Shape, long[] Strides)
{
    /// <summary>Number of values.</summary>
    public long Count => Shape.Aggregate(1L, (product, dimension) => product * dimension);

    /// <summary>Number of stored values from the first to the last that it uses.</summary>
    public long Extent => Count == 0 ? 0 : 1 + Shape.Zip(Strides, (dimension, stride) => (dimension - 1) * stride).Sum();
}

/// <summary>A dict or OrderedDict; entries whose key is no string are left out.</summary>
internal sealed class PickleDictionary
{
    /// <summary>Its entries in order.</summary>
    public OrderedDictionary<string, object?> Entries { get; } = new(StringComparer.Ordinal);
}

/// <summary>The globals that a checkpoint may name, all of which are inert here.</summary>
internal static class PickleGlobals
{
    public const string OrderedDictionary = "collections.OrderedDict";
    public const string RebuildTensor = "torch._utils._rebuild_tensor";
    public const string RebuildTensorV2 = "torch._utils._rebuild_tensor_v2";
    public const string RebuildParameter = "torch._utils._rebuild_parameter";
    public const string Size = "torch.Size";

    private static readonly HashSet<string> Others = new(StringComparer.Ordinal) { OrderedDictionary, RebuildTensor, RebuildTensorV2, RebuildParameter, Size };

    public static bool IsAllowed(string name) => Others.Contains(name) || StorageType(name) is not null;

    /// <summary>The type of the values of a storage class, or null.</summary>
    public static ScalarType? StorageType(string name) => name switch
    {
        "torch.FloatStorage" => ScalarType.Float32,
        "torch.HalfStorage" => ScalarType.Float16,
        "torch.BFloat16Storage" => ScalarType.BFloat16,
        "torch.DoubleStorage" => ScalarType.Float64,
        "torch.LongStorage" => ScalarType.Int64,
        "torch.IntStorage" => ScalarType.Int32,
        "torch.ShortStorage" => ScalarType.Int16,
        "torch.CharStorage" => ScalarType.Int8,
        "torch.ByteStorage" => ScalarType.UInt8,
        "torch.BoolStorage" => ScalarType.Bool,
        _ => null,
    };
}
