using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Transforms;

/// <summary>Keeps some columns, or drops some.</summary>
public sealed class ColumnSelectingEstimator : TrivialEstimator<ColumnSelectingTransformer>
{
    internal ColumnSelectingEstimator(IHostEnvironment env, string[] columns, bool keep, bool keepHidden)
        : base(
            env.Register(nameof(ColumnSelectingEstimator)),
            new ColumnSelectingTransformer(columns, keep, keepHidden))
    {
    }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        Transformer.CheckColumns(inputSchema.Select(column => column.Name), nameof(inputSchema));
        return new SchemaShape(inputSchema.Where(column => Transformer.Keeps(column.Name)));
    }
}

/// <summary>What <see cref="ColumnSelectingEstimator"/> makes.</summary>
public sealed class ColumnSelectingTransformer : ITransformer
{
    private const string LoaderName = "SelectColumns";

    private readonly string[] _columns;
    private readonly bool _keep;
    private readonly bool _keepHidden;

    internal ColumnSelectingTransformer(string[] columns, bool keep, bool keepHidden)
    {
        if (columns is not { Length: > 0 })
        {
            throw new InvalidOperationException(
                "Neither keepColumns and dropColumns is set. Exactly one must be specified.");
        }

        _columns = columns;
        _keep = keep;
        _keepHidden = keepHidden;
    }

    bool ITransformer.IsRowToRowMapper => true;

    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => Bind(inputSchema).OutputSchema;

    public IDataView Transform(IDataView input)
    {
        Check.NotNull(input, nameof(input));
        return new ColumnSubset.View(input, Bind(input.Schema));
    }

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => Bind(inputSchema);

    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        ctx.Writer.Write(_keep);
        ctx.Writer.Write(_keepHidden);
        ctx.Writer.Write(_columns.Length);
        foreach (string column in _columns)
        {
            ctx.Writer.Write(column);
        }
    }

    internal bool Keeps(string name) => _columns.Contains(name) == _keep;

    internal void CheckColumns(IEnumerable<string> present, string parameter)
    {
        string[] missing = [.. _columns.Except(present)];
        if (missing.Length > 0)
        {
            throw Check.MissingColumn(parameter, "input", string.Join(",", missing));
        }
    }

    [ModelLoader(LoaderName)]
    private static object Load(IHostEnvironment env, ModelLoadContext ctx)
    {
        bool keep = ctx.Reader.ReadBoolean();
        bool keepHidden = ctx.Reader.ReadBoolean();
        var columns = new string[ctx.Reader.ReadInt32()];
        for (int i = 0; i < columns.Length; i++)
        {
            columns[i] = ctx.Reader.ReadString();
        }

        return new ColumnSelectingTransformer(columns, keep, keepHidden);
    }

    private ColumnSubset Bind(DataViewSchema inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        CheckColumns(inputSchema.Select(column => column.Name), nameof(inputSchema));

        // Kept columns come in the order that they were asked for; what is not dropped stays where it is.
        IEnumerable<DataViewSchema.Column> kept = _keep
            ? _columns.SelectMany(name => inputSchema.Where(
                column => column.Name == name && (_keepHidden || !column.IsHidden)))
            : inputSchema.Where(column => Keeps(column.Name));
        return new ColumnSubset(inputSchema, kept.Select(column => column.Index));
    }
}
