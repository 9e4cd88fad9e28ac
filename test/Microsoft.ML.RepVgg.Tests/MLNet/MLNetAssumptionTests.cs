using System.Reflection;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.Runtime;
using Microsoft.ML.Trainers;
using Microsoft.ML.Transforms.Image;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet;

/// <summary>What this library relies on in ML.NET beyond its documentation. The comment of a test names the code that relies on it.</summary>
public sealed partial class MLNetAssumptionTests : IDisposable
{
    private static readonly string[] _classes = ["cat", "dog", "eel"];

    private readonly MLContext _context = new(seed: 1);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // Interop/CatalogEnvironment finds the user's log and seed by these two names.
    [Fact]
    public void Catalogs_have_their_environment_behind_an_internal_interface()
    {
        var log = new List<string>();
        _context.Log += (_, line) => log.Add(line.RawMessage);
        foreach (object catalog in new object[] { _context.MulticlassClassification.Trainers, _context.Transforms })
        {
            var contract = catalog.GetType().GetInterfaces().Single(type => type.Name == "IInternalCatalog");
            Assert.False(contract.IsVisible);
            var environment = Assert.IsAssignableFrom<IHostEnvironment>(contract.GetProperty("Environment")!.GetValue(catalog));
            string message = $"from {catalog.GetType().Name}";
            using (var channel = environment.Register("Mine").Start("Work"))
                channel.Info(MessageSensitivity.None, message);
            Assert.Contains(message, log);
        }
    }

