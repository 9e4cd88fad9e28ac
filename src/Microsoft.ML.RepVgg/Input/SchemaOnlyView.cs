namespace Microsoft.ML.RepVgg.Input;

/// <summary>A data view with a given schema and no rows, to fit estimators that read only the schema.</summary>
/// <param name="schema">The schema.</param>
internal sealed class SchemaOnlyView(DataViewSchema schema) : IDataView
{
    public DataViewSchema Schema => schema;

    public bool CanShuffle => false;

    public long? GetRowCount() => 0;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null) => new Cursor(schema);

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) => [new Cursor(schema)];

    private sealed class Cursor(DataViewSchema schema) : DataViewRowCursor
    {
        public override DataViewSchema Schema => schema;

        public override long Position => -1;

        public override long Batch => 0;

        public override bool IsColumnActive(DataViewSchema.Column column) => false;

        public override bool MoveNext() => false;

        public override ValueGetter<Data.DataViewRowId> GetIdGetter() => throw NoRow();

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => throw NoRow();

        private static InvalidOperationException NoRow() => new("This view has a schema but no rows.");
    }
}
