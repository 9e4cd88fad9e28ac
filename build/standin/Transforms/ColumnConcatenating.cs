using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Transforms
{
    /// <summary>Joins columns of one item type into a vector.</summary>
    public sealed class ColumnConcatenatingEstimator : IEstimator<ColumnConcatenatingTransformer>
    {
        private readonly IHost _host;
        private readonly string _output;
        private readonly string[] _inputs;

        internal ColumnConcatenatingEstimator(IHostEnvironment env, string outputColumnName, string[] inputColumnNames)
        {
            _host = env.Register(nameof(ColumnConcatenatingEstimator));
            Check.NotEmpty(outputColumnName, nameof(outputColumnName));
            Check.NotNull(inputColumnNames, nameof(inputColumnNames));
            Check.Param(inputColumnNames.Length > 0, nameof(inputColumnNames), "Input columns not specified");
            Check.Param(
                !inputColumnNames.Any(string.IsNullOrEmpty),
                nameof(inputColumnNames),
                "Contained some null or empty items");
            _output = outputColumnName;
            _inputs = inputColumnNames;
        }

        public ColumnConcatenatingTransformer Fit(IDataView input)
        {
            Check.NotNull(input, nameof(input));
            return new ColumnConcatenatingTransformer(_host, _output, _inputs);
        }

        public SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            Check.NotNull(inputSchema, nameof(inputSchema));
            SchemaShape.Column[] inputs = Array.ConvertAll(
                _inputs, name => ColumnPairs.Find(inputSchema, new InputOutputColumnPair(name)));
            DataViewType itemType = inputs[0].ItemType;
            foreach (SchemaShape.Column input in inputs)
            {
                if (input.IsKey)
                {
                    throw new InvalidOperationException(
                        $"Column '{input.Name}' is key. Concatenation of keys is unsupported.");
                }

                if (!input.ItemType.Equals(itemType))
                {
                    throw new InvalidOperationException(
                        $"Concatenated columns should have the same type. Column '{input.Name}' has type of {input.ItemType}, but expected column type is {itemType}.");
                }
            }

            bool variable = inputs.Any(input => input.Kind == SchemaShape.Column.VectorKind.VariableVector);
            var annotations = new List<SchemaShape.Column>();
            if (inputs.All(input => input.Annotations.TryFindColumn(AnnotationKinds.IsNormalized, out _)))
            {
                annotations.Add(SchemaShape.Column.Of(AnnotationKinds.IsNormalized, BooleanDataViewType.Instance));
            }

            if (inputs.Any(input => input.Kind == SchemaShape.Column.VectorKind.Scalar
                || input.Annotations.TryFindColumn(AnnotationKinds.SlotNames, out _)))
            {
                annotations.Add(new SchemaShape.Column(
                    AnnotationKinds.SlotNames,
                    SchemaShape.Column.VectorKind.Vector,
                    TextDataViewType.Instance,
                    isKey: false));
            }

            return inputSchema.With(new SchemaShape.Column(
                _output,
                variable ? SchemaShape.Column.VectorKind.VariableVector : SchemaShape.Column.VectorKind.Vector,
                itemType,
                isKey: false,
                new SchemaShape(annotations)));
        }
    }
}

namespace Microsoft.ML.Data
{
    /// <summary>What <see cref="Transforms.ColumnConcatenatingEstimator"/> makes.</summary>
    public sealed class ColumnConcatenatingTransformer : RowToRowTransformerBase
    {
        private const string LoaderName = "Concatenate";

        private readonly string _output;
        private readonly string[] _inputs;

        internal ColumnConcatenatingTransformer(IHostEnvironment env, string output, string[] inputs)
            : base(env.Register(nameof(ColumnConcatenatingTransformer)))
        {
            _output = output;
            _inputs = inputs;
        }

        [ModelLoader(LoaderName)]
        private static object Load(IHostEnvironment env, ModelLoadContext ctx)
        {
            string output = ctx.Reader.ReadString();
            var inputs = new string[ctx.Reader.ReadInt32()];
            for (int i = 0; i < inputs.Length; i++)
            {
                inputs[i] = ctx.Reader.ReadString();
            }

            return new ColumnConcatenatingTransformer(env, output, inputs);
        }

        private protected override RowMapping Bind(DataViewSchema inputSchema) =>
            new ConcatenationMapping(inputSchema, _output, _inputs);

        private protected override void SaveModel(ModelSaveContext ctx)
        {
            ctx.Begin(LoaderName);
            ctx.Writer.Write(_output);
            ctx.Writer.Write(_inputs.Length);
            foreach (string input in _inputs)
            {
                ctx.Writer.Write(input);
            }
        }
    }
}
