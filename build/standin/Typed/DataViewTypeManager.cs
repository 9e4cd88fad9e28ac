namespace Microsoft.ML.Data;

/// <summary>Pairs of .NET types and the data view types that stand for them, beyond the built-in ones.</summary>
public static class DataViewTypeManager
{
    private static readonly Lock _lock = new();
    private static readonly Dictionary<(Type, DataViewTypeAttribute), DataViewType> _byRawType = [];
    private static readonly Dictionary<DataViewType, (Type, DataViewTypeAttribute)> _byDataViewType = [];

    public static void Register(DataViewType dataViewType, Type type, DataViewTypeAttribute typeAttribute = null)
    {
        Check.Param(
            PrimitiveTypes.FromRaw(type) is null && type != typeof(string),
            nameof(type),
            $"Type {type} has been registered as ML.NET's default supported type, so it can't not be registered again.");
        (Type, DataViewTypeAttribute) raw = (type, typeAttribute);
        lock (_lock)
        {
            if (_byRawType.TryGetValue(raw, out DataViewType other) && !other.Equals(dataViewType))
            {
                throw new ArgumentOutOfRangeException(
                    nameof(type),
                    $"Repeated type register. The raw type {type} has been associated with {other} so it cannot be associated with {dataViewType}.");
            }

            if (_byDataViewType.TryGetValue(dataViewType, out (Type, DataViewTypeAttribute) known) && !known.Equals(raw))
            {
                throw new ArgumentOutOfRangeException(
                    nameof(dataViewType),
                    $"Repeated type register. The DataView type {dataViewType} has been associated with {known.Item1} so it cannot be associated with {type}.");
            }

            _byRawType[raw] = dataViewType;
            _byDataViewType[dataViewType] = raw;
        }
    }

    [Obsolete("This API is deprecated, please use the new form of Register which takes in a single DataViewTypeAttribute instead.", false)]
    public static void Register(DataViewType dataViewType, Type type, IEnumerable<Attribute> typeAttributes)
    {
        Attribute[] attributes = [.. typeAttributes ?? []];
        Check.Param(attributes.Length <= 1, nameof(type), $"Type {type} has too many attributes.");
        Check.Param(
            attributes.All(attribute => attribute is DataViewTypeAttribute),
            nameof(type),
            $"Type {type} has an attribute that is not of DataViewTypeAttribute.");
        Register(dataViewType, type, attributes.FirstOrDefault() as DataViewTypeAttribute);
    }

    /// <summary>The data view type of a .NET type with the given attribute, or null.</summary>
    internal static DataViewType FindOrNull(Type type, DataViewTypeAttribute attribute)
    {
        lock (_lock)
        {
            return _byRawType.GetValueOrDefault((type, attribute));
        }
    }
}
