using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Trainers;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>What a trained maximum entropy transformer computes, describes, refuses, saves and loads.</summary>
public sealed class MulticlassPredictionTransformerTests
{
    private static readonly string[] _animals = ["cat", "dog", "eel"];

    public sealed class Named
    {
        public string Animal { get; set; } = "";

        [VectorType(LearningData.FeatureCount)]
        public float[] Features { get; set; } = [];
    }

    public sealed class Numbered
    {
        public int Number { get; set; }

        [VectorType(LearningData.FeatureCount)]
        public float[] Features { get; set; } = [];
    }

    public sealed class Prediction
    {
        public uint PredictedLabel { get; set; }

        public float[] Score { get; set; } = [];
    }

    public sealed class Flat
    {
        [KeyType(2)]
        public uint Label { get; set; }

        [VectorType(2)]
        public float[] Features { get; set; } = [];
    }

    public sealed class Longer
    {
        [VectorType(LearningData.FeatureCount + 1)]
        public float[] Features { get; set; } = [];
    }

    [Fact]
    public void ScoresAreTheSoftmaxOfTheLinearFunctionsAndTheLabelIsTheirHighest()
    {
        MLContext context = new(1);
        LearningData.Row[] rows = LearningData.Clouds(40);
        var model = Fit(context, LearningData.View(context, rows));
        VBuffer<float>[] weights = [];
        model.Model.GetWeights(ref weights, out int classes);
        float[] biases = [.. model.Model.GetBiases()];

        IDataView scored = model.Transform(LearningData.View(context, rows));

        float[][] scores = LearningData.Vectors(scored, "Score");
        uint[] labels = LearningData.Scalars<uint>(scored, "PredictedLabel");
        Assert.Equal(rows.Length, scores.Length);
        for (int i = 0; i < rows.Length; i++)
        {
            double[] expected = LearningData.Softmax(Enumerable.Range(0, classes).Select(c =>
                biases[c] + rows[i].Features.Select((x, f) => (double)x * weights[c].GetItemOrDefault(f)).Sum()));
            Assert.Equal(classes, scores[i].Length);
            Assert.All(expected.Zip(scores[i]), pair => Assert.InRange(pair.Second - pair.First, -2e-6, 2e-6));
            Assert.Equal((uint)Array.IndexOf(scores[i], scores[i].Max()) + 1, labels[i]);
        }
    }

