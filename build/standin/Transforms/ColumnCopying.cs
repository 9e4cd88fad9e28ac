using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Transforms;

/// <summary>Copies columns, annotations included.</summary>
public sealed class ColumnCopyingEstimator : TrivialEstimator<ColumnCopyingTransformer>
{
    internal ColumnCopyingEstimator(IHostEnvironment env, InputOutputColumnPair[] columns)
        : base(env.Register(nameof(ColumnCopyingEstimator)), new ColumnCopyingTransformer(env, columns))
    {
    }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        return inputSchema.With(Transformer.Columns.Select(pair =>
        {
            SchemaShape.Column input = ColumnPairs.Find(inputSchema, pair);
            return new SchemaShape.Column(
                pair.OutputColumnName, input.Kind, input.ItemType, input.IsKey, input.Annotations);
        }));
    }
}

/// <summary>What <see cref="ColumnCopyingEstimator"/> makes.</summary>
public sealed class ColumnCopyingTransformer : OneToOneTransformerBase
{
    private const string LoaderName = "CopyColumns";

    internal ColumnCopyingTransformer(IHostEnvironment env, InputOutputColumnPair[] columns)
        : base(env.Register(nameof(ColumnCopyingTransformer)))
    {
        Columns = columns;
    }

    internal InputOutputColumnPair[] Columns { get; }

    [ModelLoader(LoaderName)]
    private static object Load(IHostEnvironment env, ModelLoadContext ctx) =>
        new ColumnCopyingTransformer(env, ColumnPairs.Read(ctx.Reader));

    private protected override RowMapping Bind(DataViewSchema inputSchema) => new Mapping(inputSchema, Columns);

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        ColumnPairs.Write(ctx.Writer, Columns);
    }

    private sealed class Mapping(DataViewSchema inputSchema, InputOutputColumnPair[] pairs)
        : OneToOneMapping(inputSchema, pairs)
    {
        protected override DataViewSchema.DetachedColumn GetOutput(string name, int output) =>
            new(name, Inputs[output].Type, Inputs[output].Annotations);

        protected override Delegate CreateGetter(DataViewRow input, DataViewSchema.Column column, int output) =>
            UntypedGetters.Get(input, column);
    }
}
