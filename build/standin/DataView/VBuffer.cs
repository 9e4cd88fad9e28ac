using System.Collections;

namespace Microsoft.ML.Data;

/// <summary>A vector value, dense or sparse, whose memory is meant to be used again from row to row.</summary>
public readonly struct VBuffer<T> : IEnumerable
{
    private readonly T[] _values;
    private readonly int[] _indices;
    private readonly int _count;

    /// <summary>The logical length, zeros of sparse vectors counted.</summary>
    public readonly int Length;

    public VBuffer(int length, T[] values, int[] indices = null)
        : this(length, length, values, indices)
    {
    }

    public VBuffer(int length, int count, T[] values, int[] indices)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (count < 0 || count > length)
        {
            throw new ArgumentOutOfRangeException(nameof(count));
        }

        if ((values?.Length ?? 0) < count)
        {
            throw new ArgumentOutOfRangeException(nameof(values));
        }

        if (count < length && (indices?.Length ?? 0) < count)
        {
            throw new ArgumentOutOfRangeException(nameof(indices));
        }

        Length = length;
        _count = count;
        _values = values;
        _indices = indices;
    }

    public bool IsDense => _count == Length;

    public ReadOnlySpan<T> GetValues() => _values.AsSpan(0, _count);

    public ReadOnlySpan<int> GetIndices() => IsDense ? default : _indices.AsSpan(0, _count);

    public static void Copy(T[] source, int sourceIndex, ref VBuffer<T> destination, int length)
    {
        ReadOnlySpan<T> from = source.AsSpan(sourceIndex, length);
        VBufferEditor<T> editor = VBufferEditor.Create(ref destination, length);
        from.CopyTo(editor.Values);
        destination = editor.Commit();
    }

    public void CopyTo(Span<T> destination) => CopyTo(destination, 0);

    public void CopyTo(Span<T> destination, int destinationIndex, T defaultValue = default)
    {
        if (destinationIndex < 0 || destinationIndex > destination.Length - Length)
        {
            throw new ArgumentOutOfRangeException(nameof(destination), "Not large enough to hold these values.");
        }

        Span<T> target = destination.Slice(destinationIndex, Length);
        if (IsDense)
        {
            GetValues().CopyTo(target);
            return;
        }

        target.Fill(_count == 0 ? default : defaultValue);
        for (int i = 0; i < _count; i++)
        {
            target[_indices[i]] = _values[i];
        }
    }

    public void CopyTo(ref VBuffer<T> destination)
    {
        VBufferEditor<T> editor = VBufferEditor.Create(ref destination, Length, _count);
        GetValues().CopyTo(editor.Values);
        if (!IsDense)
        {
            GetIndices().CopyTo(editor.Indices);
        }

        destination = editor.Commit();
    }

    public void CopyTo(ref VBuffer<T> destination, int sourceIndex, int length)
    {
        if (sourceIndex < 0 || sourceIndex > Length)
        {
            throw new ArgumentOutOfRangeException(nameof(sourceIndex));
        }

        if (length < 0 || length > Length - sourceIndex)
        {
            throw new ArgumentOutOfRangeException(nameof(length));
        }

        if (IsDense)
        {
            VBufferEditor<T> dense = VBufferEditor.Create(ref destination, length);
            _values.AsSpan(sourceIndex, length).CopyTo(dense.Values);
            destination = dense.Commit();
            return;
        }

        int from = LowerBound(sourceIndex);
        int count = LowerBound(sourceIndex + length) - from;
        VBufferEditor<T> editor = VBufferEditor.Create(ref destination, length, count);
        _values.AsSpan(from, count).CopyTo(editor.Values);
        if (count < length)
        {
            for (int i = 0; i < count; i++)
            {
                editor.Indices[i] = _indices[from + i] - sourceIndex;
            }
        }

        destination = editor.Commit();
    }

    public void CopyToDense(ref VBuffer<T> destination)
    {
        VBufferEditor<T> editor = VBufferEditor.Create(ref destination, Length);
        CopyTo(editor.Values);
        destination = editor.Commit();
    }

    public T GetItemOrDefault(int index)
    {
        if ((uint)index >= (uint)Length)
        {
            throw new ArgumentOutOfRangeException(nameof(index));
        }

        if (IsDense)
        {
            return _values[index];
        }

        int at = LowerBound(index);
        return at < _count && _indices[at] == index ? _values[at] : default;
    }

    public void GetItemOrDefault(int index, ref T destination) => destination = GetItemOrDefault(index);

    public IEnumerable<KeyValuePair<int, T>> Items(bool all = false)
    {
        VBuffer<T> self = this;
        return self.IsDense || all ? self.EveryItem() : self.ExplicitItems();
    }

    public IEnumerable<T> DenseValues() => EveryItem().Select(item => item.Value);

    public IEnumerator GetEnumerator() => (_values ?? []).GetEnumerator();

    public override string ToString() =>
        IsDense ? $"Dense vector of size {Length}" : $"Sparse vector of size {Length}, {_count} explicit values";

    internal VBufferEditor<T> Edit(
        int length, int count, int capacity, bool keepOld, bool indicesOnDense)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length, "newLogicalLength");
        if (count < 0 || count > length)
        {
            throw new ArgumentOutOfRangeException("valuesCount");
        }

        T[] values = Grow(_values, count, capacity, keepOld, out bool newValues);
        int[] indices = _indices;
        bool newIndices = false;
        if (count < length || indicesOnDense)
        {
            indices = Grow(_indices, count, capacity, keepOld, out newIndices);
        }

        return new VBufferEditor<T>(length, count, values, indices, indicesOnDense, newValues, newIndices);
    }

    internal VBufferEditor<T> Edit() => Edit(Length, _count, int.MaxValue, keepOld: false, indicesOnDense: false);

    private static TItem[] Grow<TItem>(TItem[] array, int needed, int capacity, bool keepOld, out bool created)
    {
        created = (array?.Length ?? 0) < needed;
        if (!created)
        {
            return array;
        }

        int size = Math.Max(needed, Math.Min(capacity, Math.Max(4, array is null ? needed : needed + (needed / 2))));
        var grown = new TItem[Math.Min(size, Array.MaxLength)];
        if (keepOld && array is not null)
        {
            array.CopyTo(grown, 0);
        }

        return grown;
    }

    private int LowerBound(int index)
    {
        int at = _indices is null ? -1 : Array.BinarySearch(_indices, 0, _count, index);
        return at >= 0 ? at : _indices is null ? 0 : ~at;
    }

    private IEnumerable<KeyValuePair<int, T>> ExplicitItems()
    {
        for (int i = 0; i < _count; i++)
        {
            yield return new KeyValuePair<int, T>(_indices[i], _values[i]);
        }
    }

    private IEnumerable<KeyValuePair<int, T>> EveryItem()
    {
        int next = 0;
        for (int i = 0; i < _count; i++)
        {
            int slot = IsDense ? i : _indices[i];
            for (; next < slot; next++)
            {
                yield return new KeyValuePair<int, T>(next, default);
            }

            yield return new KeyValuePair<int, T>(next++, _values[i]);
        }

        for (; next < Length; next++)
        {
            yield return new KeyValuePair<int, T>(next, default);
        }
    }
}
