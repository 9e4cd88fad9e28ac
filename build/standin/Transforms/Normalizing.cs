using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Transforms;

/// <summary>Learns how to scale numbers by their smallest and largest value, slot by slot.</summary>
public sealed class NormalizingEstimator : IEstimator<NormalizingTransformer>
{
    private readonly IHost _host;
    private readonly InputOutputColumnPair[] _columns;
    private readonly long _maximumExampleCount;
    private readonly bool _fixZero;

    internal NormalizingEstimator(
        IHostEnvironment env, InputOutputColumnPair[] columns, long maximumExampleCount, bool fixZero)
    {
        _host = env.Register(nameof(NormalizingEstimator));
        Check.Param(maximumExampleCount > 1, nameof(maximumExampleCount), "Must be greater than 1");
        _columns = columns;
        _maximumExampleCount = maximumExampleCount;
        _fixZero = fixZero;
    }

    public NormalizingTransformer Fit(IDataView input)
    {
        Check.NotNull(input, nameof(input));
        return new NormalizingTransformer(_host, _columns, Array.ConvertAll(_columns, pair => Learn(input, pair)));
    }

    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        return inputSchema.With(_columns.Select(pair =>
        {
            SchemaShape.Column input = ColumnPairs.Find(inputSchema, pair);
            if (input.Kind == SchemaShape.Column.VectorKind.VariableVector)
            {
                throw Check.SchemaMismatch(
                    nameof(inputSchema),
                    "input",
                    pair.InputColumnName,
                    "known-size vector or scalar",
                    input.GetTypeString());
            }

            if (input.ItemType != NumberDataViewType.Single && input.ItemType != NumberDataViewType.Double)
            {
                throw Check.SchemaMismatch(
                    nameof(inputSchema),
                    "input",
                    pair.InputColumnName,
                    "vector or scalar of Single or Double",
                    input.GetTypeString());
            }

            var annotations = new List<SchemaShape.Column>
            {
                SchemaShape.Column.Of(AnnotationKinds.IsNormalized, BooleanDataViewType.Instance),
            };
            if (input.Annotations.TryFindColumn(AnnotationKinds.SlotNames, out SchemaShape.Column slotNames))
            {
                annotations.Add(slotNames);
            }

            return new SchemaShape.Column(
                pair.OutputColumnName, input.Kind, input.ItemType, isKey: false, new SchemaShape(annotations));
        }));
    }

    private AffineScaling Learn(IDataView data, InputOutputColumnPair pair)
    {
        DataViewSchema.Column column = data.Schema.GetColumnOrNull(pair.InputColumnName)
            ?? throw Check.MissingColumn("inputSchema", "input", pair.InputColumnName);
        using DataViewRowCursor cursor = data.GetRowCursor([column]);
        return UntypedGetters.Call<AffineScaling>(
            AffineScaling.Learn<float>,
            AffineScaling.NumberTypeOf(column),
            cursor,
            column,
            _maximumExampleCount,
            _fixZero);
    }
}

/// <summary>What <see cref="NormalizingEstimator"/> makes.</summary>
public sealed class NormalizingTransformer : OneToOneTransformerBase
{
    private const string LoaderName = "Normalize";

    private readonly InputOutputColumnPair[] _columns;
    private readonly AffineScaling[] _scalings;

    internal NormalizingTransformer(IHostEnvironment env, InputOutputColumnPair[] columns, AffineScaling[] scalings)
        : base(env.Register(nameof(NormalizingTransformer)))
    {
        _columns = columns;
        _scalings = scalings;
    }

    [ModelLoader(LoaderName)]
    private static object Load(IHostEnvironment env, ModelLoadContext ctx)
    {
        InputOutputColumnPair[] columns = ColumnPairs.Read(ctx.Reader);
        return new NormalizingTransformer(
            env, columns, Array.ConvertAll(columns, _ => AffineScaling.Read(ctx.Reader)));
    }

    private protected override RowMapping Bind(DataViewSchema inputSchema) =>
        new Mapping(inputSchema, _columns, _scalings);

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        ColumnPairs.Write(ctx.Writer, _columns);
        foreach (AffineScaling scaling in _scalings)
        {
            scaling.Write(ctx.Writer);
        }
    }

    private sealed class Mapping : OneToOneMapping
    {
        private readonly AffineScaling[] _scalings;

        internal Mapping(DataViewSchema inputSchema, InputOutputColumnPair[] columns, AffineScaling[] scalings)
            : base(inputSchema, columns)
        {
            _scalings = scalings;
            for (int i = 0; i < columns.Length; i++)
            {
                if (!scalings[i].Fits(Inputs[i].Type))
                {
                    throw Check.SchemaMismatch(
                        nameof(inputSchema),
                        "input",
                        Inputs[i].Name,
                        scalings[i].InputType.ToString(),
                        Inputs[i].Type.ToString());
                }
            }
        }

        protected override DataViewSchema.DetachedColumn GetOutput(string name, int output)
        {
            var annotations = new DataViewSchema.Annotations.Builder();
            annotations.AddPrimitiveValue(AnnotationKinds.IsNormalized, BooleanDataViewType.Instance, true);
            annotations.Add(Inputs[output].Annotations, kind => kind == AnnotationKinds.SlotNames);
            return new DataViewSchema.DetachedColumn(name, Inputs[output].Type, annotations.ToAnnotations());
        }

        protected override Delegate CreateGetter(DataViewRow input, DataViewSchema.Column column, int output) =>
            UntypedGetters.Call<Delegate>(
                _scalings[output].CreateGetter<float>, AffineScaling.NumberTypeOf(column), input, column);
    }
}
