using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>A transformer bound to an input schema: adds PredictedLabel and Score to every row, in the stock order.</summary>
internal sealed class ScoringMapper : IRowToRowMapper
{
    private readonly IRowToRowMapper? _preprocessing;

    public ScoringMapper(RepVggTransformer transformer, DataViewSchema inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        Transformer = transformer;
        InputSchema = inputSchema;
        Feature = inputSchema.GetColumnOrNull(transformer.FeatureColumnName)
            ?? throw new ArgumentException($"Could not find feature column '{transformer.FeatureColumnName}'", nameof(inputSchema));
        _preprocessing = ((ITransformer?)transformer.Features.Preprocessing)?.GetRowToRowMapper(inputSchema);
        Pixels = transformer.Features.FindPixels(_preprocessing?.OutputSchema ?? inputSchema);

        var builder = new DataViewSchema.Builder();
        builder.AddColumns(inputSchema);
        builder.AddColumn(transformer.PredictedLabelColumnName, transformer.PredictedLabelColumn.Type, transformer.PredictedLabelColumn.Annotations);
        builder.AddColumn(transformer.ScoreColumnName, transformer.ScoreColumn.Type, transformer.ScoreColumn.Annotations);
        OutputSchema = builder.ToSchema();
        PredictedLabel = OutputSchema[inputSchema.Count];
        Score = OutputSchema[inputSchema.Count + 1];
    }

    public RepVggTransformer Transformer { get; }

    public DataViewSchema InputSchema { get; }

    public DataViewSchema OutputSchema { get; }

    /// <summary>The feature column in the input.</summary>
    public DataViewSchema.Column Feature { get; }

    /// <summary>The pixel column: in the input, or in what preprocessing makes of it.</summary>
    public DataViewSchema.Column Pixels { get; }

    public DataViewSchema.Column PredictedLabel { get; }

    public DataViewSchema.Column Score { get; }

    /// <summary>Whether a column of the output is one that this mapper adds.</summary>
    public bool IsAdded(DataViewSchema.Column column) => column.Index >= InputSchema.Count;

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
    {
        var needed = new SortedSet<int>();
        foreach (var column in dependingColumns)
            needed.Add(IsAdded(column) ? Feature.Index : column.Index);
        return needed.Select(index => InputSchema[index]);
    }

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns) => new ScoringRow(this, input, activeColumns);

    /// <summary>A row in which the pixel column can be read: the input itself, or preprocessing on top of it.</summary>
    public DataViewRow PixelRow(DataViewRow input) => _preprocessing?.GetRow(input, [Pixels]) ?? input;
}
