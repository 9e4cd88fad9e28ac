using System.Globalization;
using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>The different values of a column, numbered from 1.</summary>
internal abstract class KeyMap
{
    internal abstract PrimitiveDataViewType ItemType { get; }

    internal abstract KeyDataViewType KeyType { get; }

    /// <summary>Whether values of the type can be numbered.</summary>
    internal static bool Accepts(DataViewType itemType) =>
        PrimitiveTypes.FromRaw(itemType.RawType) is not null and not RowIdDataViewType;

    internal static KeyMap Learn(
        IDataView data,
        DataViewSchema.Column column,
        int maximum,
        Transforms.ValueToKeyMappingEstimator.KeyOrdinality ordinality)
    {
        using DataViewRowCursor cursor = data.GetRowCursor([column]);
        return UntypedGetters.Call<KeyMap>(
            Learn<int>, PrimitiveTypes.ItemTypeOf(column.Type).RawType, cursor, column, maximum, ordinality);
    }

    internal static KeyMap Read(BinaryReader reader)
    {
        DataViewType type = ValueSerializer.ReadType(reader);
        return UntypedGetters.Call<KeyMap>(Read<int>, type.RawType, reader, type);
    }

    internal abstract void Write(BinaryWriter writer);

    internal abstract Delegate CreateGetter(DataViewRow row, DataViewSchema.Column column);

    internal abstract void AddKeyValues(DataViewSchema.Annotations.Builder annotations, bool asText);

    private static KeyMap Learn<T>(
        DataViewRowCursor cursor,
        DataViewSchema.Column column,
        int maximum,
        Transforms.ValueToKeyMappingEstimator.KeyOrdinality ordinality)
    {
        var seen = new HashSet<T>(Comparer<T>());
        var values = new List<T>();
        Func<IEnumerable<T>> read = Reader<T>(cursor, column);
        while (values.Count < maximum && cursor.MoveNext())
        {
            foreach (T value in read())
            {
                if (values.Count < maximum && !MissingValues.IsMissing(value) && seen.Add(value))
                {
                    values.Add(value is ReadOnlyMemory<char> text
                        ? (T)(object)text.ToString().AsMemory()
                        : value);
                }
            }
        }

        if (ordinality == Transforms.ValueToKeyMappingEstimator.KeyOrdinality.ByValue)
        {
            values.Sort(static (x, y) => x is ReadOnlyMemory<char> text && y is ReadOnlyMemory<char> other
                ? text.Span.SequenceCompareTo(other.Span)
                : System.Collections.Generic.Comparer<T>.Default.Compare(x, y));
        }

        return new Map<T>((PrimitiveDataViewType)PrimitiveTypes.ItemTypeOf(column.Type), values);
    }

    private static KeyMap Read<T>(BinaryReader reader, DataViewType type)
    {
        Func<BinaryReader, T> read = ValueSerializer.ReaderOf<T>();
        int count = reader.ReadInt32();
        var values = new List<T>();
        for (int i = 0; i < count; i++)
        {
            values.Add(read(reader));
        }

        return new Map<T>((PrimitiveDataViewType)type, values);
    }

    private static Func<IEnumerable<T>> Reader<T>(DataViewRow row, DataViewSchema.Column column)
    {
        if (column.Type is VectorDataViewType)
        {
            ValueGetter<VBuffer<T>> all = row.GetGetter<VBuffer<T>>(column);
            VBuffer<T> vector = default;
            return () =>
            {
                all(ref vector);
                return vector.DenseValues();
            };
        }

        ValueGetter<T> getter = row.GetGetter<T>(column);
        return () =>
        {
            T value = default;
            getter(ref value);
            return [value];
        };
    }

    private static IEqualityComparer<T> Comparer<T>() =>
        typeof(T) == typeof(ReadOnlyMemory<char>)
            ? (IEqualityComparer<T>)(object)TextComparer.Instance
            : EqualityComparer<T>.Default;

    private sealed class Map<T> : KeyMap
    {
        private readonly List<T> _values;
        private readonly Dictionary<T, uint> _keys = new(Comparer<T>());

        internal Map(PrimitiveDataViewType itemType, List<T> values)
        {
            ItemType = itemType;
            _values = values;
            foreach (T value in values)
            {
                _keys.Add(value, (uint)_keys.Count + 1);
            }

            KeyType = new KeyDataViewType(typeof(uint), Math.Max(1, values.Count));
        }

        internal override PrimitiveDataViewType ItemType { get; }

        internal override KeyDataViewType KeyType { get; }

        internal override void Write(BinaryWriter writer)
        {
            Action<BinaryWriter, T> write = ValueSerializer.WriterOf<T>();
            ValueSerializer.WriteType(writer, ItemType);
            writer.Write(_values.Count);
            foreach (T value in _values)
            {
                write(writer, value);
            }
        }

        internal override Delegate CreateGetter(DataViewRow row, DataViewSchema.Column column)
        {
            if (column.Type is not VectorDataViewType)
            {
                ValueGetter<T> getter = row.GetGetter<T>(column);
                T value = default;
                return (ValueGetter<uint>)((ref uint key) =>
                {
                    getter(ref value);
                    key = _keys.GetValueOrDefault(value);
                });
            }

            ValueGetter<VBuffer<T>> all = row.GetGetter<VBuffer<T>>(column);
            VBuffer<T> vector = default;
            return (ValueGetter<VBuffer<uint>>)((ref VBuffer<uint> keys) =>
            {
                all(ref vector);
                VBufferEditor<uint> editor = VBufferEditor.Create(ref keys, vector.Length);
                int i = 0;
                foreach (T value in vector.DenseValues())
                {
                    editor.Values[i++] = _keys.GetValueOrDefault(value);
                }

                keys = editor.Commit();
            });
        }

        internal override void AddKeyValues(DataViewSchema.Annotations.Builder annotations, bool asText)
        {
            if (_values.Count == 0)
            {
                return;
            }

            Delegate getter;
            PrimitiveDataViewType type = ItemType;
            if (asText && type is not TextDataViewType)
            {
                string[] texts = [.. _values.Select(value => Convert.ToString(value, CultureInfo.InvariantCulture))];
                type = TextDataViewType.Instance;
                getter = ValueReaders.Create(() => texts, new VectorDataViewType(type), keysFromZero: false);
            }
            else
            {
                T[] values = [.. _values];
                getter = ValueReaders.Create(() => values, new VectorDataViewType(type), keysFromZero: false);
            }

            annotations.Add(AnnotationKinds.KeyValues, new VectorDataViewType(type, _values.Count), getter);
        }
    }

    private sealed class TextComparer : IEqualityComparer<ReadOnlyMemory<char>>
    {
        internal static TextComparer Instance { get; } = new();

        public bool Equals(ReadOnlyMemory<char> x, ReadOnlyMemory<char> y) => x.Span.SequenceEqual(y.Span);

        public int GetHashCode(ReadOnlyMemory<char> obj) => string.GetHashCode(obj.Span);
    }
}
