using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.ML.Data;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Model.Save writes only ML.NET's own transformers, whose scores are equal to those of the saved transformer.</summary>
public sealed class SavedModelTests(TrainedStripes trained) : IClassFixture<TrainedStripes>
{
    private readonly MLContext _context = trained.Context;

    private static ITransformer Reload(MLContext context, ITransformer model, DataViewSchema schema)
    {
        using var stream = new MemoryStream();
        context.Model.Save(model, schema, stream);
        stream.Position = 0;
        return new MLContext().Model.Load(stream, out _);
    }

    [Fact]
    public void The_loaded_chain_gives_the_same_scores_and_predictions()
    {
        var loaded = Reload(_context, trained.Model, trained.TrainingData.Schema);
        var expected = trained.Score(trained.Model);
        var actual = trained.Score(loaded);
        Assert.Equal(expected.Count, actual.Count);
        for (int i = 0; i < expected.Count; i++)
        {
            Compare.Close(expected[i].Score, actual[i].Score, 1e-4);
            Assert.Equal(expected[i].PredictedLabel, actual[i].PredictedLabel);
        }
    }

    [Fact]
    public void The_loaded_chain_holds_no_type_of_this_library()
    {
        var loaded = Reload(_context, trained.Model, trained.TrainingData.Schema);
        Assert.DoesNotContain(Flatten(loaded), part => part.GetType().Assembly == typeof(RepVggTransformer).Assembly);
        Assert.True(Flatten(loaded).Count() >= 4);

        static IEnumerable<ITransformer> Flatten(ITransformer transformer) =>
            transformer is IEnumerable<ITransformer> parts ? parts.SelectMany(Flatten) : [transformer];
    }

    [Fact]
    public void The_loaded_chain_leaves_no_temporary_columns()
    {
        var loaded = Reload(_context, trained.Model, trained.TrainingData.Schema);
        var visible = loaded.GetOutputSchema(trained.TrainingData.Schema).Where(column => !column.IsHidden).Select(column => column.Name).Order();
        var expected = ((ITransformer)trained.Model).GetOutputSchema(trained.TrainingData.Schema).Where(column => !column.IsHidden).Select(column => column.Name).Order();
        Assert.Equal(expected, visible);
    }

    [Fact]
    public void The_loaded_model_is_evaluated_saved_again_and_used_by_an_engine()
    {
        var loaded = Reload(_context, trained.Model, trained.TrainingData.Schema);
        var again = Reload(new MLContext(), loaded, trained.TrainingData.Schema);
        var fresh = new MLContext();
        var metrics = fresh.MulticlassClassification.Evaluate(again.Transform(trained.TestData));
        Assert.Equal(_context.MulticlassClassification.Evaluate(trained.Model.Transform(trained.TestData)).MicroAccuracy, metrics.MicroAccuracy);

        using var engine = fresh.Model.CreatePredictionEngine<Stripes.Row, Stripes.Prediction>(again, ignoreMissingColumns: true);
        var expected = trained.Score(trained.Model);
        Compare.Close(expected[4].Score, engine.Predict(Stripes.Rows(75, seed: 2)[4]).Score, 1e-4);
    }

    /// <summary>A program that references ML.NET only and scores with a saved model.</summary>
    internal static ChildProgram Consumer { get; } = new(Path.Combine(AppContext.BaseDirectory.Replace("Microsoft.ML.RepVgg.Tests", "ModelConsumer"), "ModelConsumer.dll"));

