using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>The values behind the keys of a label column: what its classes are called.</summary>
internal sealed class ClassNames
{
    private ClassNames(VectorDataViewType type, Delegate getter)
    {
        Type = type;
        Getter = getter;
    }

    /// <summary>The type of the values together; null where the classes have no names.</summary>
    internal VectorDataViewType Type { get; }

    /// <summary>A getter of the values together.</summary>
    internal Delegate Getter { get; }

    /// <summary>The names that a label column's annotations give.</summary>
    internal static ClassNames Of(DataViewSchema.Column label)
    {
        if (label.Annotations.Schema.GetColumnOrNull(AnnotationKinds.KeyValues) is not DataViewSchema.Column values
            || values.Type is not VectorDataViewType type
            || !ValueSerializer.CanWrite(type))
        {
            return new ClassNames(null, null);
        }

        return UntypedGetters.Call<ClassNames>(Get<int>, type.ItemType.RawType, label.Annotations, values);
    }

    internal static ClassNames Load(BinaryReader reader)
    {
        if (!reader.ReadBoolean())
        {
            return new ClassNames(null, null);
        }

        DataViewType type = ValueSerializer.ReadType(reader);
        (Action<BinaryReader> next, Delegate getter) = ValueSerializer.CreateReader(type);
        next(reader);
        return new ClassNames((VectorDataViewType)type, getter);
    }

    internal void Save(BinaryWriter writer)
    {
        writer.Write(Type is not null);
        if (Type is not null)
        {
            ValueSerializer.WriteType(writer, Type);
            ValueSerializer.CreateWriter(Getter, Type)(writer);
        }
    }

    private static ClassNames Get<T>(DataViewSchema.Annotations annotations, DataViewSchema.Column values) =>
        new((VectorDataViewType)values.Type, annotations.GetGetter<VBuffer<T>>(values));
}
