using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>A third party's mapper that adds one column of numbers.</summary>
internal sealed class SingleColumnMapper : IRowToRowMapper
{
    private readonly string _name;
    private readonly Func<DataViewRow, ValueGetter<float>> _create;

    public SingleColumnMapper(DataViewSchema input, string name, Func<DataViewRow, ValueGetter<float>> create)
    {
        InputSchema = input;
        _name = name;
        _create = create;
        DataViewSchema.Builder builder = new();
        builder.AddColumns(input);
        builder.AddColumn(name, NumberDataViewType.Single);
        OutputSchema = builder.ToSchema();
    }

    public DataViewSchema InputSchema { get; }

    public DataViewSchema OutputSchema { get; }

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns) =>
        InputSchema.Where(column => dependingColumns.Any(wanted => wanted.Index == column.Index)).ToArray();

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns) =>
        new Row(this, input);

    public ValueGetter<TValue> Getter<TValue>(DataViewRow input, DataViewSchema.Column column) =>
        column.Name == _name
            ? (ValueGetter<TValue>)(Delegate)_create(input)
            : input.GetGetter<TValue>(input.Schema[column.Index]);

    private sealed class Row(SingleColumnMapper mapper, DataViewRow input) : DataViewRow
    {
        public override long Position => input.Position;

        public override long Batch => input.Batch;

        public override DataViewSchema Schema => mapper.OutputSchema;

        public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

        public override bool IsColumnActive(DataViewSchema.Column column) => true;

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            mapper.Getter<TValue>(input, column);
    }
}

/// <summary>A view through a third party's mapper; every column is active.</summary>
internal sealed class MapperView : IDataView
{
    private readonly IDataView _source;
    private readonly SingleColumnMapper _mapper;

    private MapperView(IDataView source, SingleColumnMapper mapper)
    {
        _source = source;
        _mapper = mapper;
    }

    public bool CanShuffle => _source.CanShuffle;

    public DataViewSchema Schema => _mapper.OutputSchema;

    public static MapperView Over(IDataView source, SingleColumnMapper mapper) => new(source, mapper);

    public long? GetRowCount() => _source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null) =>
        new Cursor(_mapper, _source.GetRowCursor(_source.Schema, rand));

    public DataViewRowCursor[] GetRowCursorSet(
        IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor(SingleColumnMapper mapper, DataViewRowCursor input) : DataViewRowCursor
    {
        public override long Position => input.Position;

        public override long Batch => input.Batch;

        public override DataViewSchema Schema => mapper.OutputSchema;

        public override bool MoveNext() => input.MoveNext();

        public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

        public override bool IsColumnActive(DataViewSchema.Column column) => true;

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            mapper.Getter<TValue>(input, column);

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                input.Dispose();
            }
        }
    }
}