    [Fact]
    public async Task Another_process_that_knows_only_mlnet_gives_the_same_scores()
    {
        string folder = Directory.CreateTempSubdirectory("repvgg-test-").FullName;
        try
        {
            string model = Path.Combine(folder, "model.zip"), images = Path.Combine(folder, "images");
            _context.Model.Save(trained.Model, trained.TrainingData.Schema, model);
            var pixels = Stripes.Rows(75, seed: 2).SelectMany(row => row.Features).ToArray();
            await File.WriteAllBytesAsync(images, MemoryMarshal.AsBytes<float>(pixels).ToArray());

            string[] lines = (await Consumer.RunAsync(model, "1", $"{Stripes.Size}", $"{Stripes.Size}", images)).Split('\n', StringSplitOptions.RemoveEmptyEntries);

            var expected = trained.Score(trained.Model);
            Assert.Equal(expected.Count, lines.Length);
            foreach (var (prediction, line) in expected.Zip(lines))
            {
                string[] parts = line.Split(' ');
                Assert.Equal(prediction.PredictedLabel.ToString(CultureInfo.InvariantCulture), parts[0]);
                Compare.Close(prediction.Score, [.. parts.Skip(1).Select(part => float.Parse(part, CultureInfo.InvariantCulture))], 1e-4);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Other_output_names_are_kept()
    {
        var options = Stripes.Options(epochs: 1);
        (options.ScoreColumnName, options.PredictedLabelColumnName) = ("Chance", "Guess");
        using var model = Stripes.Pipeline(_context, options).Fit(trained.TrainingData);
        var loaded = Reload(_context, model, trained.TrainingData.Schema);
        foreach (var transformer in new ITransformer[] { model, loaded })
        {
            var schema = transformer.GetOutputSchema(trained.TrainingData.Schema);
            Assert.Null(schema.GetColumnOrNull("Score"));
            Assert.Null(schema.GetColumnOrNull("PredictedLabel"));
            var metrics = _context.MulticlassClassification.Evaluate(transformer.Transform(trained.TestData), scoreColumnName: "Chance", predictedLabelColumnName: "Guess");
            Assert.InRange(metrics.MicroAccuracy, 0, 1);
        }
        var ours = model.Transform(trained.TestData).GetColumn<float[]>("Chance").SelectMany(score => score).ToArray();
        var theirs = loaded.Transform(trained.TestData).GetColumn<float[]>("Chance").SelectMany(score => score).ToArray();
        Compare.Close(ours, theirs, 1e-4);
    }

    [Theory]
    [InlineData("Score2", "PredictedLabel2")]
    [InlineData("Score2", "PredictedLabel")]
    [InlineData("PredictedLabel", "Score")]
    public void Two_classifiers_in_one_pipeline_keep_their_columns(string secondScore, string secondLabel)
    {
        var options = Stripes.Options(epochs: 1);
        (options.ScoreColumnName, options.PredictedLabelColumnName, options.Seed) = (secondScore, secondLabel, 8);
        using var model = Stripes.Pipeline(_context).Append(_context.MulticlassClassification.Trainers.RepVgg(options)).Fit(trained.TrainingData);
        var loaded = Reload(_context, model, trained.TrainingData.Schema);
        var (ours, theirs) = (model.Transform(trained.TestData), loaded.Transform(trained.TestData));
        Assert.Equal(Visible(ours), Visible(theirs));
        foreach (var column in ours.Schema.Where(column => !column.IsHidden && column.Name.StartsWith("Score", StringComparison.Ordinal) | column.Name.StartsWith("Predicted", StringComparison.Ordinal)))
        {
            Assert.Equal(column.Type, theirs.Schema[column.Name].Type);
            Assert.Equal(column.Annotations.Schema.Select(kind => kind.Name).Order(), theirs.Schema[column.Name].Annotations.Schema.Select(kind => kind.Name).Order());
            if (column.Type is VectorDataViewType)
                Compare.Close([.. ours.GetColumn<float[]>(column.Name).SelectMany(score => score)], [.. theirs.GetColumn<float[]>(column.Name).SelectMany(score => score)], 1e-4, column.Name);
            else
                Assert.Equal(ours.GetColumn<uint>(column.Name), theirs.GetColumn<uint>(column.Name));
        }

        static IEnumerable<string> Visible(IDataView view) => view.Schema.Where(column => !column.IsHidden).Select(column => column.Name).Order();
    }

    [Fact]
    public void Columns_of_the_data_with_the_names_of_temporary_columns_survive()
    {
        string[] names = ["RepVgg.Temporary.Logits", "Score.Logits", "Features.Pixels", "Score", "PredictedLabel"];
        var data = trained.TrainingData;
        foreach (string name in names)
            data = _context.Transforms.CopyColumns(name, "Number").Fit(data).Transform(data);
        var options = Stripes.Options(epochs: 1);
        (options.ScoreColumnName, options.PredictedLabelColumnName) = ("Chance", "Guess");
        using var model = Stripes.Pipeline(_context, options).Fit(data);
        foreach (var transformer in new[] { model, Reload(_context, model, data.Schema) })
        {
            var scored = transformer.Transform(data);
            foreach (string name in names)
                Assert.Equal(Enumerable.Range(0, 240), scored.GetColumn<int>(name));
            Assert.DoesNotContain(scored.Schema, column => !column.IsHidden && column.Name.StartsWith("RepVgg.", StringComparison.Ordinal) && !names.Contains(column.Name));
        }
    }

    [Fact]
    public void Saving_leaves_no_files_behind()
    {
        string[] Folders() => Directory.GetDirectories(Path.GetTempPath(), "repvgg-model-*");
        var before = Folders().ToHashSet();
        Reload(_context, trained.Model, trained.TrainingData.Schema);
        // Other tests may be saving at this moment; what they made vanishes too.
        string[] made = [.. Folders().Where(folder => !before.Contains(folder))];
        Assert.True(SpinWait.SpinUntil(() => !made.Any(Directory.Exists), TimeSpan.FromSeconds(20)), string.Join(", ", made));
    }

    [Fact]
    public void Labels_that_are_numbers_come_back_as_numbers()
    {
        var rows = Stripes.Rows(60, seed: 4).Select(row => new NumberedRow { Digit = Array.IndexOf(Stripes.Names, row.Label) * 10, Features = row.Features });
        var data = _context.Data.LoadFromEnumerable(rows);
        var pipeline = _context.Transforms.Conversion.MapValueToKey("Label", "Digit")
            .Append(_context.MulticlassClassification.Trainers.RepVgg(Stripes.Options(epochs: 1)))
            .Append(_context.Transforms.Conversion.MapKeyToValue("PredictedLabel"));
        var model = pipeline.Fit(data);
        foreach (var transformer in new ITransformer[] { model, Reload(_context, model, data.Schema) })
        {
            var predicted = transformer.Transform(data).GetColumn<int>("PredictedLabel").ToList();
            Assert.All(predicted, digit => Assert.Contains(digit, new[] { 0, 10, 20 }));
        }
    }

    private sealed class NumberedRow
    {
        public int Digit { get; set; }

        [VectorType(1, Stripes.Size, Stripes.Size)]
        public float[] Features { get; set; } = [];
    }
}
