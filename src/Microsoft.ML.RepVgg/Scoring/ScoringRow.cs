using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>A row that is scored individually, for prediction engines. The network runs when the value of an added column is first read.</summary>
internal sealed class ScoringRow : DataViewRow
{
    private readonly ScoringMapper _mapper;
    private readonly DataViewRow _input;
    private readonly DataViewRow? _pixelRow;
    private readonly PixelReader? _reader;
    private readonly HashSet<int> _active;
    private readonly float[] _output = [];
    private long _scoredPosition = -1;
    private bool _disposed;

    public ScoringRow(ScoringMapper mapper, DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns)
    {
        _mapper = mapper;
        _input = input;
        _active = [.. activeColumns.Select(column => column.Index)];
        if (_active.Any(index => index >= mapper.InputSchema.Count))
        {
            _pixelRow = mapper.PixelRow(input);
            _reader = PixelReader.Create(mapper.Scorer.Input, _pixelRow, mapper.Pixels, capacity: 1);
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
            _reader?.Dispose();
            if (!ReferenceEquals(_pixelRow, _input))
                _pixelRow?.Dispose();
        }
        base.Dispose(disposing);
    }

    private ReadOnlySpan<float> Output()
    {
        if (_scoredPosition != _input.Position)
        {
            _reader!.Read(_input.Position, 0);
            _reader.Run(_mapper.Scorer.Engine, 1, _output);
            _scoredPosition = _input.Position;
        }
        return _output;
    }
}
