using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>From the types of members of users' classes to data view types.</summary>
internal static class ColumnTypes
{
    /// <summary>The type of a field or property.</summary>
    internal static Type TypeOf(MemberInfo member) =>
        member is FieldInfo field ? field.FieldType : ((PropertyInfo)member).PropertyType;

    /// <summary>The raw type of the items behind a member, and whether the member is a vector of them.</summary>
    internal static Type ItemTypeOf(Type memberType, out bool isVector)
    {
        isVector = true;
        Type item;
        if (memberType.IsArray)
        {
            item = memberType.GetElementType();
        }
        else if (memberType.IsGenericType && memberType.GetGenericTypeDefinition() == typeof(VBuffer<>))
        {
            item = memberType.GetGenericArguments()[0];
        }
        else
        {
            isVector = false;
            item = memberType;
        }

        return item == typeof(string) ? typeof(ReadOnlyMemory<char>) : item;
    }

    /// <summary>The column type that a member declares by its type and its attributes.</summary>
    internal static DataViewType ColumnTypeOf(MemberInfo member)
    {
        if (CustomTypeOf(member) is DataViewType custom)
        {
            return custom;
        }

        Type itemType = ItemTypeOf(TypeOf(member), out bool isVector);
        PrimitiveDataViewType item = PrimitiveTypes.FromRaw(itemType);
        Check.Param(
            item is not null,
            "rawType",
            $"Could not determine an IDataView type and registered custom types for member {member.Name}");
        if (member.GetCustomAttribute<KeyTypeAttribute>() is KeyTypeAttribute key)
        {
            Check.Param(
                KeyDataViewType.IsValidDataType(itemType),
                "userType",
                $"Member {member.Name} marked with KeyType attribute, but does not appear to be a valid kind of data for a key type");
            item = new KeyDataViewType(itemType, key.Count);
        }

        VectorTypeAttribute vector = member.GetCustomAttribute<VectorTypeAttribute>();
        Check.Param(
            vector is null || isVector,
            "userType",
            $"Member {member.Name} marked with VectorTypeAttribute, but does not appear to be a vector type");
        if (!isVector)
        {
            return item;
        }

        return vector is { Dimensions.Length: > 0 }
            ? new VectorDataViewType(item, vector.Dimensions)
            : new VectorDataViewType(item);
    }

    /// <summary>The registered data view type of a member with a custom type, or null.</summary>
    private static DataViewType CustomTypeOf(MemberInfo member)
    {
        DataViewTypeAttribute[] attributes = [.. member.GetCustomAttributes<DataViewTypeAttribute>()];
        Check.Param(
            attributes.Length <= 1,
            "userType",
            $"Member {member.Name} cannot be marked with multiple attributes derived from {typeof(DataViewTypeAttribute)}.");
        DataViewTypeAttribute attribute = attributes.FirstOrDefault();
        attribute?.Register();
        Type itemType = ItemTypeOf(TypeOf(member), out bool isVector);
        return isVector ? null : DataViewTypeManager.FindOrNull(itemType, attribute);
    }
}
