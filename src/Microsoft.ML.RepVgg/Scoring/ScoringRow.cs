using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>A row that is scored individually, for prediction engines. The network runs when the value of an added column is first read.</summary>
internal sealed class ScoringRow : DataViewRow
{
    private readonly ScoringMapper _mapper;
    private readonly DataViewRow _input;
    private readonly HashSet<int> _active;
    private readonly RowScorer? _scorer;
    private readonly float[] _output = [];
    private long? _scoredPosition;
    private bool _disposed;

    public ScoringRow(ScoringMapper mapper, DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns)
    {
        _mapper = mapper;
        _input = input;
        _active = [.. activeColumns.Select(column => column.Index)];
        if (_active.Any(index => index >= mapper.InputSchema.Count))
        {
            _scorer = new RowScorer(mapper, input, capacity: 1);
            _output = new float[mapper.Scorer.Engine.OutputLength];
        }
    }

    public override DataViewSchema Schema => _mapper.OutputSchema;

    public override long Position => _input.Position;

    public override long Batch => _input.Batch;

    public override ValueGetter<DataViewRowId> GetIdGetter() => _input.GetIdGetter();

    public override bool IsColumnActive(DataViewSchema.Column column) => _active.Contains(column.Index);

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
            throw AddedColumn.Inactive(column);
        return _mapper.IsAdded(column)
            ? _mapper.Getter<TValue>(column, Output)
            : _input.GetGetter<TValue>(_mapper.InputSchema[column.Index]);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && !_disposed)
        {
            _disposed = true;
            _scorer?.Dispose();
        }
        base.Dispose(disposing);
    }

    private ReadOnlySpan<float> Output()
    {
        if (_scoredPosition != _input.Position)
        {
            _scoredPosition = null;
            _scorer!.Read();
            _scorer.Run(_output, out var failure);
            if (failure is not null)
                throw failure;
            _scoredPosition = _input.Position;
        }
        return _output;
    }
}

/// <summary>A cursor that scores each row individually, when the value of an added column is first read.</summary>
/// <remarks>It is used if no added column is active, or if an active column of the input, such as an image, is valid only while the input cursor is on its row.</remarks>
internal sealed class RowScoringCursor(ScoringMapper mapper, IReadOnlyCollection<DataViewSchema.Column> needed, DataViewRowCursor rows) : DataViewRowCursor
{
    private readonly ScoringRow _row = new(mapper, rows, needed);

    public override DataViewSchema Schema => _row.Schema;

    public override long Position => rows.Position;

    public override long Batch => rows.Batch;

    public override bool IsColumnActive(DataViewSchema.Column column) => _row.IsColumnActive(column);

    public override ValueGetter<DataViewRowId> GetIdGetter() => rows.GetIdGetter();

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => _row.GetGetter<TValue>(column);

    public override bool MoveNext() => rows.MoveNext();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _row.Dispose();
            rows.Dispose();
        }
        base.Dispose(disposing);
    }
}
