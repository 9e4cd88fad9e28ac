using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Scoring one object at a time.</summary>
public sealed class PredictionEngineTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void ScoresObjects()
    {
        using PredictionEngine<Input, Output> engine = _context.Model.CreatePredictionEngine<Input, Output>(Model());

        Output first = engine.Predict(new Input { Label = "a", V = [1, 2] });
        Output second = engine.Predict(new Input { Label = "b", V = [3, 4] });

        Assert.Equal((2u, "a"), (first.Key, first.Label));
        Assert.Equal((1u, "b"), (second.Key, second.Label));
        Assert.Equal([1f, 2], first.Copy);
        Assert.Equal([3f, 4], second.Copy);
        Assert.Equal(["V", "Label", "Key", "Copy"], engine.OutputSchema.Names());
    }

    [Fact]
    public void FillsAnObjectThatIsGiven()
    {
        using PredictionEngine<Input, Output> engine = _context.Model.CreatePredictionEngine<Input, Output>(Model());
        Output output = new() { Copy = [0, 0] };
        float[] array = output.Copy;

        engine.Predict(new Input { V = [5, 6] }, ref output);
        Assert.Same(array, output.Copy);
        Assert.Equal([5f, 6], array);
        output = null!;
        engine.Predict(new Input { V = [7, 8] }, ref output);
        Assert.Equal([7f, 8], output.Copy);
    }

    [Fact]
    public void MissingColumnsAreIgnoredByDefault()
    {
        using PredictionEngine<Input, More> engine = _context.Model.CreatePredictionEngine<Input, More>(Model());

        Assert.Equal("unset", engine.Predict(new Input()).Unknown);
        Exception error = Assert.Throws<ArgumentOutOfRangeException>(
            () => _context.Model.CreatePredictionEngine<Input, More>(Model(), ignoreMissingColumns: false));
        Assert.Contains("'Unknown'", error.Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Model.CreatePredictionEngine<Input, More>(
            Model(), new PredictionEngineOptions { IgnoreMissingColumns = false }));
    }

    [Fact]
    public void InputsMustHaveWhatTheModelNeeds()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Model.CreatePredictionEngine<More, Output>(Model()));
        using PredictionEngine<Input, Output> engine = _context.Model.CreatePredictionEngine<Input, Output>(Model());
        Assert.Throws<ArgumentNullException>(() => engine.Predict(null!));
    }

    [Fact]
    public void SchemasGiveInputsTheirTypes()
    {
        using PredictionEngine<Loose, Copied> engine = _context.Model.CreatePredictionEngine<Loose, Copied>(
            _context.Transforms.CopyColumns("Copy", "V").Fit(View()), VOnly());

        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 2), engine.OutputSchema["Copy"].Type);
    }

    [Fact]
    public void DefinitionsGiveOutputsTheirNames()
    {
        SchemaDefinition definition = SchemaDefinition.Create(typeof(Renamed));
        definition["Number"].ColumnName = "Key";
        using PredictionEngine<Input, Renamed> engine = _context.Model.CreatePredictionEngine<Input, Renamed>(
            Model(), outputSchemaDefinition: definition);

        Assert.Equal(2u, engine.Predict(new Input { Label = "a" }).Number);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void EnginesOwnTheirModelUnlessToldOtherwise(bool owns)
    {
        DoublingTransformer model = new();
        PredictionEngine<Number, Number> engine = owns
            ? _context.Model.CreatePredictionEngine<Number, Number>(model)
            : _context.Model.CreatePredictionEngine<Number, Number>(
                model, new PredictionEngineOptions { OwnsTransformer = false });

        engine.Predict(new Number { Value = 1 });
        engine.Dispose();
        engine.Dispose();

        Assert.Equal(owns, model.IsDisposed);
    }

    [Fact]
    public void EveryThreadMayHaveAnEngineOverOneModel()
    {
        ITransformer model = Model();
        Parallel.For(0, 4, thread =>
        {
            using PredictionEngine<Input, Output> engine = _context.Model.CreatePredictionEngine<Input, Output>(
                model, new PredictionEngineOptions { OwnsTransformer = false });
            for (int i = 0; i < 200; i++)
            {
                Assert.Equal([thread, i], engine.Predict(new Input { V = [thread, i] }).Copy);
            }
        });
    }

    private ITransformer Model() => _context.Transforms.Conversion.MapValueToKey("Key", "Label")
        .Append(_context.Transforms.CopyColumns("Copy", "V")).Fit(View());

    private IDataView View() => _context.Data.LoadFromEnumerable(
        new[] { new Input { Label = "b" }, new Input { Label = "a" } });

    private static DataViewSchema VOnly()
    {
        DataViewSchema.Builder builder = new();
        builder.AddColumn("V", new VectorDataViewType(NumberDataViewType.Single, 2));
        return builder.ToSchema();
    }

    private sealed class Input
    {
        [VectorType(2)]
        public float[] V { get; set; } = [0, 0];

        public string Label { get; set; } = "";
    }

    private sealed class Loose
    {
        public float[] V { get; set; } = [0, 0];
    }

    private sealed class Output
    {
        public uint Key { get; set; }

        public string Label { get; set; } = "";

        public float[] Copy { get; set; } = [];
    }

    private sealed class Copied
    {
        public float[] Copy { get; set; } = [];
    }

    private sealed class More
    {
        public string Unknown { get; set; } = "unset";
    }

    private sealed class Renamed
    {
        public uint Number { get; set; }
    }

    private sealed class Number
    {
        [ColumnName("Number")]
        public float Value { get; set; }
    }
}
