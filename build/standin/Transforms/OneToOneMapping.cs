using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Standin;

/// <summary>Output and input columns of a transformer that maps columns one to one.</summary>
internal static class ColumnPairs
{
    /// <summary>One pair, the input being the output where none is given.</summary>
    internal static InputOutputColumnPair[] Of(string outputColumnName, string inputColumnName)
    {
        Check.NotEmpty(outputColumnName, nameof(outputColumnName));
        return [new InputOutputColumnPair(outputColumnName, inputColumnName)];
    }

    internal static InputOutputColumnPair[] Of(InputOutputColumnPair[] columns)
    {
        Check.NotNull(columns, nameof(columns));
        Check.Param(columns.Length > 0, nameof(columns), "columns cannot be null or empty");
        return columns;
    }

    internal static void Write(BinaryWriter writer, InputOutputColumnPair[] columns)
    {
        writer.Write(columns.Length);
        foreach (InputOutputColumnPair column in columns)
        {
            writer.Write(column.OutputColumnName);
            writer.Write(column.InputColumnName);
        }
    }

    internal static InputOutputColumnPair[] Read(BinaryReader reader)
    {
        var columns = new InputOutputColumnPair[reader.ReadInt32()];
        for (int i = 0; i < columns.Length; i++)
        {
            string output = reader.ReadString();
            columns[i] = new InputOutputColumnPair(output, reader.ReadString());
        }

        return columns;
    }

    /// <summary>The shape of a pair's input column.</summary>
    internal static SchemaShape.Column Find(SchemaShape inputSchema, InputOutputColumnPair pair) =>
        inputSchema.TryFindColumn(pair.InputColumnName, out SchemaShape.Column column)
            ? column
            : throw Check.MissingColumn(nameof(inputSchema), "input", pair.InputColumnName);
}

/// <summary>A mapping with one input column for every output column.</summary>
internal abstract class OneToOneMapping : RowMapping
{
    private readonly InputOutputColumnPair[] _pairs;

    protected OneToOneMapping(DataViewSchema inputSchema, InputOutputColumnPair[] pairs)
        : base(inputSchema)
    {
        _pairs = pairs;
        Inputs = Array.ConvertAll(
            pairs,
            pair => inputSchema.GetColumnOrNull(pair.InputColumnName)
                ?? throw Check.MissingColumn(nameof(inputSchema), "input", pair.InputColumnName));
    }

    /// <summary>The input column of each output column.</summary>
    protected DataViewSchema.Column[] Inputs { get; }

    internal sealed override IEnumerable<int> GetDependencies(int output) => [Inputs[output].Index];

    protected sealed override DataViewSchema.DetachedColumn[] GetOutputs()
    {
        var outputs = new DataViewSchema.DetachedColumn[_pairs.Length];
        for (int i = 0; i < outputs.Length; i++)
        {
            outputs[i] = GetOutput(_pairs[i].OutputColumnName, i);
        }

        return outputs;
    }

    protected sealed override Delegate CreateGetter(DataViewRow input, int output, out Action dispose)
    {
        dispose = null;
        return CreateGetter(input, input.Schema[Inputs[output].Index], output);
    }

    protected abstract DataViewSchema.DetachedColumn GetOutput(string name, int output);

    protected abstract Delegate CreateGetter(DataViewRow input, DataViewSchema.Column column, int output);
}
