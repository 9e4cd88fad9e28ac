namespace Microsoft.ML.Standin;

/// <summary>A data view seen through a <see cref="RowMapping"/>. Only active columns are computed, when asked for.</summary>
internal sealed class MappedDataView : IDataView
{
    private readonly IDataView _source;
    private readonly RowMapper _mapper;

    internal MappedDataView(IDataView source, RowMapping mapping)
    {
        _source = source;
        _mapper = new RowMapper(mapping);
    }

    public bool CanShuffle => _source.CanShuffle;

    public DataViewSchema Schema => _mapper.OutputSchema;

    public long? GetRowCount() => _source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
    {
        bool[] active = ActiveSet.Of(columnsNeeded, Schema);
        return _mapper.GetCursor(_source.GetRowCursor(Dependencies(active), rand), active);
    }

    public DataViewRowCursor[] GetRowCursorSet(
        IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
    {
        bool[] active = ActiveSet.Of(columnsNeeded, Schema);
        DataViewRowCursor[] inputs = _source.GetRowCursorSet(Dependencies(active), n, rand);
        return Array.ConvertAll(inputs, input => _mapper.GetCursor(input, active));
    }

    private IEnumerable<DataViewSchema.Column> Dependencies(bool[] active) =>
        _mapper.GetDependencies(Schema.Where(column => active[column.Index]));
}
