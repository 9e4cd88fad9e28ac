using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>One row at a time, for prediction engines: the network runs when Score or PredictedLabel is first asked for.</summary>
internal sealed class ScoringRow : DataViewRow
{
    private readonly ScoringMapper _mapper;
    private readonly DataViewRow _input;
    private readonly DataViewRow? _pixelRow;
    private readonly PixelReader? _reader;
    private readonly HashSet<int> _active;
    private readonly float[] _pixels = [];
    private readonly float[] _logits = [];
    private long _scoredPosition = -1;

    public ScoringRow(ScoringMapper mapper, DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns)
    {
        _mapper = mapper;
        _input = input;
        _active = [.. activeColumns.Select(column => column.Index)];
        if (_active.Any(index => index >= mapper.InputSchema.Count))
        {
            var features = mapper.Transformer.Features;
            _pixelRow = mapper.PixelRow(input);
            _reader = new PixelReader(features, _pixelRow.GetGetter<VBuffer<float>>(mapper.Pixels));
            _pixels = new float[features.Length];
            _logits = new float[mapper.Transformer.Network.Classes];
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
            ? AddedColumn.Getter<TValue>(_mapper, column, Logits)
            : _input.GetGetter<TValue>(_mapper.InputSchema[column.Index]);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && !ReferenceEquals(_pixelRow, _input))
            _pixelRow?.Dispose();
        base.Dispose(disposing);
    }

    private ReadOnlySpan<float> Logits()
    {
        if (_scoredPosition != _input.Position)
        {
            _reader!.Read(_input.Position, _pixels);
            _mapper.Transformer.Engine.Run(_pixels, 1, _logits);
            _scoredPosition = _input.Position;
        }
        return _logits;
    }
}