    [Fact]
    public void TextLabelsAnnotateEverythingThatToolsRead()
    {
        MLContext context = new(1);
        IDataView view = context.Transforms.Conversion.MapValueToKey("Label", "Animal")
            .Fit(NamedView(context)).Transform(NamedView(context));
        var model = Fit(context, view);

        DataViewSchema schema = model.Transform(view).Schema;

        DataViewSchema.Column score = schema["Score"];
        DataViewSchema.Column predicted = schema["PredictedLabel"];
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 3), score.Type);
        Assert.Equal(new KeyDataViewType(typeof(uint), 3), predicted.Type);
        Assert.Equal(["ScoreColumnKind", "ScoreColumnSetId", "ScoreValueKind", "SlotNames", "TrainingLabelValues"],
            LearningData.AnnotationNames(score));
        Assert.Equal(["KeyValues", "ScoreColumnKind", "ScoreColumnSetId", "ScoreValueKind"],
            LearningData.AnnotationNames(predicted));
        Assert.Equal(_animals, LearningData.Texts(score, "SlotNames"));
        Assert.Equal(_animals, LearningData.Texts(score, "TrainingLabelValues"));
        Assert.Equal(_animals, LearningData.Texts(predicted, "KeyValues"));
        Assert.Equal("MulticlassClassification", LearningData.Text(score, "ScoreColumnKind"));
        Assert.Equal("MulticlassClassification", LearningData.Text(predicted, "ScoreColumnKind"));
        Assert.Equal("Score", LearningData.Text(score, "ScoreValueKind"));
        Assert.Equal("PredictedLabel", LearningData.Text(predicted, "ScoreValueKind"));
        Assert.Equal(1u, SetId(score));
        Assert.Equal(1u, SetId(predicted));
        Assert.Equal(["Animal", "Features", "Label", "PredictedLabel", "Score"], schema.Select(column => column.Name));
        Assert.True(score.HasSlotNames());
        Assert.True(predicted.HasKeyValues());
    }

    [Fact]
    public void ASecondScorerGetsANumberOfItsOwn()
    {
        MLContext context = new(1);
        IDataView view = LearningData.View(context, LearningData.Clouds(30));
        var model = Fit(context, view);

        DataViewSchema schema = model.Transform(model.Transform(view)).Schema;

        Assert.Equal(2u, SetId(schema["Score"]));
        Assert.Equal([1u, 2u], schema.Where(column => column.Name == "Score").Select(SetId));
        Assert.Equal([true, false], schema.Where(column => column.Name == "Score").Select(column => column.IsHidden));
    }

    [Fact]
    public void NumberLabelsAreKeyValuesButNoSlotNames()
    {
        MLContext context = new(1);
        IDataView view = context.Data.LoadFromEnumerable(
            LearningData.Clouds(30).Select(row => new Numbered { Number = 70 + (int)row.Label, Features = row.Features }));
        view = context.Transforms.Conversion.MapValueToKey("Label", "Number").Fit(view).Transform(view);

        DataViewSchema schema = Fit(context, view).Transform(view).Schema;

        Assert.Equal(["ScoreColumnKind", "ScoreColumnSetId", "ScoreValueKind", "TrainingLabelValues"],
            LearningData.AnnotationNames(schema["Score"]));
        VBuffer<int> values = default;
        schema["PredictedLabel"].Annotations.GetValue("KeyValues", ref values);
        Assert.Equal([70, 71, 72], values.DenseValues());
    }

    [Fact]
    public void NamelessLabelsAnnotateNothingButTheScoring()
    {
        MLContext context = new(1);
        IDataView view = LearningData.View(context, LearningData.Clouds(30));

        DataViewSchema schema = Fit(context, view).Transform(view).Schema;

        string[] scoring = ["ScoreColumnKind", "ScoreColumnSetId", "ScoreValueKind"];
        Assert.Equal(scoring, LearningData.AnnotationNames(schema["Score"]));
        Assert.Equal(scoring, LearningData.AnnotationNames(schema["PredictedLabel"]));
    }

    [Fact]
    public void SavedAndLoadedItScoresAndDescribesTheSame()
    {
        MLContext context = new(1);
        IDataView view = context.Transforms.Conversion.MapValueToKey("Label", "Animal")
            .Fit(NamedView(context)).Transform(NamedView(context));
        var model = Fit(context, view);
        using MemoryStream stream = new();
        context.Model.Save(model, view.Schema, stream);
        stream.Position = 0;

        ITransformer loaded = new MLContext(2).Model.Load(stream, out DataViewSchema inputSchema);

        IDataView expected = model.Transform(view);
        IDataView actual = loaded.Transform(view);
        Assert.Equal(LearningData.Vectors(expected, "Score"), LearningData.Vectors(actual, "Score"));
        Assert.Equal(LearningData.Scalars<uint>(expected, "PredictedLabel"), LearningData.Scalars<uint>(actual, "PredictedLabel"));
        Assert.Equal(_animals, LearningData.Texts(actual.Schema["Score"], "SlotNames"));
        Assert.Equal(_animals, LearningData.Texts(actual.Schema["PredictedLabel"], "KeyValues"));
        Assert.Equal(_animals, LearningData.Texts(inputSchema["Label"], "KeyValues"));
        var typed = Assert.IsAssignableFrom<ISingleFeaturePredictionTransformer<object>>(Parts(loaded).Single());
        Assert.Equal("Features", typed.FeatureColumnName);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, LearningData.FeatureCount), typed.FeatureColumnType);
        Assert.IsType<MaximumEntropyModelParameters>(typed.Model);
    }

    [Fact]
    public void ScoringNeedsNoLabel()
    {
        MLContext context = new(1);
        var model = Fit(context, LearningData.View(context, LearningData.Clouds(30)));
        IDataView unlabeled = context.Transforms.DropColumns("Label").Fit(LearningData.View(context, LearningData.Clouds(5)))
            .Transform(LearningData.View(context, LearningData.Clouds(5)));

        Assert.Equal(5, LearningData.Vectors(model.Transform(unlabeled), "Score").Length);
    }

    [Fact]
    public void OneRowAfterAnotherIsPredicted()
    {
        MLContext context = new(1);
        LearningData.Row[] rows = LearningData.Clouds(30);
        IDataView view = LearningData.View(context, rows);
        var model = Fit(context, view);
        float[][] scores = LearningData.Vectors(model.Transform(view), "Score");

        using var engine = context.Model.CreatePredictionEngine<LearningData.Row, Prediction>(model);

        for (int i = 0; i < 5; i++)
        {
            Prediction prediction = engine.Predict(rows[i]);
            Assert.Equal(scores[i], prediction.Score);
            Assert.Equal((uint)Array.IndexOf(scores[i], scores[i].Max()) + 1, prediction.PredictedLabel);
        }
    }

    [Fact]
    public void OnlyTheDimensionsSeenInTrainingFitTheSchema()
    {
        MLContext context = new(1);
        OneHotView trained = new(2);
        var model = Fit(context, trained);
        IDataView flat = context.Data.LoadFromEnumerable([new Flat { Features = [1, 2] }]);

        ArgumentOutOfRangeException error = Assert.Throws<ArgumentOutOfRangeException>(() => model.GetOutputSchema(flat.Schema));

        Assert.Contains(
            "Schema mismatch for feature column 'Features': expected Vector<Single, 1, 2>, got Vector<Single, 2>", error.Message);
        Assert.Equal(5, model.GetOutputSchema(trained.Schema).Count + 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => new TransformerChain<ITransformer>(model).Transform(flat));
    }

    [Fact]
    public void FeaturesOfAnotherLengthOrNameAreRefused()
    {
        MLContext context = new(1);
        var model = Fit(context, LearningData.View(context, LearningData.Clouds(30)));
        IDataView longer = context.Data.LoadFromEnumerable([new Longer { Features = [1, 2, 3, 4, 5] }]);
        IDataView none = context.Transforms.DropColumns("Features").Fit(LearningData.View(context, LearningData.Clouds(5)))
            .Transform(LearningData.View(context, LearningData.Clouds(5)));

        Assert.Contains(
            "Incompatible features column type: 'Vector<Single, 5>' vs 'Vector<Single, 4>'",
            Assert.Throws<InvalidOperationException>(() => model.Transform(longer)).Message);
        Assert.Contains(
            "Schema mismatch for feature column 'Features': expected Vector<Single, 4>, got Vector<Single, 5>",
            Assert.Throws<ArgumentOutOfRangeException>(() => model.GetOutputSchema(longer.Schema)).Message);
        Assert.Contains(
            "Could not find feature column 'Features'",
            Assert.Throws<ArgumentOutOfRangeException>(() => model.GetOutputSchema(none.Schema)).Message);
        Assert.Contains(
            "Features column 'Feature' not found",
            Assert.ThrowsAny<ArgumentException>(() => model.Transform(none)).Message);
    }

    [Fact]
    public void RowsMapOneByOne()
    {
        MLContext context = new(1);
        IDataView view = LearningData.View(context, LearningData.Clouds(30));
        ITransformer model = Fit(context, view);

        IRowToRowMapper mapper = model.GetRowToRowMapper(view.Schema);

        Assert.True(model.IsRowToRowMapper);
        Assert.Equal(
            ["Features"],
            mapper.GetDependencies([mapper.OutputSchema["Score"]]).Select(column => column.Name));
        Assert.Equal(
            ["Label", "Features"],
            mapper.GetDependencies([mapper.OutputSchema["PredictedLabel"], mapper.OutputSchema["Label"]])
                .Select(column => column.Name));
    }

    private static MulticlassPredictionTransformer<MaximumEntropyModelParameters> Fit(MLContext context, IDataView view) =>
        context.MulticlassClassification.Trainers.LbfgsMaximumEntropy(l1Regularization: 0).Fit(view);

    private static IDataView NamedView(MLContext context) => context.Data.LoadFromEnumerable(
        LearningData.Clouds(30).Select(row => new Named { Animal = _animals[row.Label], Features = row.Features }));

    private static IEnumerable<ITransformer> Parts(ITransformer model) =>
        model is IEnumerable<ITransformer> chain ? chain : [model];

    private static uint SetId(DataViewSchema.Column column)
    {
        uint id = 0;
        column.Annotations.GetValue("ScoreColumnSetId", ref id);
        return id;
    }
}
