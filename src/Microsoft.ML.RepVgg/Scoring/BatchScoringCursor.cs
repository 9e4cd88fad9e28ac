using System.Buffers;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>A cursor that scores the rows of the input in batches.</summary>
/// <remarks>
/// One cursor returns the input columns of the current row. A second cursor reads ahead and collects the images of the next
/// batch. Both cursors must return the same rows in the same order. The row ids are compared, so a source that changes
/// between two readings causes an exception instead of wrong scores.
/// </remarks>
internal sealed class BatchScoringCursor : DataViewRowCursor
{
    /// <summary>Maximum number of images per batch. It is large enough to use all cores and limits the memory for the batch.</summary>
    private const int MaximumBatch = 32;

    /// <summary>Maximum number of values for the pixels and outputs of one batch: 64 Mi values, at most 256 MiB. For large images and feature maps the batch is smaller.</summary>
    private const long MaximumValues = 64L << 20;

    private readonly ScoringMapper _mapper;
    private readonly HashSet<int> _active;
    private readonly DataViewRowCursor _rows;
    private readonly ValueGetter<DataViewRowId> _rowId;
    private readonly DataViewRowCursor? _readAhead;
    private readonly ValueGetter<DataViewRowId>? _readAheadId;
    private readonly DataViewRow? _pixelRow;
    private readonly PixelReader? _reader;
    private readonly int _outputLength;
    private readonly int _batch;
    private float[] _outputs = [];
    private readonly DataViewRowId[] _ids = [];
    private int _filled;
    private int _current = -1;
    private bool _disposed;

    /// <param name="mapper">The mapper, which defines the added columns.</param>
    /// <param name="needed">The active output columns.</param>
    /// <param name="rows">Cursor over the input with the active input columns.</param>
    /// <param name="readAhead">Cursor over the same rows with the image column; null if no added column is active.</param>
    public BatchScoringCursor(ScoringMapper mapper, IEnumerable<DataViewSchema.Column> needed, DataViewRowCursor rows, DataViewRowCursor? readAhead)
    {
        _mapper = mapper;
        _active = [.. needed.Select(column => column.Index)];
        _rows = rows;
        _rowId = rows.GetIdGetter();
        _outputLength = mapper.Scorer.Engine.OutputLength;
        if (readAhead is not null)
        {
            var input = mapper.Scorer.Input;
            _batch = (int)Math.Clamp(MaximumValues / ((long)input.Length + _outputLength), 1, MaximumBatch);
            _readAhead = readAhead;
            _readAheadId = readAhead.GetIdGetter();
            _pixelRow = mapper.PixelRow(readAhead);
            _reader = PixelReader.Create(input, _pixelRow, mapper.Pixels, _batch);
            // The array is rented because allocating arrays of this size takes as long as scoring a few images.
            _outputs = ArrayPool<float>.Shared.Rent(_batch * _outputLength);
            _ids = new DataViewRowId[_batch];
        }
    }

    public override DataViewSchema Schema => _mapper.OutputSchema;

    public override long Position => _rows.Position;

    public override long Batch => _rows.Batch;

    public override bool IsColumnActive(DataViewSchema.Column column) => _active.Contains(column.Index);

    public override ValueGetter<DataViewRowId> GetIdGetter() => _rowId;

    public override bool MoveNext()
    {
        bool any = _rows.MoveNext();
        if (_readAhead is null)
            return any;
        if (++_current >= _filled)
            Fill();
        if (any != _filled > 0)
            throw RowsChanged();
        if (any)
        {
            DataViewRowId id = default;
            _rowId(ref id);
            if (!id.Equals(_ids[_current]))
                throw RowsChanged();
        }
        return any;
    }

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
            throw AddedColumn.Inactive(column);
        return _mapper.IsAdded(column)
            ? _mapper.Getter<TValue>(column, Output)
            : _rows.GetGetter<TValue>(_mapper.InputSchema[column.Index]);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && !_disposed)
        {
            _disposed = true;
            _reader?.Dispose();
            if (!ReferenceEquals(_pixelRow, _readAhead))
                _pixelRow?.Dispose();
            _readAhead?.Dispose();
            _rows.Dispose();
            ArrayPool<float>.Shared.Return(_outputs);
            _outputs = [];
        }
        base.Dispose(disposing);
    }

    private ReadOnlySpan<float> Output() => _outputs.AsSpan(_current * _outputLength, _outputLength);

    private void Fill()
    {
        _filled = 0;
        _current = 0;
        while (_filled < _batch && _readAhead!.MoveNext())
        {
            _readAheadId!(ref _ids[_filled]);
            _reader!.Read(_readAhead.Position, _filled);
            _filled++;
        }
        if (_filled > 0)
            _reader!.Run(_mapper.Scorer.Engine, _filled, _outputs.AsSpan(0, _filled * _outputLength));
    }

    private static InvalidOperationException RowsChanged() =>
        new("The rows to score changed between two readings of the same data. Put mlContext.Data.Cache behind a source that is random or is still being written.");
}
