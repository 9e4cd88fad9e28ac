using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Networks;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Featurizer;

/// <summary>Features of a trained network, in data views, in prediction engines, and in models that were saved and loaded.</summary>
public sealed class FeaturizerTests(TrainedStripes trained) : IClassFixture<TrainedStripes>
{
    private readonly MLContext _context = trained.Context;

    private sealed class Output
    {
        public float[] Embedding { get; set; } = [];

        public int Number { get; set; }
    }

    public static TheoryData<string?, FeaturePooling> Choices() => new()
    {
        { null, FeaturePooling.GlobalAverage }, { null, FeaturePooling.None }, { "stage1", FeaturePooling.GlobalAverage }, { "stage1", FeaturePooling.None },
    };

    private RepVggFeaturizingEstimator.Options Options(string? stage = null, FeaturePooling pooling = FeaturePooling.GlobalAverage) => new()
    {
        OutputColumnName = "Embedding",
        InputColumnName = "Features",
        Network = trained.Model.LastTransformer.Network,
        Stage = stage,
        Pooling = pooling,
        NumberOfThreads = 2,
    };

    private ITransformer Reload(ITransformer model, DataViewSchema schema)
    {
        using var stream = new MemoryStream();
        _context.Model.Save(model, schema, stream);
        stream.Position = 0;
        return new MLContext().Model.Load(stream, out _);
    }

    [Theory]
    [MemberData(nameof(Choices))]
    public void Features_are_those_of_the_definition_also_when_saved_and_loaded(string? stage, FeaturePooling pooling)
    {
        using var featurizer = _context.Transforms.RepVggFeaturizer(Options(stage, pooling)).Fit(trained.TestData);
        var network = trained.Model.LastTransformer.Network.TakeFeatures(stage, pooling == FeaturePooling.GlobalAverage);
        var rows = Stripes.Rows(75, seed: 2);
        float[] expected = ReferenceNetwork.Outputs(network, rows.SelectMany(row => row.Features).ToArray(), rows.Count);

        var view = featurizer.Transform(trained.TestData);
        var type = Assert.IsType<VectorDataViewType>(view.Schema["Embedding"].Type);
        Assert.Equal(network.OutputShape.ToArray(), type.Dimensions.ToArray());
        Compare.Close(expected, [.. view.GetColumn<float[]>("Embedding").SelectMany(features => features)], 1e-5);
        Assert.Equal(Enumerable.Range(0, 75), view.GetColumn<int>("Number"));

        var loaded = Reload(featurizer, trained.TestData.Schema);
        var loadedView = loaded.Transform(trained.TestData);
        Assert.Equal(type, loadedView.Schema["Embedding"].Type);
        Compare.Close(expected, [.. loadedView.GetColumn<float[]>("Embedding").SelectMany(features => features)], 1e-4);
        Assert.Equal(Visible(view.Schema), Visible(loadedView.Schema));

        static IEnumerable<string> Visible(DataViewSchema schema) => schema.Where(column => !column.IsHidden).Select(column => column.Name).Order();
    }

    [Fact]
    public void A_stock_trainer_learns_from_the_features_and_the_whole_pipeline_is_saved()
    {
        var pipeline = _context.Transforms.Conversion.MapValueToKey("Label")
            .Append(_context.Transforms.RepVggFeaturizer("Embedding", trained.Model.LastTransformer, "Features"))
            .Append(_context.Transforms.NormalizeMinMax("Embedding"))
            .Append(_context.MulticlassClassification.Trainers.LbfgsMaximumEntropy("Label", "Embedding"))
            .Append(_context.Transforms.Conversion.MapKeyToValue("PredictedLabel"));
        var model = pipeline.Fit(trained.TrainingData);
        double accuracy = _context.MulticlassClassification.Evaluate(model.Transform(trained.TestData)).MicroAccuracy;
        Assert.True(accuracy >= 0.95, $"accuracy {accuracy}");

        var loaded = Reload(model, trained.TrainingData.Schema);
        var fresh = new MLContext();
        Assert.Equal(accuracy, fresh.MulticlassClassification.Evaluate(loaded.Transform(trained.TestData)).MicroAccuracy);
        Compare.Close(Scores(model), Scores(loaded), 1e-3);

        float[] Scores(ITransformer transformer) => [.. transformer.Transform(trained.TestData).GetColumn<float[]>("Score").SelectMany(score => score)];
    }

    [Fact]
    public void What_is_saved_holds_no_type_of_this_library()
    {
        using var featurizer = _context.Transforms.RepVggFeaturizer(Options()).Fit(trained.TestData);
        var loaded = Assert.IsAssignableFrom<IEnumerable<ITransformer>>(Reload(featurizer, trained.TestData.Schema));
        Assert.DoesNotContain(loaded, part => part.GetType().Assembly == typeof(RepVggFeaturizingTransformer).Assembly);
    }

    [Fact]
    public void A_prediction_engine_gives_the_features_of_the_data_view()
    {
        using var featurizer = _context.Transforms.RepVggFeaturizer(Options()).Fit(trained.TestData);
        var expected = _context.Data.CreateEnumerable<Output>(featurizer.Transform(trained.TestData), reuseRowObject: false).ToList();
        var rows = Stripes.Rows(75, seed: 2);
        Parallel.For(0, 4, thread =>
        {
            using var engine = _context.Model.CreatePredictionEngine<Stripes.Row, Output>(featurizer, new PredictionEngineOptions { OwnsTransformer = false });
            for (int i = thread; i < rows.Count; i += 3)
                Assert.Equal(expected[i].Embedding, engine.Predict(rows[i]).Embedding);
        });
    }

