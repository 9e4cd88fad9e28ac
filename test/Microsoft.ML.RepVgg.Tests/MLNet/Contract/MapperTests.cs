using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Row mappers of stock transformers, used directly, and errors that getters throw.</summary>
public sealed class MapperTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void DependenciesNameWhatIsNeeded()
    {
        NumbersView view = new(1, 2);
        IRowToRowMapper mapper = _context.Transforms.CopyColumns("A", "Number")
            .Append(_context.Transforms.CopyColumns("B", "A"))
            .Fit(view) is ITransformer chain ? chain.GetRowToRowMapper(view.Schema) : null!;

        Assert.Same(view.Schema, mapper.InputSchema);
        Assert.Equal(["Number", "A", "B"], mapper.OutputSchema.Names());
        Assert.Equal("Number", Assert.Single(mapper.GetDependencies([mapper.OutputSchema["B"]])).Name);
        Assert.Empty(mapper.GetDependencies([]));
    }

    [Fact]
    public void RowsFollowTheirInput()
    {
        NumbersView view = new(5, 6);
        IRowToRowMapper mapper = ((ITransformer)_context.Transforms.CopyColumns("A", "Number").Fit(view))
            .GetRowToRowMapper(view.Schema);
        using DataViewRowCursor cursor = view.GetRowCursor(view.Schema);
        using DataViewRow row = mapper.GetRow(cursor, [mapper.OutputSchema["A"]]);
        ValueGetter<float> getter = row.GetGetter<float>(mapper.OutputSchema["A"]);
        List<float> values = [];
        while (cursor.MoveNext())
        {
            float value = 0;
            getter(ref value);
            values.Add(value);
            Assert.Equal(cursor.Position, row.Position);
        }

        Assert.Equal([5f, 6], values);
        Assert.Same(mapper.OutputSchema, row.Schema);
        Assert.True(row.IsColumnActive(mapper.OutputSchema["A"]));
    }

    [Fact]
    public void RowsMustBeOfTheSchemaThatTheMapperIsBoundTo()
    {
        NumbersView view = new(1);
        ITransformer copy = _context.Transforms.CopyColumns("A", "Number").Fit(view);
        using DataViewRowCursor other = new NumbersView(1).GetRowCursor([]);

        Assert.Throws<InvalidOperationException>(() =>
            copy.GetRowToRowMapper(view.Schema).GetRow(other, []));
        Assert.Throws<ArgumentOutOfRangeException>(() => ((ITransformer)new TransformerChain<ITransformer>(copy))
            .GetRowToRowMapper(view.Schema).GetRow(other, []));
    }

    [Fact]
    public void ErrorsOfGettersArrive()
    {
        IDataView view = new FailingTransformer(2).Transform(new NumbersView(0, 1, 2, 3));
        IDataView output = _context.Transforms.CopyColumns("Copy", "Failing").Fit(view).Transform(view);

        Exception? error = Assert.ThrowsAny<Exception>(() => output.Values<float>("Copy"));

        // ML.NET may wrap errors of other threads.
        while (error is not null and not TimeZoneNotFoundException)
        {
            error = error.InnerException;
        }

        Assert.Equal("row 2", error?.Message);
    }

    [Fact]
    public void ErrorsArriveUnwrappedFromPredictionEngines()
    {
        using PredictionEngine<Input, Output> engine =
            _context.Model.CreatePredictionEngine<Input, Output>(new FailingTransformer(0));

        Assert.Throws<TimeZoneNotFoundException>(() => engine.Predict(new Input()));
    }

    /// <summary>Adds a column whose getter throws in one row.</summary>
    private sealed class FailingTransformer(int failing) : ITransformer
    {
        public bool IsRowToRowMapper => true;

        public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => Mapper(inputSchema).OutputSchema;

        public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => Mapper(inputSchema);

        public IDataView Transform(IDataView input) => MapperView.Over(input, Mapper(input.Schema));

        public void Save(ModelSaveContext ctx) => throw new NotSupportedException();

        private SingleColumnMapper Mapper(DataViewSchema schema) => new(schema, "Failing", row =>
        {
            ValueGetter<float> getter = (ref float value) => value =
                row.Position == failing ? throw new TimeZoneNotFoundException($"row {row.Position}") : row.Position;
            return getter;
        });
    }

    private sealed class Input
    {
        public float Number { get; set; }
    }

    private sealed class Output
    {
        public float Failing { get; set; }
    }
}
