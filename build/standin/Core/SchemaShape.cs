using System.Collections;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>What is known of a schema before any data is seen.</summary>
public sealed class SchemaShape : IReadOnlyList<SchemaShape.Column>
{
    private readonly Column[] _columns;

    public SchemaShape(IEnumerable<Column> columns)
    {
        ArgumentNullException.ThrowIfNull(columns);
        _columns = [.. columns];
        if (_columns.Any(column => !column.IsValid))
        {
            throw new ArgumentOutOfRangeException(nameof(columns), "Some items are not initialized properly.");
        }
    }

    public int Count => _columns.Length;

    public Column this[int index] => _columns[index];

    internal static SchemaShape Empty { get; } = new([]);

    public IEnumerator<Column> GetEnumerator() => ((IEnumerable<Column>)_columns).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The shape of a schema: its columns that are not hidden, with their annotations.</summary>
    internal static SchemaShape Create(DataViewSchema schema)
    {
        ArgumentNullException.ThrowIfNull(schema);
        return new SchemaShape(
            from column in schema
            where !column.IsHidden
            select Column.Of(column.Name, column.Type, Of(column.Annotations)));
    }

    /// <summary>The shape of annotations.</summary>
    internal static SchemaShape Of(DataViewSchema.Annotations annotations) =>
        annotations.Schema.Count == 0
            ? Empty
            : new SchemaShape(annotations.Schema.Select(kind => Column.Of(kind.Name, kind.Type)));

    internal bool TryFindColumn(string name, out Column column)
    {
        column = _columns.FirstOrDefault(candidate => candidate.Name == name);
        return column.IsValid;
    }

    /// <summary>This shape with columns replaced by name, or appended where the name is new.</summary>
    internal SchemaShape With(params IEnumerable<Column> columns)
    {
        var result = new List<Column>(_columns);
        foreach (Column column in columns)
        {
            int at = result.FindIndex(candidate => candidate.Name == column.Name);
            if (at < 0)
            {
                result.Add(column);
            }
            else
            {
                result[at] = column;
            }
        }

        return new SchemaShape(result);
    }

    /// <summary>What is known of one column.</summary>
    public struct Column
    {
        public readonly string Name;
        public readonly VectorKind Kind;

        /// <summary>The type of the items; for keys the integer type behind them.</summary>
        public readonly DataViewType ItemType;
        public readonly bool IsKey;
        public readonly SchemaShape Annotations;

        internal Column(string name, VectorKind kind, DataViewType itemType, bool isKey, SchemaShape annotations = null)
        {
            if (itemType is KeyDataViewType or VectorDataViewType)
            {
                throw new ArgumentOutOfRangeException(nameof(itemType), "Item type cannot be a key or a vector");
            }

            Name = name;
            Kind = kind;
            ItemType = itemType;
            IsKey = isKey;
            Annotations = annotations ?? Empty;
        }

        public enum VectorKind
        {
            Scalar = 0,
            Vector = 1,
            VariableVector = 2,
        }

        internal bool IsValid => Name is not null;

        /// <summary>The shape of a column of the given type.</summary>
        internal static Column Of(string name, DataViewType type, SchemaShape annotations = null)
        {
            VectorKind kind = VectorKind.Scalar;
            DataViewType item = type;
            if (type is VectorDataViewType vector)
            {
                kind = vector.IsKnownSize ? VectorKind.Vector : VectorKind.VariableVector;
                item = vector.ItemType;
            }

            bool isKey = item is KeyDataViewType;
            return new Column(name, kind, isKey ? PrimitiveTypes.FromRaw(item.RawType) : item, isKey, annotations);
        }

        /// <summary>Whether a column of shape <paramref name="source"/> can be used where this one is required.</summary>
        internal bool IsCompatibleWith(Column source)
        {
            if (Name != source.Name || Kind != source.Kind || IsKey != source.IsKey || !ItemType.Equals(source.ItemType))
            {
                return false;
            }

            foreach (Column required in Annotations)
            {
                if (!source.Annotations.TryFindColumn(required.Name, out Column given) || !required.IsCompatibleWith(given))
                {
                    return false;
                }
            }

            return true;
        }

        /// <summary>The shape in the words of error messages, such as "Vector&lt;Single&gt;".</summary>
        internal string GetTypeString()
        {
            string text = IsKey ? $"Key<{ItemType}>" : ItemType.ToString();
            return Kind switch
            {
                VectorKind.Vector => $"Vector<{text}>",
                VectorKind.VariableVector => $"VarVector<{text}>",
                _ => text,
            };
        }
    }
}
