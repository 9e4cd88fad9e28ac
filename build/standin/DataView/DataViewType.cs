namespace Microsoft.ML.Data;

/// <summary>The type of a column of a data view.</summary>
public abstract class DataViewType : IEquatable<DataViewType>
{
    private protected DataViewType(Type rawType)
    {
        ArgumentNullException.ThrowIfNull(rawType);
        RawType = rawType;
    }

    /// <summary>The .NET type of the values that getters of the column yield.</summary>
    public Type RawType { get; }

    public abstract bool Equals(DataViewType other);
}

/// <summary>Base of types with inner structure, such as vectors and images.</summary>
public abstract class StructuredDataViewType : DataViewType
{
    protected StructuredDataViewType(Type rawType)
        : base(rawType)
    {
    }
}

/// <summary>Base of scalar types. Values are copied by plain assignment, so they may not be disposable.</summary>
public abstract class PrimitiveDataViewType : DataViewType
{
    protected PrimitiveDataViewType(Type rawType)
        : base(rawType)
    {
        if (typeof(IDisposable).IsAssignableFrom(rawType))
        {
            throw new ArgumentException(
                "A PrimitiveDataViewType cannot have a disposable RawType", nameof(rawType));
        }
    }
}

/// <summary>Lets a member of a user's class name a data view type of its own.</summary>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Property)]
public abstract class DataViewTypeAttribute : Attribute, IEquatable<DataViewTypeAttribute>
{
    protected DataViewTypeAttribute()
    {
    }

    /// <summary>Registers the pair of .NET type and data view type with <see cref="DataViewTypeManager"/>.</summary>
    public abstract void Register();

    public abstract bool Equals(DataViewTypeAttribute other);
}
