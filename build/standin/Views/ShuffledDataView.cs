using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>
/// A view in random order: rows are drawn from a pool of bounded size that is refilled from the source, which itself
/// is shuffled where it can be and where that is wanted. Columns whose values cannot be copied are left out.
/// </summary>
internal sealed class ShuffledDataView : IDataView
{
    private readonly IDataView _source;
    private readonly int _seed;
    private readonly int _poolSize;
    private readonly bool _shuffleSource;

    internal ShuffledDataView(IDataView source, int seed, int poolSize, bool shuffleSource)
    {
        _source = ColumnSubset.Where(source, column => ValueStore.CanHold(column.Type));
        _seed = seed;
        _poolSize = poolSize;
        _shuffleSource = shuffleSource;
    }

    public bool CanShuffle => true;

    public DataViewSchema Schema => _source.Schema;

    public long? GetRowCount() => _source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
    {
        rand ??= new Random(_seed);
        Random sourceRand = _shuffleSource ? new Random(rand.Next()) : null;
        DataViewRowCursor input = _source.GetRowCursor(columnsNeeded, sourceRand);
        if (_poolSize == 1)
        {
            return input;
        }

        bool[] active = ActiveSet.Of(columnsNeeded, Schema);
        return new Cursor(
            input, [.. Schema.Select(column => active[column.Index] ? ValueStore.Create(column.Type) : null)], _poolSize, rand);
    }

    public DataViewRowCursor[] GetRowCursorSet(
        IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor : StoredCursor
    {
        private readonly DataViewRowCursor _input;
        private readonly Random _random;
        private readonly int _poolSize;
        private readonly Action<int>[] _writers;
        private readonly ValueGetter<DataViewRowId> _inputId;
        private readonly List<DataViewRowId> _ids = [];

        /// <summary>Places with rows that were not shown yet.</summary>
        private readonly List<int> _waiting = [];
        private int _current = -1;
        private bool _inputAtEnd;

        internal Cursor(DataViewRowCursor input, ValueStore[] stores, int poolSize, Random random)
            : base(input.Schema, stores)
        {
            _input = input;
            _random = random;
            _poolSize = poolSize;
            _inputId = input.GetIdGetter();
            _writers =
            [
                .. input.Schema
                    .Where(column => stores[column.Index] is not null)
                    .Select(column => stores[column.Index].CreateWriter(input, column)),
            ];
        }

        protected override int Index => _current;

        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) =>
        {
            ThrowIfNoRow();
            id = _ids[_current];
        };

        protected override bool MoveNextCore()
        {
            // The place of the row that was shown last is free again.
            int free = _current;
            while (!_inputAtEnd && _waiting.Count < _poolSize)
            {
                if (!_input.MoveNext())
                {
                    _inputAtEnd = true;
                    break;
                }

                int place = free >= 0 ? free : _ids.Count;
                free = -1;
                foreach (Action<int> write in _writers)
                {
                    write(place);
                }

                DataViewRowId id = default;
                _inputId(ref id);
                if (place == _ids.Count)
                {
                    _ids.Add(id);
                }
                else
                {
                    _ids[place] = id;
                }

                _waiting.Add(place);
            }

            if (_waiting.Count == 0)
            {
                return false;
            }

            int chosen = _random.Next(_waiting.Count);
            _current = _waiting[chosen];
            _waiting[chosen] = _waiting[^1];
            _waiting.RemoveAt(_waiting.Count - 1);
            return true;
        }

        protected override void Release() => _input.Dispose();
    }
}
