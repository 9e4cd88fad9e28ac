using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>A <see cref="RowMapping"/> as a mapper: its input columns, then what it adds.</summary>
internal sealed class RowMapper : IRowToRowMapper
{
    private readonly RowMapping _mapping;
    private readonly ColumnBindings _bindings;

    internal RowMapper(RowMapping mapping)
    {
        _mapping = mapping;
        _bindings = new ColumnBindings(mapping.InputSchema, mapping.Outputs);
    }

    public DataViewSchema InputSchema => _mapping.InputSchema;

    public DataViewSchema OutputSchema => _bindings.Schema;

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
    {
        var needed = new bool[InputSchema.Count];
        foreach (DataViewSchema.Column column in dependingColumns)
        {
            if (_bindings.IsInput(column.Index, out int index))
            {
                needed[index] = true;
                continue;
            }

            foreach (int dependency in _mapping.GetDependencies(index))
            {
                needed[dependency] = true;
            }
        }

        return [.. InputSchema.Where(column => needed[column.Index])];
    }

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns)
    {
        Check.NotNull(input, nameof(input));
        Check.NotNull(activeColumns, nameof(activeColumns));
        if (!ReferenceEquals(input.Schema, InputSchema))
        {
            throw new InvalidOperationException(
                "Schema of input row must be the same as the schema the mapper is bound to");
        }

        return new Row(input, new Getters(this, input, ActiveSet.Of(activeColumns, OutputSchema), inputDecides: true));
    }

    /// <summary>A cursor over <paramref name="input"/> with the added columns; it owns its input.</summary>
    internal DataViewRowCursor GetCursor(DataViewRowCursor input, bool[] active) =>
        new Cursor(input, new Getters(this, input, active, inputDecides: false));

    private sealed class Getters
    {
        private readonly RowMapper _mapper;
        private readonly DataViewRow _input;
        private readonly bool[] _active;
        private readonly bool _inputDecides;
        private readonly Delegate[] _added;
        private Action _dispose;

        internal Getters(RowMapper mapper, DataViewRow input, bool[] active, bool inputDecides)
        {
            _mapper = mapper;
            _input = input;
            _active = active;
            _inputDecides = inputDecides;
            var activeAdded = new bool[mapper._mapping.Outputs.Length];
            for (int i = 0; i < active.Length; i++)
            {
                if (!mapper._bindings.IsInput(i, out int index))
                {
                    activeAdded[index] = active[i];
                }
            }

            _added = mapper._mapping.CreateGetters(input, index => activeAdded[index], out _dispose);
        }

        internal DataViewSchema Schema => _mapper.OutputSchema;

        /// <summary>Rows show every active column of their input; cursors only what was asked for.</summary>
        internal bool IsActive(DataViewSchema.Column column) =>
            _inputDecides && _mapper._bindings.IsInput(column.Index, out int index)
                ? _input.IsColumnActive(_input.Schema[index])
                : _active[column.Index];

        internal ValueGetter<TValue> Get<TValue>(DataViewSchema.Column column)
        {
            if (!IsActive(column))
            {
                throw Check.InactiveColumn(column);
            }

            if (_mapper._bindings.IsInput(column.Index, out int index))
            {
                return _input.GetGetter<TValue>(_input.Schema[index]);
            }

            return _added[index] as ValueGetter<TValue> ?? throw Check.WrongGetterType(column, typeof(TValue));
        }

        internal void Dispose()
        {
            Action dispose = _dispose;
            _dispose = null;
            dispose?.Invoke();
            _input.Dispose();
        }
    }

    private sealed class Row(DataViewRow input, Getters getters) : DataViewRow
    {
        public override long Position => input.Position;

        public override long Batch => input.Batch;

        public override DataViewSchema Schema => getters.Schema;

        public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

        public override bool IsColumnActive(DataViewSchema.Column column) => getters.IsActive(column);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            getters.Get<TValue>(column);

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                getters.Dispose();
            }
        }
    }

    private sealed class Cursor(DataViewRowCursor input, Getters getters) : LinkedCursor(input)
    {
        public override DataViewSchema Schema => getters.Schema;

        public override bool IsColumnActive(DataViewSchema.Column column) => getters.IsActive(column);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            getters.Get<TValue>(column);

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                getters.Dispose();
            }
        }
    }
}
