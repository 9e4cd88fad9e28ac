using Microsoft.ML.Data;
using RepVgg.Training;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Weights of rows and classes, and balanced sampling.</summary>
public class WeightTests
{
    private const string Rare = "rare", Common = "common";

    private sealed class WeightedRow
    {
        public string Label { get; set; } = "";

        [VectorType(Stripes.Channels, Stripes.Size, Stripes.Size)]
        public float[] Features { get; set; } = [];

        public float Weight { get; set; } = 1;
    }

    /// <summary>Noise that says nothing about the label: one row in ten is of the rare class.</summary>
    private static List<WeightedRow> Noise(int seed, Func<string, float>? weight = null)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, 300).Select(i => i % 10 == 0 ? Rare : Common).Select(label => new WeightedRow
        {
            Label = label,
            Features = [.. Enumerable.Range(0, Stripes.Size * Stripes.Size).Select(_ => (float)random.Next(256))],
            Weight = weight?.Invoke(label) ?? 1,
        })];
    }

    private static RepVggTransformer Fit(IEnumerable<WeightedRow> rows, Action<RepVggTrainer.Options> change)
    {
        var context = new MLContext(seed: 1);
        var options = Stripes.Options(epochs: 3);
        options.ValidationSetFraction = 0;
        options.LearningRate = 0.01f;
        change(options);
        return Stripes.Pipeline(context, options).Fit(context.Data.LoadFromEnumerable(rows)).LastTransformer;
    }

    private static RepVggTransformer FitWeighted(IEnumerable<WeightedRow> rows) => Fit(rows, options => options.ExampleWeightColumnName = nameof(WeightedRow.Weight));

    /// <summary>Mean probability of the rare class for other noise.</summary>
    private static double RareProbability(RepVggTransformer model)
    {
        var context = new MLContext(seed: 1);
        int rare = model.Labels.ToList().IndexOf(Rare);
        return model.Transform(context.Data.LoadFromEnumerable(Noise(2))).GetColumn<float[]>("Score").Average(scores => scores[rare]);
    }

    public static TheoryData<string> Remedies => ["rows", "classes", "balanced classes", "balanced sampling"];

    [Fact]
    public void Without_weights_the_probabilities_are_the_shares_of_the_classes()
    {
        using var model = Fit(Noise(1), _ => { });
        Assert.InRange(RareProbability(model), 0.03, 0.25);
    }

    [Theory]
    [MemberData(nameof(Remedies))]
    public void Weights_and_balanced_sampling_give_the_classes_the_same_influence(string remedy)
    {
        using var model = remedy switch
        {
            "rows" => FitWeighted(Noise(1, label => label == Rare ? 9 : 1)),
            "classes" => Fit(Noise(1), options => options.ClassWeights = ClassWeights.Of([new(Rare, 4.5f), new(Common, 0.5f)])),
            "balanced classes" => Fit(Noise(1), options => options.ClassWeights = ClassWeights.Balanced),
            _ => Fit(Noise(1), options => options.BalancedSampling = true),
        };
        Assert.InRange(RareProbability(model), 0.35, 0.65);
    }

    [Fact]
    public void Rows_of_weight_0_are_left_out()
    {
        var rows = Noise(1);
        // Not the first rows, so that the keys of the classes are the same.
        for (int i = 3; i < rows.Count; i += 7)
            rows[i].Weight = 0;
        using var weighted = FitWeighted(rows);
        using var filtered = Fit(rows.Where(row => row.Weight != 0), _ => { });
        Assert.Equal(RareProbability(filtered), RareProbability(weighted));
    }

    [Fact]
    public void A_class_whose_rows_all_have_the_weight_0_is_named_in_the_log()
    {
        var context = new MLContext(seed: 1);
        var log = new List<string>();
        context.Log += (_, entry) => log.Add(entry.RawMessage);
        var rows = Noise(1);
        rows[20].Label = rows[30].Label = "absent";
        rows[20].Weight = rows[30].Weight = 0;
        var options = Stripes.Options(epochs: 1);
        options.ExampleWeightColumnName = nameof(WeightedRow.Weight);
        using var model = Stripes.Pipeline(context, options).Fit(context.Data.LoadFromEnumerable(rows)).LastTransformer;
        Assert.Single(log, line => line.Contains("All rows of the class 'absent' have the weight 0 in column 'Weight'", StringComparison.Ordinal));
    }

    [Fact]
    public void Weights_that_are_all_equal_change_nothing_but_roundings()
    {
        using var weighted = FitWeighted(Noise(1, _ => 3));
        using var plain = Fit(Noise(1), _ => { });
        Assert.Equal(plain.History[0].TrainingLoss, weighted.History[0].TrainingLoss, 1e-4);
        Assert.Equal(plain.History[0].TrainingAccuracy, weighted.History[0].TrainingAccuracy);
    }

    [Theory]
    [InlineData(-1f)]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void A_weight_that_is_no_weight_is_refused_with_its_row(float weight)
    {
        var rows = Noise(1);
        rows[17].Weight = weight;
        var error = Assert.Throws<InvalidOperationException>(() => FitWeighted(rows));
        Assert.Contains("Row 17, column 'Weight': the weight is ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Weights_that_are_all_0_leave_no_rows() =>
        Assert.Contains("The training data has no rows with a weight of more than 0 in the column 'Weight'.", Assert.Throws<InvalidOperationException>(() => FitWeighted(Noise(1, _ => 0))).Message, StringComparison.Ordinal);

    [Fact]
    public void Classes_need_a_weight_of_more_than_0_each()
    {
        Assert.Contains("has no weight for the class 'rare'", Refusal([new(Common, 1)]), StringComparison.Ordinal);
        Assert.Contains("'rere', which is none of the classes", Refusal([new(Common, 1), new("rere", 1)]), StringComparison.Ordinal);
        foreach (float weight in new[] { 0, -1, float.NaN, float.PositiveInfinity })
            Assert.Contains("The weight of the class 'rare' is", Refusal([new(Common, 1), new(Rare, weight)]), StringComparison.Ordinal);
        Assert.Contains("has two weights", Refusal([new(Common, 1), new(Common, 2)]), StringComparison.Ordinal);

        static string Refusal(KeyValuePair<string, float>[] weights) => Assert.Throws<ArgumentException>(() => Fit(Noise(1), options => options.ClassWeights = ClassWeights.Of(weights))).Message;
    }

    [Fact]
    public void A_weight_column_must_exist_and_be_of_Single()
    {
        foreach (string name in new[] { "Missing", nameof(WeightedRow.Label) })
            Assert.Contains(name, Assert.ThrowsAny<Exception>(() => Fit(Noise(1), options => options.ExampleWeightColumnName = name)).Message, StringComparison.Ordinal);
    }
}