    // Interop/StockHead has features of dimensions (1, n), like the output of the ONNX transformer, because the head compares them.
    [Fact]
    public void The_stock_head_refuses_features_of_other_dimensions_than_in_training()
    {
        var head = Head(NamelessLabel(2), 2);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 1, 2), head.FeatureColumnType);
        var error = Assert.ThrowsAny<ArgumentException>(() => head.GetOutputSchema(Schema("Features", new VectorDataViewType(NumberDataViewType.Single, 2))));
        Assert.Contains("expected Vector<Single, 1, 2>, got Vector<Single, 2>", error.Message);
    }

    // RepVggTrainer.GetOutputSchema takes its output columns from the stock trainer's shape, and RepVggTransformer from the stock head.
    [Fact]
    public void The_stock_trainer_gives_score_and_predicted_label_with_all_annotations()
    {
        var keyed = Keyed();
        var shape = _context.MulticlassClassification.Trainers.LbfgsMaximumEntropy().GetOutputSchema(SchemaShapes.Of(keyed.Schema));
        var (scoreShape, labelShape) = (shape.Find("Score")!.Value, shape.Find("PredictedLabel")!.Value);
        Assert.Equal((SchemaShape.Column.VectorKind.Vector, NumberDataViewType.Single, false), (scoreShape.Kind, scoreShape.ItemType, scoreShape.IsKey));
        Assert.Equal((SchemaShape.Column.VectorKind.Scalar, NumberDataViewType.UInt32, true), (labelShape.Kind, labelShape.ItemType, labelShape.IsKey));

        var label = keyed.Schema["Label"];
        var schema = Head(label, _classes.Length).GetOutputSchema(HeadSchema(label, _classes.Length));
        Assert.Equal(["Label", "Features", "PredictedLabel", "Score"], schema.Select(column => column.Name));
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, _classes.Length), schema["Score"].Type);
        Assert.Equal(label.Type, schema["PredictedLabel"].Type);
        string[] ofScore = ["ScoreColumnKind", "ScoreColumnSetId", "ScoreValueKind", "SlotNames", "TrainingLabelValues"];
        string[] ofLabel = ["KeyValues", "ScoreColumnKind", "ScoreColumnSetId", "ScoreValueKind"];
        Assert.Equal(ofScore, scoreShape.Annotations.Select(annotation => annotation.Name).Order());
        Assert.Equal(ofScore, schema["Score"].Annotations.Schema.Select(annotation => annotation.Name).Order());
        Assert.Equal(ofLabel, labelShape.Annotations.Select(annotation => annotation.Name).Order());
        Assert.Equal(ofLabel, schema["PredictedLabel"].Annotations.Schema.Select(annotation => annotation.Name).Order());
        foreach (var (column, annotation) in new[] { ("Score", "SlotNames"), ("Score", "TrainingLabelValues"), ("PredictedLabel", "KeyValues") })
            Assert.Equal(_classes, Texts(schema[column], annotation));
    }

    // Interop/SchemaShapes obtains shapes, whose parts cannot be constructed, from the call that a chain makes to its estimators.
    [Fact]
    public void Chains_hand_the_shape_of_their_data_to_their_estimators()
    {
        var shape = SchemaShapes.Of(Keyed().Schema);
        Assert.Equal(["Label", "Features", "Free", "Image"], shape.Select(column => column.Name));
        var label = shape.Find("Label")!.Value;
        Assert.Equal((SchemaShape.Column.VectorKind.Scalar, NumberDataViewType.UInt32, true), (label.Kind, label.ItemType, label.IsKey));
        var names = Assert.Single(label.Annotations);
        Assert.Equal(("KeyValues", SchemaShape.Column.VectorKind.Vector, TextDataViewType.Instance), (names.Name, names.Kind, names.ItemType));
        Assert.Equal((SchemaShape.Column.VectorKind.Vector, NumberDataViewType.Single), (shape.Find("Features")!.Value.Kind, shape.Find("Features")!.Value.ItemType));
        Assert.Equal(SchemaShape.Column.VectorKind.VariableVector, shape.Find("Free")!.Value.Kind);
        Assert.IsType<ImageDataViewType>(shape.Find("Image")!.Value.ItemType);
    }

    // Interop/SchemaShapes and Interop/StockChain are needed only as long as other libraries can use none of these members.
    [Fact]
    public void What_makes_shapes_and_loadable_types_is_internal()
    {
        Assert.Empty(typeof(SchemaShape.Column).GetConstructors());
        var members = typeof(ModelSaveContext).GetMembers(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly);
        Assert.Equal([nameof(IDisposable.Dispose)], members.Select(member => member.Name));
        var attribute = typeof(ModelSaveContext).Assembly.GetTypes().Single(type => type.Name == "LoadableClassAttribute");
        Assert.False(attribute.IsVisible);
        foreach (var type in new[] { typeof(TrainerEstimatorBase<,>), typeof(RowToRowTransformerBase), typeof(ModelParametersBase<>) })
        {
            var constructors = type.GetConstructors(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance);
            Assert.NotEmpty(constructors);
            Assert.DoesNotContain(constructors, constructor => constructor.IsPublic || constructor.IsFamily || constructor.IsFamilyOrAssembly);
        }
    }

    // Interop/StockChain writes stock transformers because a model file names the loader of each part, and only stock types can write that name.
    [Fact]
    public void A_transformer_that_does_not_delegate_Save_cannot_be_saved()
    {
        using var foreign = new Foreign(Copies(), save: _ => { });
        var error = Assert.Throws<InvalidOperationException>(() => _context.Model.Save(foreign, null, Stream.Null));
        Assert.Contains("ModelSignature not specified", error.Message);
    }

    // Interop/StockChainBuilder saves like this: what is loaded are the parts of the inner chain, made by any number of contexts.
    [Fact]
    public void A_transformer_that_saves_an_inner_chain_is_loaded_as_that_chain()
    {
        ITransformer inner = Copies();
        using var foreign = new Foreign(inner, inner.Save);
        var loaded = Assert.IsType<TransformerChain<ITransformer>>(Reload(foreign));
        Assert.Equal(2, loaded.Count());
        Assert.DoesNotContain(loaded, part => part is Foreign);
        Assert.Equal(Keyed().GetColumn<float[]>("Features"), loaded.Transform(Keyed()).GetColumn<float[]>("B"));
    }

    // RepVggTransformer and RepVggFeaturizingTransformer cannot be used after Dispose, so engines that share one must not own it.
    [Theory]
    [InlineData(null)]
    [InlineData(false)]
    public void A_prediction_engine_disposes_its_transformer_unless_told_otherwise(bool? owns)
    {
        using var foreign = new Foreign(Copies(), save: _ => { });
        var options = new PredictionEngineOptions();
        if (owns is { } value)
            options.OwnsTransformer = value;
        _context.Model.CreatePredictionEngine<Row, CopiedRow>(foreign, options).Dispose();
        Assert.Equal(owns is null, foreign.IsDisposed);
    }

    private static MulticlassPredictionTransformer<MaximumEntropyModelParameters> Head(DataViewSchema.Column label, int classes) =>
        new MLContext(seed: 1).MulticlassClassification.Trainers.LbfgsMaximumEntropy(new LbfgsMaximumEntropyMulticlassTrainer.Options
        {
            L1Regularization = 0,
            L2Regularization = 1,
            MaximumNumberOfIterations = 1,
            HistorySize = 2,
            NumberOfThreads = 1,
        }).Fit(new OneHotView(HeadSchema(label, classes), classes));

    private static DataViewSchema HeadSchema(DataViewSchema.Column label, int classes)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumn("Label", label.Type, label.Annotations);
        builder.AddColumn("Features", new VectorDataViewType(NumberDataViewType.Single, 1, classes));
        return builder.ToSchema();
    }

    private static DataViewSchema.Column NamelessLabel(int classes) => Schema("Label", new KeyDataViewType(typeof(uint), classes))["Label"];

    private static DataViewSchema Schema(string name, DataViewType type)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(name, type);
        return builder.ToSchema();
    }

    private static string[] Texts(DataViewSchema.Column column, string annotation)
    {
        VBuffer<ReadOnlyMemory<char>> texts = default;
        column.Annotations.GetValue(annotation, ref texts);
        return [.. texts.DenseValues().Select(text => text.ToString())];
    }

    private static ITransformer Reload(ITransformer model)
    {
        var context = new MLContext();
        using var stream = new MemoryStream();
        context.Model.Save(model, null, stream);
        stream.Position = 0;
        return context.Model.Load(stream, out _);
    }

    /// <summary>One row per class, with the classes as keys.</summary>
    private IDataView Keyed()
    {
        var rows = _context.Data.LoadFromEnumerable(_classes.Select((name, i) => new Row { Label = name, Features = [i, -i] }));
        return _context.Transforms.Conversion.MapValueToKey("Label").Fit(rows).Transform(rows);
    }

    /// <summary>Features to A and from there to B, by transformers of two contexts.</summary>
    private ITransformer Copies() => new MLContext(seed: 1).Transforms.CopyColumns("A", "Features")
        .Append(new MLContext(seed: 2).Transforms.CopyColumns("B", "A")).Fit(Keyed());

    private sealed class Row
    {
        public string Label { get; set; } = "";

        [VectorType(2)]
        public float[] Features { get; set; } = [0, 0];

        public float[] Free { get; set; } = [];

        [ImageType(1, 2)]
        public MLImage? Image { get; set; }
    }

    private sealed class CopiedRow
    {
        public float[] B { get; set; } = [];
    }

    /// <summary>A transformer of another library than ML.NET, which computes what an inner one does.</summary>
    private sealed class Foreign(ITransformer inner, Action<ModelSaveContext> save) : ITransformer, IDisposable
    {
        public bool IsDisposed { get; private set; }

        public bool IsRowToRowMapper => inner.IsRowToRowMapper;

        public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => inner.GetOutputSchema(inputSchema);

        public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => inner.GetRowToRowMapper(inputSchema);

        public IDataView Transform(IDataView input) => inner.Transform(input);

        void ICanSaveModel.Save(ModelSaveContext ctx) => save(ctx);

        public void Dispose() => IsDisposed = true;
    }
}
