using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>Keeps the values of an input column for the rows of a batch, so that they can be read after the input cursor has moved on.</summary>
internal abstract class BufferedColumn
{
    /// <summary>Whether values of a type can be kept: numbers, keys, dates, text, and vectors of these. Other types, such as images, may be valid only while their row is current.</summary>
    public static bool CanKeep(DataViewType type) =>
        CanKeepItem(type is VectorDataViewType vector ? vector.ItemType.RawType : type.RawType);

    /// <summary>Creates the buffer of a column whose type <see cref="CanKeep"/>.</summary>
    /// <param name="row">The row or cursor, in which the column is active.</param>
    /// <param name="column">The column.</param>
    /// <param name="capacity">Maximum number of rows of a batch.</param>
    public static BufferedColumn Create(DataViewRow row, DataViewSchema.Column column, int capacity)
    {
        var buffer = column.Type is VectorDataViewType vector
            ? typeof(VectorBuffer<>).MakeGenericType(vector.ItemType.RawType)
            : typeof(ValueBuffer<>).MakeGenericType(column.Type.RawType);
        return (BufferedColumn)Activator.CreateInstance(buffer, BindingFlags.DoNotWrapExceptions | BindingFlags.Public | BindingFlags.Instance, null, [row, column, capacity], null)!;
    }

    /// <summary>Copies the value of the current row.</summary>
    /// <param name="index">Index of the row in the batch.</param>
    public abstract void Read(int index);

    /// <summary>Creates a getter of the kept values: a ValueGetter of the column's raw type.</summary>
    /// <param name="index">Returns the index of the row in the batch.</param>
    public abstract Delegate CreateGetter(Func<int> index);

    private static bool CanKeepItem(Type type) =>
        type == typeof(ReadOnlyMemory<char>) || (type.IsValueType && !ContainsReferences(type));

    private static bool ContainsReferences(Type type) =>
        (bool)typeof(RuntimeHelpers).GetMethod(nameof(RuntimeHelpers.IsReferenceOrContainsReferences))!.MakeGenericMethod(type).Invoke(null, null)!;

    /// <summary>Copies text that is not a string, because the source may use its memory again for the next row.</summary>
    private static ReadOnlyMemory<char> Keep(ReadOnlyMemory<char> text) =>
        MemoryMarshal.TryGetString(text, out _, out _, out _) ? text : text.ToString().AsMemory();

    private sealed class ValueBuffer<T>(DataViewRow row, DataViewSchema.Column column, int capacity) : BufferedColumn
    {
        private readonly ValueGetter<T> _getter = row.GetGetter<T>(column);
        private readonly T[] _values = new T[capacity];

        public override void Read(int index)
        {
            _getter(ref _values[index]);
            if (_values is ReadOnlyMemory<char>[] texts)
                texts[index] = Keep(texts[index]);
        }

        public override Delegate CreateGetter(Func<int> index) => (ValueGetter<T>)((ref T value) => value = _values[index()]);
    }

    private sealed class VectorBuffer<T>(DataViewRow row, DataViewSchema.Column column, int capacity) : BufferedColumn
    {
        private readonly ValueGetter<VBuffer<T>> _getter = row.GetGetter<VBuffer<T>>(column);
        private readonly VBuffer<T>[] _values = new VBuffer<T>[capacity];

        public override void Read(int index)
        {
            ref var vector = ref _values[index];
            _getter(ref vector);
            if (typeof(T) != typeof(ReadOnlyMemory<char>))
                return;
            var editor = VBufferEditor.CreateFromBuffer(ref vector);
            foreach (ref var item in editor.Values)
            {
                ref var text = ref Unsafe.As<T, ReadOnlyMemory<char>>(ref item);
                text = Keep(text);
            }
        }

        public override Delegate CreateGetter(Func<int> index) => (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) => _values[index()].CopyTo(ref value));
    }
}
