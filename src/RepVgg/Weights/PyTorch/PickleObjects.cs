namespace RepVgg.Weights.PyTorch;

/// <summary>A Python class or function that a pickle refers to. It is a name only; nothing is imported or called.</summary>
internal sealed record PickleGlobal(string Name);

/// <summary>A placeholder for an object that is not needed for weights. It is not built and holds no data.</summary>
/// <param name="ClassName">Full name of its class, or of the function that would have made it.</param>
internal sealed record PickleObject(string ClassName);

/// <summary>A reference to a storage: an array of values that the checkpoint contains outside the pickle.</summary>
/// <param name="Type">Type of the values.</param>
/// <param name="Key">Name of the storage in the checkpoint.</param>
/// <param name="Count">Number of values.</param>
/// <param name="ViewOffset">Index of the first value of a view in its whole storage, in legacy files with storage views; otherwise 0.</param>
internal sealed record PickleStorage(ScalarType Type, string Key, long Count, long ViewOffset = 0);

/// <summary>A tensor: a strided view of a storage. Offset and strides are in values.</summary>
internal sealed record PickleTensor(PickleStorage Storage, long Offset, int[] Shape, long[] Strides)
{
    /// <summary>Number of values of the tensor.</summary>
    public long Count => Shape.Aggregate(1L, (product, dimension) => product * dimension);

    /// <summary>Number of values in the storage from the first to the last value of the tensor, both included.</summary>
    public long Extent => Count == 0 ? 0 : 1 + Shape.Zip(Strides, (dimension, stride) => (dimension - 1) * stride).Sum();
}

/// <summary>A Python dict or OrderedDict. Entries whose key is not a string are ignored.</summary>
internal sealed class PickleDictionary
{
    private static readonly OrderedDictionary<string, object?> _none = [];

    private OrderedDictionary<string, object?>? _entries;

    /// <summary>The entries, in the order of the pickle; for reading only, because empty dictionaries share one object.</summary>
    public OrderedDictionary<string, object?> Entries => _entries ?? _none;

    /// <summary>Adds an entry, or replaces the one with this key.</summary>
    public void Set(string key, object? value) => (_entries ??= new OrderedDictionary<string, object?>(StringComparer.Ordinal))[key] = value;
}

/// <summary>The Python globals that weights consist of. None of them is executed; calls of all others give a <see cref="PickleObject"/>.</summary>
internal static class PickleGlobals
{
    public const string OrderedDictionary = "collections.OrderedDict";
    public const string DefaultDictionary = "collections.defaultdict";
    public const string RebuildTensor = "torch._utils._rebuild_tensor";
    public const string RebuildTensorV2 = "torch._utils._rebuild_tensor_v2";
    public const string RebuildParameter = "torch._utils._rebuild_parameter";
    public const string RebuildParameterWithState = "torch._utils._rebuild_parameter_with_state";
    public const string RebuildFromType = "torch._tensor._rebuild_from_type_v2";
    public const string Size = "torch.Size";

    private static readonly HashSet<string> _others = new(StringComparer.Ordinal)
    {
        OrderedDictionary, DefaultDictionary, RebuildTensor, RebuildTensorV2, RebuildParameter, RebuildParameterWithState, RebuildFromType, Size,
    };

    private static readonly HashSet<string> _reductions = new(StringComparer.Ordinal)
    {
        "copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__", "copy_reg.__newobj__", "copyreg.__newobj_ex__", "copy_reg.__newobj_ex__",
    };

    /// <summary>Whether calls of a global give weights or containers of weights.</summary>
    public static bool IsKnown(string name) => _others.Contains(name) || StorageType(name) is not null;

    /// <summary>Whether a global makes an object of the class that is its first argument.</summary>
    public static bool MakesObjectOfFirstArgument(string name) => _reductions.Contains(name);

    /// <summary>Whether a global is only a part of Python's default reduction, so that it tells nothing about the file.</summary>
    public static bool IsPartOfReduction(string name) => _reductions.Contains(name) || name is "builtins.object" or "__builtin__.object";

    /// <summary>Gets the value type of a storage class; null if the name is not that of a storage class.</summary>
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

    /// <summary>Gets the size in bytes of one value of a storage class whose values cannot be read; null if it is unknown.</summary>
    public static int? ForeignValueSize(string name) => name switch
    {
        "torch.ComplexDoubleStorage" => 16,
        "torch.ComplexFloatStorage" => 8,
        "torch.ComplexHalfStorage" or "torch.QInt32Storage" => 4,
        "torch.QInt8Storage" or "torch.QUInt8Storage" or "torch.QUInt4x2Storage" or "torch.QUInt2x4Storage" => 1,
        _ => null,
    };
}
