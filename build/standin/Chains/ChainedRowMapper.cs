using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Row mappers one after the other.</summary>
internal sealed class ChainedRowMapper : IRowToRowMapper
{
    private readonly IRowToRowMapper[] _mappers;

    internal ChainedRowMapper(DataViewSchema inputSchema, IRowToRowMapper[] mappers)
    {
        InputSchema = inputSchema;
        _mappers = mappers;
        OutputSchema = mappers.Length == 0 ? inputSchema : mappers[^1].OutputSchema;
    }

    public DataViewSchema InputSchema { get; }

    public DataViewSchema OutputSchema { get; }

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns) =>
        _mappers.Reverse().Aggregate(dependingColumns, (columns, mapper) => mapper.GetDependencies(columns));

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns)
    {
        Check.NotNull(input, nameof(input));
        Check.NotNull(activeColumns, nameof(activeColumns));
        Check.Param(
            ReferenceEquals(input.Schema, InputSchema), nameof(input), "Schema did not match original schema");
        if (_mappers.Length == 0)
        {
            foreach (DataViewSchema.Column column in activeColumns)
            {
                Check.Param(
                    input.IsColumnActive(column),
                    nameof(input),
                    $"Mapper required column '{column.Name}' active but it was not.");
            }

            return input;
        }

        var active = new IEnumerable<DataViewSchema.Column>[_mappers.Length];
        active[^1] = activeColumns;
        for (int i = _mappers.Length - 1; i > 0; i--)
        {
            active[i - 1] = _mappers[i].GetDependencies(active[i]);
        }

        DataViewRow row = input;
        for (int i = 0; i < _mappers.Length; i++)
        {
            row = _mappers[i].GetRow(row, active[i]);
        }

        return row;
    }
}
