using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Transforms;

/// <summary>Learns the different values of columns and numbers them.</summary>
public sealed class ValueToKeyMappingEstimator : IEstimator<ValueToKeyMappingTransformer>
{
    private readonly IHost _host;
    private readonly InputOutputColumnPair[] _columns;
    private readonly int _maximumNumberOfKeys;
    private readonly KeyOrdinality _keyOrdinality;
    private readonly bool _keyValuesAsText;
    private readonly IDataView _keyData;

    internal ValueToKeyMappingEstimator(
        IHostEnvironment env,
        InputOutputColumnPair[] columns,
        int maximumNumberOfKeys,
        KeyOrdinality keyOrdinality,
        bool keyValuesAsText,
        IDataView keyData)
    {
        _host = env.Register(nameof(ValueToKeyMappingEstimator));
        Check.Param(
            keyData is null || keyData.Schema.Count == 1,
            nameof(keyData),
            "If specified, this data view should contain only a single column "
                + $"containing the terms to map, but this had {keyData?.Schema.Count} columns.");
        _columns = columns;
        _maximumNumberOfKeys = maximumNumberOfKeys;
        _keyOrdinality = keyOrdinality;
        _keyValuesAsText = keyValuesAsText;
        _keyData = keyData;
    }

    /// <summary>How the values are numbered.</summary>
    public enum KeyOrdinality : byte
    {
        /// <summary>In the order in which they occur.</summary>
        ByOccurrence = 0,

        /// <summary>In ascending order.</summary>
        ByValue = 1,
    }

    public ValueToKeyMappingTransformer Fit(IDataView input)
    {
        Check.NotNull(input, nameof(input));
        KeyMap[] maps = Array.ConvertAll(_columns, pair => Learn(input, pair));
        return new ValueToKeyMappingTransformer(_host, _columns, maps, _keyValuesAsText);
    }

    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        return inputSchema.With(_columns.Select(pair =>
        {
            SchemaShape.Column input = ColumnPairs.Find(inputSchema, pair);
            if (!KeyMap.Accepts(input.ItemType))
            {
                throw Check.MissingColumn(nameof(inputSchema), "input", pair.InputColumnName);
            }

            var annotations = new List<SchemaShape.Column>();
            if (input.Annotations.TryFindColumn(AnnotationKinds.SlotNames, out SchemaShape.Column slotNames))
            {
                annotations.Add(slotNames);
            }

            annotations.Add(new SchemaShape.Column(
                AnnotationKinds.KeyValues,
                SchemaShape.Column.VectorKind.Vector,
                _keyValuesAsText ? TextDataViewType.Instance : input.ItemType,
                input.IsKey));
            return new SchemaShape.Column(
                pair.OutputColumnName, input.Kind, NumberDataViewType.UInt32, true, new SchemaShape(annotations));
        }));
    }

    private KeyMap Learn(IDataView input, InputOutputColumnPair pair)
    {
        DataViewSchema.Column column = input.Schema.GetColumnOrNull(pair.InputColumnName)
            ?? throw Check.MissingColumn("inputSchema", "input", pair.InputColumnName);
        DataViewType itemType = PrimitiveTypes.ItemTypeOf(column.Type);
        if (itemType is KeyDataViewType)
        {
            throw new NotSupportedException(
                $"The stand-in's MapValueToKey does not take keys (column '{column.Name}').");
        }

        if (!KeyMap.Accepts(itemType))
        {
            throw Check.SchemaMismatch(
                "inputSchema",
                "input",
                column.Name,
                "standard type or a vector of standard type",
                column.Type.ToString());
        }

        if (_keyData is null)
        {
            return KeyMap.Learn(input, column, _maximumNumberOfKeys, _keyOrdinality);
        }

        DataViewSchema.Column keys = _keyData.Schema[0];
        return PrimitiveTypes.ItemTypeOf(keys.Type).Equals(itemType)
            ? KeyMap.Learn(_keyData, keys, int.MaxValue, _keyOrdinality)
            : throw new ArgumentOutOfRangeException(
                "keyData",
                $"The key data has items of type {PrimitiveTypes.ItemTypeOf(keys.Type)}, column '{column.Name}' has {itemType}.");
    }
}

/// <summary>What <see cref="ValueToKeyMappingEstimator"/> makes. Values that it has not learned become missing keys.</summary>
public sealed class ValueToKeyMappingTransformer : OneToOneTransformerBase
{
    private const string LoaderName = "MapValueToKey";

    private readonly InputOutputColumnPair[] _columns;
    private readonly KeyMap[] _maps;
    private readonly bool _keyValuesAsText;

    internal ValueToKeyMappingTransformer(
        IHostEnvironment env, InputOutputColumnPair[] columns, KeyMap[] maps, bool keyValuesAsText)
        : base(env.Register(nameof(ValueToKeyMappingTransformer)))
    {
        _columns = columns;
        _maps = maps;
        _keyValuesAsText = keyValuesAsText;
    }

    [ModelLoader(LoaderName)]
    private static object Load(IHostEnvironment env, ModelLoadContext ctx)
    {
        bool asText = ctx.Reader.ReadBoolean();
        InputOutputColumnPair[] columns = ColumnPairs.Read(ctx.Reader);
        KeyMap[] maps = Array.ConvertAll(columns, _ => KeyMap.Read(ctx.Reader));
        return new ValueToKeyMappingTransformer(env, columns, maps, asText);
    }

    private protected override RowMapping Bind(DataViewSchema inputSchema) => new Mapping(inputSchema, this);

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        ctx.Writer.Write(_keyValuesAsText);
        ColumnPairs.Write(ctx.Writer, _columns);
        foreach (KeyMap map in _maps)
        {
            map.Write(ctx.Writer);
        }
    }

    private sealed class Mapping : OneToOneMapping
    {
        private readonly ValueToKeyMappingTransformer _owner;

        internal Mapping(DataViewSchema inputSchema, ValueToKeyMappingTransformer owner)
            : base(inputSchema, owner._columns)
        {
            _owner = owner;
            for (int i = 0; i < Inputs.Length; i++)
            {
                if (!PrimitiveTypes.ItemTypeOf(Inputs[i].Type).Equals(owner._maps[i].ItemType))
                {
                    throw Check.SchemaMismatch(
                        nameof(inputSchema),
                        "input",
                        Inputs[i].Name,
                        owner._maps[i].ItemType.ToString(),
                        Inputs[i].Type.ToString());
                }
            }
        }

        protected override DataViewSchema.DetachedColumn GetOutput(string name, int output)
        {
            KeyMap map = _owner._maps[output];
            var annotations = new DataViewSchema.Annotations.Builder();
            annotations.Add(Inputs[output].Annotations, kind => kind == AnnotationKinds.SlotNames);
            map.AddKeyValues(annotations, _owner._keyValuesAsText);
            DataViewType type = Inputs[output].Type is VectorDataViewType vector
                ? new VectorDataViewType(map.KeyType, vector.Dimensions)
                : map.KeyType;
            return new DataViewSchema.DetachedColumn(name, type, annotations.ToAnnotations());
        }

        protected override Delegate CreateGetter(DataViewRow input, DataViewSchema.Column column, int output) =>
            _owner._maps[output].CreateGetter(input, column);
    }
}
