using Microsoft.ML.Data;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

public sealed class ScoringTests(TrainedStripes trained) : IClassFixture<TrainedStripes>
{
    private readonly MLContext _context = trained.Context;

    private sealed class Prediction
    {
        public float[] Score { get; set; } = [];

        public uint PredictedLabel { get; set; }
    }

    [Fact]
    public void A_pipeline_learns_and_is_evaluated()
    {
        var metrics = _context.MulticlassClassification.Evaluate(trained.Model.Transform(trained.TestData));
        Assert.True(metrics.MicroAccuracy >= 0.95, $"accuracy {metrics.MicroAccuracy}");
        Assert.Equal(3, metrics.ConfusionMatrix.NumberOfClasses);
        Assert.Equal(75, metrics.ConfusionMatrix.Counts.Sum(row => row.Sum()));
    }

    [Fact]
    public void Scores_are_probabilities_and_the_prediction_is_the_largest()
    {
        var predictions = trained.Score(trained.Model);
        Assert.Equal(75, predictions.Count);
        foreach (var prediction in predictions)
        {
            Assert.Equal(1, prediction.Score.Sum(), 5);
            Assert.All(prediction.Score, score => Assert.InRange(score, 0, 1));
            Assert.Equal(prediction.Score.Max(), prediction.Score[prediction.PredictedLabel - 1]);
        }
    }

    [Fact]
    public void A_prediction_engine_gives_the_scores_of_the_data_view()
    {
        var batch = trained.Score(trained.Model);
        using var engine = _context.Model.CreatePredictionEngine<Stripes.Row, Prediction>(trained.Model, new PredictionEngineOptions { OwnsTransformer = false });
        var rows = Stripes.Rows(75, seed: 2);
        for (int i = 0; i < rows.Count; i++)
        {
            var single = engine.Predict(rows[i]);
            Assert.Equal(batch[i].Score, single.Score);
            Assert.Equal(batch[i].PredictedLabel, single.PredictedLabel);
        }
    }

    [Fact]
    public void Engines_of_many_threads_share_one_model_exactly()
    {
        var expected = trained.Score(trained.Model);
        var rows = Stripes.Rows(75, seed: 2);
        Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, thread =>
        {
            using var engine = _context.Model.CreatePredictionEngine<Stripes.Row, Prediction>(trained.Model, new PredictionEngineOptions { OwnsTransformer = false });
            for (int i = thread; i < rows.Count; i += 3)
                Assert.Equal(expected[i].Score, engine.Predict(rows[i]).Score);
        });
    }

    [Fact]
    public void Other_columns_pass_through_in_step()
    {
        var predictions = trained.Score(trained.Model);
        Assert.Equal(Enumerable.Range(0, 75), predictions.Select(prediction => prediction.Number));
    }

    [Fact]
    public void Shuffled_rows_keep_their_own_scores()
    {
        var inOrder = trained.Score(trained.Model).ToDictionary(prediction => prediction.Number);
        var shuffled = _context.Data.ShuffleRows(trained.Model.Transform(trained.TestData), seed: 5);
        var rows = _context.Data.CreateEnumerable<Stripes.Prediction>(shuffled, reuseRowObject: false, ignoreMissingColumns: true).ToList();
        Assert.NotEqual(Enumerable.Range(0, 75), rows.Select(row => row.Number));
        foreach (var row in rows)
            Assert.Equal(inOrder[row.Number].Score, row.Score);
    }

    [Fact]
    public void Predicted_keys_map_back_to_the_labels()
    {
        var view = _context.Transforms.Conversion.MapKeyToValue("PredictedLabel").Fit(trained.Model.Transform(trained.TestData))
            .Transform(trained.Model.Transform(trained.TestData));
        var names = view.GetColumn<string>("PredictedLabel").ToList();
        var expected = Stripes.Rows(75, seed: 2).Select(row => row.Label).ToList();
        Assert.True(names.Zip(expected).Count(pair => pair.First == pair.Second) >= 71);
        Assert.Equal(Stripes.Names, trained.Model.LastTransformer.Labels);
    }

    [Fact]
    public void Score_carries_the_annotations_that_tools_look_for()
    {
        var score = trained.Model.Transform(trained.TestData).Schema["Score"];
        VBuffer<ReadOnlyMemory<char>> slots = default;
        score.GetSlotNames(ref slots);
        Assert.Equal(Stripes.Names, slots.DenseValues().Select(name => name.ToString()));
        foreach (string kind in new[] { "ScoreColumnSetId", "ScoreColumnKind", "ScoreValueKind" })
            Assert.NotNull(score.Annotations.Schema.GetColumnOrNull(kind));
    }

    [Fact]
    public void An_inactive_score_is_not_computed_and_cannot_be_read()
    {
        var broken = Stripes.Rows(3, seed: 3);
        broken[1].Features[5] = float.NaN;
        var view = trained.Model.Transform(_context.Data.LoadFromEnumerable(broken));
        Assert.Equal([0, 1, 2], view.GetColumn<int>("Number"));

        using var cursor = view.GetRowCursor([view.Schema["Number"]]);
        Assert.False(cursor.IsColumnActive(view.Schema["Score"]));
        Assert.ThrowsAny<Exception>(() => cursor.GetGetter<VBuffer<float>>(view.Schema["Score"]));
    }

    [Fact]
    public void A_pixel_that_is_no_number_is_an_error_that_names_the_row()
    {
        var broken = Stripes.Rows(3, seed: 3);
        broken[1].Features[5] = float.NaN;
        var view = trained.Model.Transform(_context.Data.LoadFromEnumerable(broken));
        var error = Assert.ThrowsAny<Exception>(() => view.GetColumn<float[]>("Score").ToList());
        Assert.Contains("Row 1, column 'Features'", Errors.AllMessages(error));
    }

    [Fact]
    public void A_view_without_the_features_is_refused()
    {
        var view = _context.Transforms.DropColumns("Features").Fit(trained.TestData).Transform(trained.TestData);
        var error = Assert.ThrowsAny<Exception>(() => trained.Model.Transform(view));
        Assert.Contains("'Features'", error.Message);
    }

    [Fact]
    public void A_disposed_model_says_so()
    {
        var model = Stripes.Pipeline(_context, Stripes.Options(epochs: 1)).Fit(trained.TrainingData);
        var view = model.Transform(trained.TestData);
        model.Dispose();
        var error = Assert.ThrowsAny<Exception>(() => view.GetColumn<float[]>("Score").ToList());
        Assert.Contains(Errors.Chain(error), inner => inner is ObjectDisposedException);
    }
}
