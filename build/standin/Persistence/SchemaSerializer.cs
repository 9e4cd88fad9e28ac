using System.Text;
using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Schemas with their annotations in binary form. Columns of types that cannot be written are left out.</summary>
internal static class SchemaSerializer
{
    internal static byte[] ToBytes(DataViewSchema schema)
    {
        var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, Encoding.UTF8, leaveOpen: true))
        {
            Write(writer, [.. schema.Where(column => ValueSerializer.CanWrite(column.Type))]);
        }

        return stream.ToArray();
    }

    internal static DataViewSchema FromBytes(byte[] bytes)
    {
        try
        {
            using var reader = new BinaryReader(new MemoryStream(bytes), Encoding.UTF8);
            return Read(reader);
        }
        catch (EndOfStreamException e)
        {
            throw new FormatException("Corrupt model file: the schema ends too early.", e);
        }
    }

    internal static void Write(BinaryWriter writer, IReadOnlyCollection<DataViewSchema.Column> columns)
    {
        writer.Write(columns.Count);
        foreach (DataViewSchema.Column column in columns)
        {
            writer.Write(column.Name);
            ValueSerializer.WriteType(writer, column.Type);
            DataViewSchema.Column[] kinds =
                [.. column.Annotations.Schema.Where(kind => ValueSerializer.CanWrite(kind.Type))];
            writer.Write(kinds.Length);
            foreach (DataViewSchema.Column kind in kinds)
            {
                writer.Write(kind.Name);
                ValueSerializer.WriteType(writer, kind.Type);
                ValueSerializer.CreateWriter(AnnotationGetters.Untyped(column.Annotations, kind), kind.Type)(writer);
            }
        }
    }

    internal static DataViewSchema Read(BinaryReader reader)
    {
        var schema = new DataViewSchema.Builder();
        int columns = reader.ReadInt32();
        for (int i = 0; i < columns; i++)
        {
            string name = reader.ReadString();
            DataViewType type = ValueSerializer.ReadType(reader);
            var annotations = new DataViewSchema.Annotations.Builder();
            int kinds = reader.ReadInt32();
            for (int j = 0; j < kinds; j++)
            {
                string kind = reader.ReadString();
                DataViewType kindType = ValueSerializer.ReadType(reader);
                (Action<BinaryReader> next, Delegate getter) = ValueSerializer.CreateReader(kindType);
                next(reader);
                annotations.Add(kind, kindType, getter);
            }

            schema.AddColumn(name, type, annotations.ToAnnotations());
        }

        return schema.ToSchema();
    }
}
