namespace Microsoft.ML.Data;

/// <summary>From .NET types to the primitive types of data views.</summary>
internal static class PrimitiveTypes
{
    /// <summary>All of them. Files name a type by its place here, so the order stays and new ones go to the end.</summary>
    internal static readonly PrimitiveDataViewType[] All =
    [
        NumberDataViewType.SByte,
        NumberDataViewType.Byte,
        NumberDataViewType.Int16,
        NumberDataViewType.UInt16,
        NumberDataViewType.Int32,
        NumberDataViewType.UInt32,
        NumberDataViewType.Int64,
        NumberDataViewType.UInt64,
        NumberDataViewType.Single,
        NumberDataViewType.Double,
        TextDataViewType.Instance,
        BooleanDataViewType.Instance,
        TimeSpanDataViewType.Instance,
        DateTimeDataViewType.Instance,
        DateTimeOffsetDataViewType.Instance,
        RowIdDataViewType.Instance,
    ];

    private static readonly Dictionary<Type, PrimitiveDataViewType> _byRawType = All.ToDictionary(type => type.RawType);

    /// <summary>The primitive type whose values are of <paramref name="rawType"/>; null where there is none.</summary>
    internal static PrimitiveDataViewType FromRaw(Type rawType) => _byRawType.GetValueOrDefault(rawType);

    /// <summary>The type of a vector's items, or the type itself.</summary>
    internal static DataViewType ItemTypeOf(DataViewType type) => type is VectorDataViewType vector ? vector.ItemType : type;
}
