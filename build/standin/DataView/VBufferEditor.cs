namespace Microsoft.ML.Data;

/// <summary>Creates editors that use a buffer's memory again.</summary>
public static class VBufferEditor
{
    public static VBufferEditor<T> CreateFromBuffer<T>(scoped ref VBuffer<T> destination) => destination.Edit();

    public static VBufferEditor<T> Create<T>(
        scoped ref VBuffer<T> destination,
        int newLogicalLength,
        int? valuesCount = null,
        int? maxValuesCapacity = null,
        bool keepOldOnResize = false,
        bool requireIndicesOnDense = false) =>
        destination.Edit(
            newLogicalLength,
            valuesCount ?? newLogicalLength,
            maxValuesCapacity ?? int.MaxValue,
            keepOldOnResize,
            requireIndicesOnDense);
}

/// <summary>The memory of a <see cref="VBuffer{T}"/>, open for writing until it is committed.</summary>
public readonly ref struct VBufferEditor<T>
{
    private readonly int _length;
    private readonly T[] _values;
    private readonly int[] _indices;

    internal VBufferEditor(
        int length, int count, T[] values, int[] indices, bool indicesOnDense, bool newValues, bool newIndices)
    {
        _length = length;
        _values = values;
        _indices = indices;
        Values = values.AsSpan(0, count);
        Indices = count < length || indicesOnDense ? indices.AsSpan(0, count) : default;
        CreatedNewValues = newValues;
        CreatedNewIndices = newIndices;
    }

    public readonly Span<T> Values;

    public readonly Span<int> Indices;

    public bool CreatedNewValues { get; }

    public bool CreatedNewIndices { get; }

    public VBuffer<T> Commit() => new(_length, Values.Length, _values, _indices);

    public VBuffer<T> CommitTruncated(int physicalValuesCount) =>
        physicalValuesCount <= Values.Length
            ? new VBuffer<T>(_length, physicalValuesCount, _values, _indices)
            : throw new ArgumentOutOfRangeException(nameof(physicalValuesCount));
}
