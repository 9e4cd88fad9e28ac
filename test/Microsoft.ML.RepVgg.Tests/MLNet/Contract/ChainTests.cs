using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Chains of estimators and of transformers.</summary>
public sealed class ChainTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void AppendKeepsTheTypeOfTheLastTransformer()
    {
        NumbersView view = new(1, 2);
        EstimatorChain<Transforms.ColumnCopyingTransformer> pipeline = _context.Transforms.CopyColumns("A", "Number")
            .Append(_context.Transforms.DropColumns("Number"))
            .Append(_context.Transforms.CopyColumns("B", "A"));
        TransformerChain<Transforms.ColumnCopyingTransformer> model = pipeline.Fit(view);

        Assert.Equal(3, model.Count());
        Assert.Same(model.Last(), model.LastTransformer);
        Assert.NotNull(pipeline.LastEstimator);
        Assert.Equal(["A", "B"], model.Transform(view).Schema.Names());
        Assert.Equal(["A", "B"], model.GetOutputSchema(view.Schema).Names());
        Assert.True(((ITransformer)model).IsRowToRowMapper);
    }

    [Fact]
    public void SchemaErrorsComeBeforeTraining()
    {
        NotingEstimator first = new();
        IEstimator<ITransformer> pipeline = new EstimatorChain<ITransformer>().Append(first)
            .Append(_context.Transforms.CopyColumns("A", "Nothing"));

        Exception error = Assert.Throws<ArgumentOutOfRangeException>(() => pipeline.Fit(new NumbersView(1)));

        Assert.Contains("Could not find input column 'Nothing'", error.Message);
        Assert.Equal(0, first.Fits);
    }

    [Fact]
    public void TransformersCheckTheSchemaWhenTheyAreApplied()
    {
        ITransformer model = _context.Transforms.CopyColumns("A", "Number").Fit(new NumbersView(1));
        IDataView other = _context.Data.LoadFromEnumerable([new Text()]);

        Assert.Throws<ArgumentOutOfRangeException>(() => model.Transform(other));
        Assert.Throws<ArgumentOutOfRangeException>(() => model.GetOutputSchema(other.Schema));
        Assert.Throws<ArgumentOutOfRangeException>(() => new TransformerChain<ITransformer>(model).Transform(other));
    }

    [Fact]
    public void ScopesChooseLinks()
    {
        ITransformer Copy(string name) => _context.Transforms.CopyColumns(name, "Number").Fit(new NumbersView());
        TransformerChain<ITransformer> chain = new TransformerChain<ITransformer>(Copy("All"))
            .Append(Copy("Train"), TransformerScope.TrainTest)
            .Append(Copy("Score"), TransformerScope.Scoring);

        Assert.Equal(["Number", "All", "Score"], chain.Transform(new NumbersView()).Schema.Names());
        Assert.Equal(
            ["Number", "All", "Train"], chain.Transform(new NumbersView(), TransformerScope.Training).Schema.Names());
        Assert.Equal(4, chain.GetOutputSchema(new NumbersView().Schema, TransformerScope.Everything).Count);
        Assert.Equal(2, chain.GetModelFor(TransformerScope.Testing).Count());
        Assert.Equal(7, (int)TransformerScope.Everything);
    }

    [Fact]
    public void EmptyChainsChangeNothing()
    {
        NumbersView view = new(1);
        TransformerChain<ITransformer> chain = new();

        Assert.Null(chain.LastTransformer);
        Assert.Same(view, chain.Transform(view));
        Assert.Empty(new EstimatorChain<ITransformer>().Fit(view));
        Assert.Throws<InvalidOperationException>(() => new EstimatorChain<ITransformer>().AppendCacheCheckpoint(_context));
    }

    [Fact]
    public void CheckpointsReadTheirInputOnce()
    {
        DoublingTransformer doubling = new();
        IEstimator<ITransformer> pipeline = new ConstantEstimator(doubling)
            .AppendCacheCheckpoint(_context)
            .Append(_context.Transforms.Conversion.MapValueToKey("Doubled"))
            .Append(_context.Transforms.Conversion.MapValueToKey("K2", "Number"));

        pipeline.Fit(new NumbersView(1, 2, 3, 1));

        Assert.Equal(4, doubling.Computed);
    }

    [Fact]
    public void DisposingAChainDisposesItsLinks()
    {
        DoublingTransformer doubling = new();
        TransformerChain<ITransformer> chain = new(doubling);

        chain.Dispose();
        chain.Dispose();

        Assert.True(doubling.IsDisposed);
    }

    [Fact]
    public void FittedModelsAreHandedToDelegates()
    {
        ITransformer? seen = null;
        IEstimator<ITransformer> pipeline = ((IEstimator<ITransformer>)_context.Transforms.CopyColumns("A", "Number"))
            .WithOnFitDelegate(model => seen = model)
            .Append(_context.Transforms.CopyColumns("B", "A"));

        pipeline.Fit(new NumbersView(1));

        Assert.IsType<Transforms.ColumnCopyingTransformer>(seen);
    }

    private sealed class ConstantEstimator(ITransformer transformer) : IEstimator<ITransformer>
    {
        public ITransformer Fit(IDataView input) => transformer;

        public SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            // A second number beside the first: the shape of a view that has both.
            NotingEstimator probe = new();
            new EstimatorChain<ITransformer>().Append(probe).Fit(transformer.Transform(new NumbersView(1)));
            return probe.Seen!;
        }
    }

    private sealed class Text
    {
        public string Other { get; set; } = "";
    }
}
