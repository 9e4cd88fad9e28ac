using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Transforms;

/// <summary>Converts numbers and truth values into other types.</summary>
public sealed class TypeConvertingEstimator : TrivialEstimator<TypeConvertingTransformer>
{
    internal TypeConvertingEstimator(IHostEnvironment env, InputOutputColumnPair[] columns, DataKind outputKind)
        : base(
            env.Register(nameof(TypeConvertingEstimator)),
            new TypeConvertingTransformer(env, columns, outputKind))
    {
    }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        return inputSchema.With(Transformer.Columns.Select(pair =>
        {
            SchemaShape.Column input = ColumnPairs.Find(inputSchema, pair);
            PrimitiveDataViewType type = TypeConversions.TypeOf(Transformer.OutputKind);
            Check.Param(
                !input.IsKey && TypeConversions.Exists(input.ItemType, type),
                nameof(inputSchema),
                $"Don't know how to convert {pair.InputColumnName} into {type}");
            return new SchemaShape.Column(pair.OutputColumnName, input.Kind, type, isKey: false, input.Annotations);
        }));
    }
}

/// <summary>What <see cref="TypeConvertingEstimator"/> makes.</summary>
public sealed class TypeConvertingTransformer : OneToOneTransformerBase
{
    private const string LoaderName = "ConvertType";

    internal TypeConvertingTransformer(IHostEnvironment env, InputOutputColumnPair[] columns, DataKind outputKind)
        : base(env.Register(nameof(TypeConvertingTransformer)))
    {
        Columns = columns;
        OutputKind = outputKind;
    }

    internal InputOutputColumnPair[] Columns { get; }

    internal DataKind OutputKind { get; }

    [ModelLoader(LoaderName)]
    private static object Load(IHostEnvironment env, ModelLoadContext ctx)
    {
        var kind = (DataKind)ctx.Reader.ReadByte();
        return new TypeConvertingTransformer(env, ColumnPairs.Read(ctx.Reader), kind);
    }

    private protected override RowMapping Bind(DataViewSchema inputSchema) => new Mapping(inputSchema, this);

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        ctx.Writer.Write((byte)OutputKind);
        ColumnPairs.Write(ctx.Writer, Columns);
    }

    private sealed class Mapping : OneToOneMapping
    {
        private readonly PrimitiveDataViewType _type;

        internal Mapping(DataViewSchema inputSchema, TypeConvertingTransformer owner)
            : base(inputSchema, owner.Columns)
        {
            _type = TypeConversions.TypeOf(owner.OutputKind);
            foreach (DataViewSchema.Column input in Inputs)
            {
                Check.Param(
                    TypeConversions.Exists(PrimitiveTypes.ItemTypeOf(input.Type), _type),
                    nameof(inputSchema),
                    $"source column '{input.Name}' with item type '{input.Type}' is not compatible with destination type '{_type}'");
            }
        }

        protected override DataViewSchema.DetachedColumn GetOutput(string name, int output)
        {
            DataViewSchema.Column input = Inputs[output];
            DataViewType itemType = PrimitiveTypes.ItemTypeOf(input.Type);
            var annotations = new DataViewSchema.Annotations.Builder();
            if (input.Type is VectorDataViewType { IsKnownSize: true })
            {
                annotations.Add(input.Annotations, kind => kind == AnnotationKinds.SlotNames);
            }

            if (itemType is BooleanDataViewType && _type is NumberDataViewType)
            {
                annotations.AddPrimitiveValue(AnnotationKinds.IsNormalized, BooleanDataViewType.Instance, true);
            }
            else if (itemType is NumberDataViewType && _type is NumberDataViewType)
            {
                annotations.Add(input.Annotations, kind => kind == AnnotationKinds.IsNormalized);
            }

            DataViewType type = input.Type is VectorDataViewType vector
                ? new VectorDataViewType(_type, vector.Dimensions)
                : _type;
            return new DataViewSchema.DetachedColumn(name, type, annotations.ToAnnotations());
        }

        protected override Delegate CreateGetter(DataViewRow input, DataViewSchema.Column column, int output) =>
            TypeConversions.CreateGetter(input, column, _type);
    }
}
