using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Transforms;

/// <summary>Turns keys into the values behind them.</summary>
public sealed class KeyToValueMappingEstimator : TrivialEstimator<KeyToValueMappingTransformer>
{
    internal KeyToValueMappingEstimator(IHostEnvironment env, InputOutputColumnPair[] columns)
        : base(env.Register(nameof(KeyToValueMappingEstimator)), new KeyToValueMappingTransformer(env, columns))
    {
    }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        return inputSchema.With(Transformer.Columns.Select(pair => OutputOf(inputSchema, pair)));
    }

    private static SchemaShape.Column OutputOf(SchemaShape inputSchema, InputOutputColumnPair pair)
    {
        SchemaShape.Column input = ColumnPairs.Find(inputSchema, pair);
        if (!input.IsKey)
        {
            throw Check.SchemaMismatch(
                nameof(inputSchema), "input", pair.InputColumnName, "KeyType", input.GetTypeString());
        }

        Check.Param(
            input.Annotations.TryFindColumn(AnnotationKinds.KeyValues, out SchemaShape.Column values),
            nameof(inputSchema),
            $"Input column '{pair.InputColumnName}' doesn't contain key values metadata");
        SchemaShape annotations =
            input.Annotations.TryFindColumn(AnnotationKinds.SlotNames, out SchemaShape.Column slotNames)
                ? new SchemaShape([slotNames])
                : null;
        return new SchemaShape.Column(pair.OutputColumnName, input.Kind, values.ItemType, values.IsKey, annotations);
    }
}

/// <summary>What <see cref="KeyToValueMappingEstimator"/> makes. The values come from the annotations of its input.</summary>
public sealed class KeyToValueMappingTransformer : OneToOneTransformerBase
{
    private const string LoaderName = "MapKeyToValue";

    internal KeyToValueMappingTransformer(IHostEnvironment env, InputOutputColumnPair[] columns)
        : base(env.Register(nameof(KeyToValueMappingTransformer)))
    {
        Columns = columns;
    }

    internal InputOutputColumnPair[] Columns { get; }

    [ModelLoader(LoaderName)]
    private static object Load(IHostEnvironment env, ModelLoadContext ctx) =>
        new KeyToValueMappingTransformer(env, ColumnPairs.Read(ctx.Reader));

    private protected override RowMapping Bind(DataViewSchema inputSchema) => new Mapping(inputSchema, Columns);

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        ColumnPairs.Write(ctx.Writer, Columns);
    }

    private sealed class Mapping : OneToOneMapping
    {
        private readonly PrimitiveDataViewType[] _valueTypes;

        internal Mapping(DataViewSchema inputSchema, InputOutputColumnPair[] pairs)
            : base(inputSchema, pairs)
        {
            _valueTypes = Array.ConvertAll(Inputs, ValueTypeOf);
        }

        protected override DataViewSchema.DetachedColumn GetOutput(string name, int output)
        {
            var annotations = new DataViewSchema.Annotations.Builder();
            annotations.Add(Inputs[output].Annotations, kind => kind == AnnotationKinds.SlotNames);
            DataViewType type = Inputs[output].Type is VectorDataViewType vector
                ? new VectorDataViewType(_valueTypes[output], vector.Dimensions)
                : _valueTypes[output];
            return new DataViewSchema.DetachedColumn(name, type, annotations.ToAnnotations());
        }

        protected override Delegate CreateGetter(DataViewRow input, DataViewSchema.Column column, int output) =>
            UntypedGetters.Call<Delegate>(
                TypedGetter<int>, _valueTypes[output].RawType, input, column, Inputs[output], _valueTypes[output]);

        private static PrimitiveDataViewType ValueTypeOf(DataViewSchema.Column column)
        {
            DataViewType type = column.Annotations.Schema.GetColumnOrNull(AnnotationKinds.KeyValues)?.Type
                ?? throw new InvalidOperationException("Metadata KeyValues does not exist");
            return type is VectorDataViewType values
                && PrimitiveTypes.ItemTypeOf(column.Type) is KeyDataViewType key
                && (ulong)values.Size == key.Count
                    ? values.ItemType
                    : throw new InvalidOperationException(
                        "KeyValues metadata size does not match column type key count");
        }

        private static Delegate TypedGetter<T>(
            DataViewRow input, DataViewSchema.Column column, DataViewSchema.Column keys, DataViewType valueType)
        {
            VBuffer<T> values = default;
            keys.GetKeyValues(ref values);
            T[] items = [.. values.DenseValues()];
            T missing = MissingValues.Of<T>(valueType);
            T ValueOf(ulong key) => key > 0 && key <= (ulong)items.Length ? items[key - 1] : missing;
            if (column.Type is not VectorDataViewType)
            {
                Func<ulong> read = KeyReaders.Scalar(input, column);
                return (ValueGetter<T>)((ref T value) => value = ValueOf(read()));
            }

            Func<ulong[]> readAll = KeyReaders.Vector(input, column);
            return (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) =>
            {
                ulong[] all = readAll();
                VBufferEditor<T> editor = VBufferEditor.Create(ref value, all.Length);
                for (int i = 0; i < all.Length; i++)
                {
                    editor.Values[i] = ValueOf(all[i]);
                }

                value = editor.Commit();
            });
        }
    }
}
