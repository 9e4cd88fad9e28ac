using System.Buffers;
using System.Diagnostics;
using System.Runtime.ExceptionServices;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>A cursor that scores the rows of the input in batches. It reads every row of the input once, in order.</summary>
/// <remarks>
/// <para>
/// The active input columns of a batch are copied, so that the input cursor can move on to the end of the batch.
/// <see cref="RowScoringCursor"/> is used if a column cannot be copied.
/// </para>
/// <para>
/// The first batch is one row, the second one has eight, and the further ones have the maximum size. A batch also ends when reading it
/// has taken 50 ms, so that the results of a slow source, such as a camera, do not wait for a full batch.
/// </para>
/// <para>If a row cannot be read or scored, the rows before it are returned first. The cursor cannot be used after an exception.</para>
/// </remarks>
internal sealed class BatchScoringCursor : DataViewRowCursor
{
    /// <summary>Maximum number of images per batch if the options give none. It is large enough to use all cores and limits the memory for the batch.</summary>
    public const int DefaultBatch = 32;

    /// <summary>Factor by which batches grow, from one row. Few small batches cost little time, and the first results are early.</summary>
    private const int BatchGrowth = 8;

    /// <summary>Maximum number of values for the pixels and outputs of one batch: 64 Mi values, at most 256 MiB. For large images and feature maps the batch is smaller.</summary>
    private const long MaximumValues = 64L << 20;

    private static readonly TimeSpan _maximumWait = TimeSpan.FromMilliseconds(50);

    private readonly ScoringMapper _mapper;
    private readonly HashSet<int> _active;
    private readonly DataViewRowCursor _rows;
    private readonly ValueGetter<DataViewRowId> _rowId;
    private readonly Dictionary<int, BufferedColumn> _columns = [];
    private readonly RowScorer _scorer;
    private readonly int _maximumBatch;
    private readonly int _outputLength;
    private readonly RowPosition[] _positions;
    private float[] _outputs;
    private int _batch = 1;
    private int _filled;
    private int _current = -1;
    private bool _ended;
    private ExceptionDispatchInfo? _failure;
    private bool _disposed;

    /// <param name="mapper">The mapper, which defines the added columns.</param>
    /// <param name="needed">The active output columns.</param>
    /// <param name="rows">Cursor over the input, in which the columns that the mapper needs are active.</param>
    public BatchScoringCursor(ScoringMapper mapper, IReadOnlyCollection<DataViewSchema.Column> needed, DataViewRowCursor rows)
    {
        _mapper = mapper;
        _active = [.. needed.Select(column => column.Index)];
        _rows = rows;
        _rowId = rows.GetIdGetter();
        _outputLength = mapper.Scorer.Engine.OutputLength;
        _maximumBatch = (int)Math.Clamp(MaximumValues / ((long)mapper.Scorer.Input.Length + _outputLength), 1, mapper.Scorer.MaximumBatch);
        _positions = new RowPosition[_maximumBatch];
        foreach (var column in needed.Where(column => !mapper.IsAdded(column)))
            _columns[column.Index] = BufferedColumn.Create(rows, mapper.InputSchema[column.Index], _maximumBatch);
        _scorer = new RowScorer(mapper, rows, _maximumBatch);
        // The array is rented because allocating arrays of this size takes as long as scoring a few images.
        _outputs = ArrayPool<float>.Shared.Rent(_maximumBatch * _outputLength);
    }

    /// <summary>Whether this cursor can be used: all active input columns can be copied.</summary>
    public static bool CanScore(ScoringMapper mapper, IEnumerable<DataViewSchema.Column> needed) =>
        needed.All(column => mapper.IsAdded(column) || BufferedColumn.CanKeep(column.Type));

    public override DataViewSchema Schema => _mapper.OutputSchema;

    public override long Position => IsOnRow ? _positions[_current].Position : -1;

    public override long Batch => IsOnRow ? _positions[_current].Batch : 0;

    private bool IsOnRow => (uint)_current < (uint)_filled;

    public override bool IsColumnActive(DataViewSchema.Column column) => _active.Contains(column.Index);

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = _positions[Current()].Id;

    public override bool MoveNext()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_current + 1 < _filled)
        {
            _current++;
            return true;
        }
        _current = -1;
        _filled = 0;
        _failure?.Throw();
        if (_ended)
            return false;
        try
        {
            Fill();
        }
        catch (Exception error)
        {
            _filled = 0;
            _failure = ExceptionDispatchInfo.Capture(error);
            throw;
        }
        if (_filled == 0)
        {
            _failure?.Throw();
            return false;
        }
        _current = 0;
        return true;
    }

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
            throw AddedColumn.Inactive(column);
        if (_mapper.IsAdded(column))
            return _mapper.Getter<TValue>(column, () => _outputs.AsSpan(Current() * _outputLength, _outputLength));
        return _columns[column.Index].CreateGetter(Current) as ValueGetter<TValue> ?? throw AddedColumn.WrongType<TValue>(column.Name, column.Type);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && !_disposed)
        {
            _disposed = true;
            _filled = 0;
            _scorer.Dispose();
            _rows.Dispose();
            ArrayPool<float>.Shared.Return(_outputs);
            _outputs = [];
        }
        base.Dispose(disposing);
    }

    private int Current() => IsOnRow ? _current : throw new InvalidOperationException("The cursor is not on a row: call MoveNext first, and read no value after it returned false or threw an exception.");

    /// <summary>Reads and scores the next batch. If reading fails after the first row, the batch ends there and the exception is kept for the next call of <see cref="MoveNext"/>.</summary>
    private void Fill()
    {
        long start = Stopwatch.GetTimestamp();
        int filled = 0;
        try
        {
            while (filled < _batch && !_ended)
            {
                if (!_rows.MoveNext())
                {
                    _ended = true;
                    break;
                }
                ref var position = ref _positions[filled];
                position.Position = _rows.Position;
                position.Batch = _rows.Batch;
                _rowId(ref position.Id);
                foreach (var column in _columns.Values)
                    column.Read(filled);
                _scorer.Read();
                filled++;
                if (_scorer.IsFull || Stopwatch.GetElapsedTime(start) > _maximumWait)
                    break;
            }
        }
        catch (Exception error) when (filled > 0)
        {
            _failure = ExceptionDispatchInfo.Capture(error);
        }
        if (filled == _batch)
            _batch = Math.Min(BatchGrowth * _batch, _maximumBatch);
        _filled = _scorer.Run(_outputs.AsSpan(0, filled * _outputLength), out var failure);
        if (failure is not null)
            _failure = ExceptionDispatchInfo.Capture(failure);
    }

    /// <summary>What a cursor tells about its row, besides the columns.</summary>
    private struct RowPosition
    {
        public long Position;
        public long Batch;
        public DataViewRowId Id;
    }
}
