using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>What code outside of ML.NET can do: own views, own estimators, own transformers.</summary>
public sealed class ThirdPartyTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void OwnViewsGoThroughStockTransforms()
    {
        IDataView view = new NumbersView(3, 1, 2);
        EstimatorChain<ITransformer> pipeline = new EstimatorChain<ITransformer>()
            .Append(_context.Transforms.CopyColumns("Copy", "Number"))
            .Append((IEstimator<ITransformer>)_context.Transforms.Conversion.MapValueToKey("Copy"));
        IDataView output = pipeline.Fit(view).Transform(view);

        Assert.Equal([3f, 1, 2], output.Values<float>("Number"));
        Assert.Equal([1u, 2, 3], output.Values<uint>("Copy"));
        Assert.Equal([3f, 1, 2], _context.Data.Cache(view).Values<float>("Number"));
    }

    [Fact]
    public void ChainsAskEstimatorsWithTheShapeOfTheData()
    {
        IDataView source = _context.Data.LoadFromEnumerable([new Row()]);
        IDataView view = _context.Transforms.Conversion.MapValueToKey("Label").Fit(source).Transform(source);
        NotingEstimator probe = new();

        new EstimatorChain<ITransformer>().Append(probe).Fit(view);

        Assert.Equal(1, probe.Fits);
        SchemaShape shape = probe.Seen!;
        Assert.Equal(["Label", "Fixed", "Free"], shape.Select(column => column.Name));
        SchemaShape.Column label = shape[0];
        Assert.True(label.IsKey);
        Assert.Equal(NumberDataViewType.UInt32, label.ItemType);
        Assert.Equal(SchemaShape.Column.VectorKind.Scalar, label.Kind);
        SchemaShape.Column keyValues = Assert.Single(label.Annotations);
        Assert.Equal("KeyValues", keyValues.Name);
        Assert.Equal(SchemaShape.Column.VectorKind.Vector, keyValues.Kind);
        Assert.Equal(TextDataViewType.Instance, keyValues.ItemType);
        Assert.Equal(SchemaShape.Column.VectorKind.Vector, shape[1].Kind);
        Assert.Equal(SchemaShape.Column.VectorKind.VariableVector, shape[2].Kind);
        Assert.Equal(NumberDataViewType.Single, shape[2].ItemType);
        Assert.Empty(shape[2].Annotations);
    }

    [Fact]
    public void ShapeColumnsCannotBeMadeFromOutside()
    {
        Assert.Empty(typeof(SchemaShape.Column).GetConstructors());
        Assert.Throws<ArgumentNullException>(() => new SchemaShape(null!));
        Assert.Throws<ArgumentOutOfRangeException>(() => new SchemaShape([default]));
        Assert.Empty(new SchemaShape([]));
    }

    [Fact]
    public void OwnTransformersTakePartInChains()
    {
        using DoublingTransformer doubling = new();
        TransformerChain<ITransformer> chain = new(
            doubling, _context.Transforms.CopyColumns("Again", "Doubled").Fit(doubling.Transform(new NumbersView())));

        IDataView output = chain.Transform(new NumbersView(1, 2));

        Assert.Equal([2f, 4], output.Values<float>("Again"));
        Assert.Equal(["Number", "Doubled", "Again"], chain.GetOutputSchema(new NumbersView().Schema).Names());
    }

    [Fact]
    public void ColumnsThatNobodyAsksForAreNotComputed()
    {
        using DoublingTransformer doubling = new();
        IDataView output = _context.Transforms.CopyColumns("Again", "Number")
            .Fit(doubling.Transform(new NumbersView())).Transform(doubling.Transform(new NumbersView(1, 2, 3)));

        Assert.Equal([1f, 2, 3], output.Values<float>("Again"));
        Assert.Equal(0, doubling.Computed);
        Assert.Equal([2f, 4, 6], output.Values<float>("Doubled"));
        Assert.Equal(3, doubling.Computed);
    }

    [Fact]
    public void OwnMappersServePredictionEngines()
    {
        using DoublingTransformer doubling = new();
        TransformerChain<ITransformer> chain = new(
            doubling, _context.Transforms.CopyColumns("Again", "Doubled").Fit(doubling.Transform(new NumbersView())));
        using PredictionEngine<Input, Output> engine =
            _context.Model.CreatePredictionEngine<Input, Output>(chain, new PredictionEngineOptions { OwnsTransformer = false });

        Assert.Equal(10, engine.Predict(new Input { Number = 5 }).Again);
        Assert.Equal(-4, engine.Predict(new Input { Number = -2 }).Again);
        Assert.Equal(["Number", "Doubled", "Again"], engine.OutputSchema.Names());
    }

    [Fact]
    public void OwnTransformersAreLoadedAsWhatTheySavedThemselvesAs()
    {
        using DoublingTransformer doubling = new();
        using MemoryStream file = new();
        _context.Model.Save(new TransformerChain<ITransformer>(doubling), new NumbersView().Schema, file);
        file.Position = 0;

        ITransformer loaded = new MLContext().Model.Load(file, out DataViewSchema schema);

        Assert.Equal(["Number"], schema.Names());
        Assert.IsNotType<DoublingTransformer>(Assert.Single((TransformerChain<ITransformer>)loaded));
        Assert.Equal([7f], loaded.Transform(new NumbersView(7)).Values<float>("Doubled"));
    }

    [Fact]
    public void OwnTransformersSaveAsChainsToo()
    {
        using MemoryStream file = new();
        _context.Model.Save(new SavedAsChain(_context), null, file);
        file.Position = 0;

        ITransformer loaded = new MLContext().Model.Load(file, out DataViewSchema schema);

        Assert.Null(schema);
        Assert.Equal(2, ((TransformerChain<ITransformer>)loaded).Count());
        Assert.Equal([3f], loaded.Transform(new NumbersView(3)).Values<float>("B"));
    }

    private sealed class SavedAsChain(MLContext context) : ITransformer
    {
        private readonly ITransformer _chain = context.Transforms.CopyColumns("A", "Number")
            .Append(context.Transforms.CopyColumns("B", "A")).Fit(new NumbersView());

        public bool IsRowToRowMapper => _chain.IsRowToRowMapper;

        public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => _chain.GetOutputSchema(inputSchema);

        public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => _chain.GetRowToRowMapper(inputSchema);

        public IDataView Transform(IDataView input) => _chain.Transform(input);

        public void Save(ModelSaveContext ctx) => _chain.Save(ctx);
    }

    private sealed class Row
    {
        public string Label { get; set; } = "a";

        [VectorType(2)]
        public float[] Fixed { get; set; } = [0, 0];

        public float[] Free { get; set; } = [];
    }

    private sealed class Input
    {
        public float Number { get; set; }
    }

    private sealed class Output
    {
        public float Again { get; set; }
    }
}