    [Fact]
    public void Shuffled_rows_keep_their_own_features()
    {
        using var featurizer = _context.Transforms.RepVggFeaturizer(Options()).Fit(trained.TestData);
        var view = featurizer.Transform(trained.TestData);
        var inOrder = _context.Data.CreateEnumerable<Output>(view, reuseRowObject: false).ToDictionary(row => row.Number);
        var shuffled = _context.Data.CreateEnumerable<Output>(_context.Data.ShuffleRows(view, seed: 5), reuseRowObject: false).ToList();
        Assert.NotEqual(Enumerable.Range(0, 75), shuffled.Select(row => row.Number));
        Assert.All(shuffled, row => Assert.Equal(inOrder[row.Number].Embedding, row.Embedding));
    }

    [Fact]
    public void The_output_may_take_the_inputs_name()
    {
        var options = Options();
        (options.OutputColumnName, options.InputColumnName) = ("Features", null);
        using var featurizer = _context.Transforms.RepVggFeaturizer(options).Fit(trained.TestData);
        using var other = _context.Transforms.RepVggFeaturizer(Options()).Fit(trained.TestData);
        float[] expected = [.. other.Transform(trained.TestData).GetColumn<float[]>("Embedding").SelectMany(features => features)];
        Assert.Equal(expected, featurizer.Transform(trained.TestData).GetColumn<float[]>("Features").SelectMany(features => features));
        var loaded = Reload(featurizer, trained.TestData.Schema).Transform(trained.TestData);
        Compare.Close(expected, [.. loaded.GetColumn<float[]>("Features").SelectMany(features => features)], 1e-4);
        Assert.Null(loaded.Schema.GetColumnOrNull("Features.Features"));
    }

    [Fact]
    public void Flat_vectors_need_a_size_only_where_it_is_not_the_networks()
    {
        var rows = Stripes.Rows(5, seed: 2);
        var flat = Flat(Stripes.Size * Stripes.Size, row => row.Features);
        using var featurizer = _context.Transforms.RepVggFeaturizer(Options()).Fit(flat);
        using var shaped = _context.Transforms.RepVggFeaturizer(Options()).Fit(trained.TestData);
        Assert.Equal(
            shaped.Transform(trained.TestData).GetColumn<float[]>("Embedding").Take(5).SelectMany(features => features),
            featurizer.Transform(flat).GetColumn<float[]>("Embedding").SelectMany(features => features));

        // The first 8 x 16 pixels as an image of another size.
        var other = Flat(8 * 16, row => row.Features[..128]);
        var error = Assert.Throws<ArgumentException>(() => _context.Transforms.RepVggFeaturizer(Options()).Fit(other));
        Assert.Contains("input column 'Features' holds 128 values", error.Message);
        var options = Options();
        (options.ImageHeight, options.ImageWidth) = (8, 16);
        using var sized = _context.Transforms.RepVggFeaturizer(options).Fit(other);
        var network = trained.Model.LastTransformer.Network.TakeFeatures() with { ImageHeight = 8, ImageWidth = 16 };
        float[] expected = ReferenceNetwork.Outputs(network, rows.SelectMany(row => row.Features[..128]).ToArray(), 5);
        Compare.Close(expected, [.. sized.Transform(other).GetColumn<float[]>("Embedding").SelectMany(features => features)], 1e-5);

        IDataView Flat(int size, Func<Stripes.Row, float[]> pixels)
        {
            var schema = SchemaDefinition.Create(typeof(FlatRow));
            schema["Features"].ColumnType = new VectorDataViewType(NumberDataViewType.Single, size);
            return _context.Data.LoadFromEnumerable(rows.Select(row => new FlatRow { Features = pixels(row) }), schema);
        }
    }

    private sealed class FlatRow
    {
        public float[] Features { get; set; } = [];
    }

    [Fact]
    public void A_featurizer_outlives_the_classifier_it_was_made_of()
    {
        var classifier = Stripes.Pipeline(_context, Stripes.Options(epochs: 1)).Fit(trained.TrainingData);
        using var featurizer = _context.Transforms.RepVggFeaturizer("Embedding", classifier.LastTransformer, "Features").Fit(trained.TestData);
        classifier.Dispose();
        Assert.Equal(75, featurizer.Transform(trained.TestData).GetColumn<float[]>("Embedding").Count());
    }

    [Fact]
    public void The_output_shape_is_known_before_fitting()
    {
        var estimator = _context.Transforms.RepVggFeaturizer(Options());
        SchemaShape? shape = null;
        var chain = new EstimatorChain<ITransformer>().Append(estimator).Append(new ShapeListener(seen => shape = seen));
        chain.Fit(trained.TestData);
        var column = Assert.Single(shape!, column => column.Name == "Embedding");
        Assert.Equal(SchemaShape.Column.VectorKind.Vector, column.Kind);
        Assert.Equal(NumberDataViewType.Single, column.ItemType);
    }

    private sealed class ShapeListener(Action<SchemaShape> listen) : IEstimator<ITransformer>
    {
        public SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            listen(inputSchema);
            return inputSchema;
        }

        public ITransformer Fit(IDataView input) => new TransformerChain<ITransformer>();
    }
}
