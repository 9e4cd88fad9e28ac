using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>A data view of one column of numbers, written against the public API only.</summary>
internal sealed class NumbersView : IDataView
{
    private readonly float[] _numbers;

    public NumbersView(params float[] numbers)
    {
        _numbers = numbers;
        DataViewSchema.Builder builder = new();
        builder.AddColumn("Number", NumberDataViewType.Single);
        Schema = builder.ToSchema();
    }

    public bool CanShuffle => false;

    public DataViewSchema Schema { get; }

    public long? GetRowCount() => _numbers.Length;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null) =>
        new Cursor(this, columnsNeeded.Any());

    public DataViewRowCursor[] GetRowCursorSet(
        IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor(NumbersView view, bool active) : DataViewRowCursor
    {
        private long _position = -1;

        public override long Position => _position;

        public override long Batch => 0;

        public override DataViewSchema Schema => view.Schema;

        public override bool MoveNext()
        {
            _position = _position + 1 < view._numbers.Length ? _position + 1 : -1;
            return _position >= 0;
        }

        public override bool IsColumnActive(DataViewSchema.Column column) => active;

        public override ValueGetter<DataViewRowId> GetIdGetter() =>
            (ref DataViewRowId id) => id = new DataViewRowId((ulong)_position, 0);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            ValueGetter<float> getter = (ref float value) => value = view._numbers[_position];
            return active && getter is ValueGetter<TValue> typed
                ? typed
                : throw new InvalidOperationException("The column is not active, or has another type.");
        }
    }
}

/// <summary>Notes the shape that it is asked with; its transformer changes nothing.</summary>
internal sealed class NotingEstimator : IEstimator<ITransformer>
{
    public SchemaShape? Seen { get; private set; }

    public int Fits { get; private set; }

    public ITransformer Fit(IDataView input)
    {
        Fits++;
        return new MLContext().Transforms.CopyColumns("Noted", input.Schema[0].Name).Fit(input);
    }

    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Seen = inputSchema;
        return inputSchema;
    }
}

/// <summary>
/// Doubles a column of numbers, counting how often; saves itself as a stock transformer that copies the column.
/// </summary>
internal sealed class DoublingTransformer : ITransformer, IDisposable
{
    private readonly ITransformer _stock = new MLContext().Transforms.CopyColumns("Doubled", "Number")
        .Fit(new NumbersView());

    public int Computed;

    public bool IsDisposed { get; private set; }

    public bool IsRowToRowMapper => true;

    public void Dispose() => IsDisposed = true;

    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => new Mapper(this, inputSchema).OutputSchema;

    public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => new Mapper(this, inputSchema);

    public IDataView Transform(IDataView input) => new View(input, new Mapper(this, input.Schema));

    void ICanSaveModel.Save(ModelSaveContext ctx) => _stock.Save(ctx);

    private sealed class Mapper : IRowToRowMapper
    {
        public Mapper(DoublingTransformer owner, DataViewSchema input)
        {
            Owner = owner;
            InputSchema = input;
            DataViewSchema.Builder builder = new();
            builder.AddColumns(input);
            builder.AddColumn("Doubled", NumberDataViewType.Single);
            OutputSchema = builder.ToSchema();
        }

        public DoublingTransformer Owner { get; }

        public DataViewSchema InputSchema { get; }

        public DataViewSchema OutputSchema { get; }

        public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
        {
            HashSet<string> names = [.. dependingColumns.Select(column => column.Name == "Doubled" ? "Number" : column.Name)];
            return InputSchema.Where(column => names.Contains(column.Name)).ToArray();
        }

        public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns) =>
            new Row(this, input, activeColumns.Any(column => column.Name == "Doubled"));

        public ValueGetter<TValue> Getter<TValue>(DataViewRow input, DataViewSchema.Column column, bool active)
        {
            if (column.Name != "Doubled")
            {
                return input.GetGetter<TValue>(input.Schema[column.Index]);
            }

            if (!active)
            {
                throw new InvalidOperationException("Column 'Doubled' is not active.");
            }

            ValueGetter<float> number = input.GetGetter<float>(input.Schema["Number"]);
            ValueGetter<float> doubled = (ref float value) =>
            {
                Interlocked.Increment(ref Owner.Computed);
                number(ref value);
                value *= 2;
            };
            return (ValueGetter<TValue>)(Delegate)doubled;
        }
    }

    private sealed class Row(Mapper mapper, DataViewRow input, bool active) : DataViewRow
    {
        public override long Position => input.Position;

        public override long Batch => input.Batch;

        public override DataViewSchema Schema => mapper.OutputSchema;

        public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

        public override bool IsColumnActive(DataViewSchema.Column column) =>
            column.Name == "Doubled" ? active : input.IsColumnActive(input.Schema[column.Index]);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            mapper.Getter<TValue>(input, column, active);
    }

    private sealed class View(IDataView source, Mapper mapper) : IDataView
    {
        public bool CanShuffle => source.CanShuffle;

        public DataViewSchema Schema => mapper.OutputSchema;

        public long? GetRowCount() => source.GetRowCount();

        public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
        {
            DataViewSchema.Column[] needed = [.. columnsNeeded];
            return new Cursor(mapper, source.GetRowCursor(mapper.GetDependencies(needed), rand), needed);
        }

        public DataViewRowCursor[] GetRowCursorSet(
            IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
            [GetRowCursor(columnsNeeded, rand)];
    }

    private sealed class Cursor(Mapper mapper, DataViewRowCursor input, DataViewSchema.Column[] needed)
        : DataViewRowCursor
    {
        public override long Position => input.Position;

        public override long Batch => input.Batch;

        public override DataViewSchema Schema => mapper.OutputSchema;

        public override bool MoveNext() => input.MoveNext();

        public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

        public override bool IsColumnActive(DataViewSchema.Column column) =>
            needed.Any(wanted => wanted.Index == column.Index);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            mapper.Getter<TValue>(input, column, IsColumnActive(column));

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                input.Dispose();
            }
        }
    }
}
