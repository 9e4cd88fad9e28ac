using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Trainers;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>What the maximum entropy trainer learns, against the definition of its objective.</summary>
public sealed class LbfgsMaximumEntropyTests
{
    [Theory]
    [InlineData(0.01)]
    [InlineData(1)]
    [InlineData(30)]
    public void EndsWhereTheGradientVanishes(double l2)
    {
        LearningData.Row[] rows = LearningData.Clouds(90);

        double[] parameters = Parameters(Fit(rows, Options(l2: (float)l2)));

        Assert.All(Gradient(rows, l2, parameters), slope => Assert.InRange(slope, -2e-3, 2e-3));
        Assert.InRange(Objective(rows, l2, parameters), 0, Objective(rows, l2, new double[parameters.Length]) - 1e-3);
    }

    [Fact]
    public void LeavesWeightsAtZeroThatTheirPenaltyOutweighs()
    {
        const double L1 = 6;
        LearningData.Row[] rows = LearningData.Clouds(90);

        double[] parameters = Parameters(Fit(rows, Options(l1: (float)L1, l2: 0)));

        // Optimal with |w|: slope -l1 sign(w) where w is not zero, and at most l1 where it is. Biases are not penalised.
        double[] slopes = Gradient(rows, 0, parameters);
        int weights = LearningData.Classes * LearningData.FeatureCount;
        Assert.Contains(parameters.Take(weights), w => w == 0);
        Assert.Contains(parameters.Take(weights), w => w != 0);
        for (int i = 0; i < parameters.Length; i++)
        {
            double penalty = i < weights ? L1 / rows.Length : 0;
            double excess = parameters[i] != 0
                ? Math.Abs(slopes[i] + (penalty * Math.Sign(parameters[i])))
                : Math.Abs(slopes[i]) - penalty;
            Assert.InRange(excess, double.MinValue, 2e-3);
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(10)]
    [InlineData(100)]
    public void OneIterationOnOneHotRowsGivesWeightsOfTheSymmetricForm(int classes)
    {
        MLContext context = new(1);
        OneHotView view = new(classes);
        LbfgsMaximumEntropyMulticlassTrainer.Options options = Options(l2: 1);
        options.MaximumNumberOfIterations = 1;
        options.HistorySize = 2;
        options.NumberOfThreads = 1;

        MulticlassPredictionTransformer<MaximumEntropyModelParameters> model =
            context.MulticlassClassification.Trainers.LbfgsMaximumEntropy(options).Fit(view);

        VBuffer<float>[] weights = [];
        model.Model.GetWeights(ref weights, out int numClasses);
        Assert.Equal(classes, numClasses);
        float diagonal = weights[0].GetItemOrDefault(0);
        float other = weights[0].GetItemOrDefault(1);
        Assert.True(diagonal > other, $"{diagonal} on the diagonal, {other} beside it.");
        float tolerance = 1e-6f * (diagonal - other);
        for (int row = 0; row < classes; row++)
        {
            Assert.Equal(classes, weights[row].Length);
            for (int column = 0; column < classes; column++)
            {
                float expected = row == column ? diagonal : other;
                Assert.InRange(weights[row].GetItemOrDefault(column), expected - tolerance, expected + tolerance);
            }
        }

        float[] biases = [.. model.Model.GetBiases()];
        Assert.Equal(classes, biases.Length);
        Assert.All(biases, bias => Assert.InRange(bias, biases[0] - tolerance, biases[0] + tolerance));
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 1, classes), model.FeatureColumnType);
    }

    [Fact]
    public void AWeightCountsLikeThatManyRows()
    {
        LearningData.Row[] rows = LearningData.Clouds(60);
        for (int i = 0; i < rows.Length; i++)
        {
            rows[i].Weight = 1 + (i % 2);
        }

        LearningData.Row[] repeated = [.. rows.SelectMany(row => Enumerable.Repeat(row, (int)row.Weight))];
        LbfgsMaximumEntropyMulticlassTrainer.Options weighted = Options(l2: 1);
        weighted.ExampleWeightColumnName = nameof(LearningData.Row.Weight);

        AssertClose(Parameters(Fit(repeated, Options(l2: 1))), Parameters(Fit(rows, weighted)), 2e-2);
    }

    [Fact]
    public void RowsWithoutLabelOrWithBadFeaturesDoNotCount()
    {
        LearningData.Row[] rows = LearningData.Clouds(60);
        LearningData.Row[] more =
        [
            .. rows,
            new() { Label = LearningData.Classes, Features = [9, 9, 9, 9] },
            new() { Label = 1, Features = [float.NaN, 0, 0, 0] },
            new() { Label = 2, Features = [0, float.PositiveInfinity, 0, 0] },
        ];

        AssertClose(Parameters(Fit(rows, Options(l2: 1))), Parameters(Fit(more, Options(l2: 1))), 1e-6);
    }

    [Fact]
    public void NoUsableRowIsAnError()
    {
        LearningData.Row[] rows = [new() { Label = LearningData.Classes, Features = [1, 2, 3, 4] }];

        InvalidOperationException error = Assert.Throws<InvalidOperationException>(() => Fit(rows, Options(l2: 1)));

        Assert.Contains("No valid training instances found, all instances have missing features.", error.Message);
    }

    [Fact]
    public void TheSameDataGiveTheSameModel()
    {
        LearningData.Row[] rows = LearningData.Clouds(700);

        Assert.Equal(Parameters(Fit(rows, Options(l2: 1))), Parameters(Fit(rows, Options(l2: 1))));
    }

    [Fact]
    public void ThreadsChangeTheModelNoMoreThanRounding()
    {
        LearningData.Row[] rows = LearningData.Clouds(700);
        LbfgsMaximumEntropyMulticlassTrainer.Options several = Options(l2: 1);
        several.NumberOfThreads = 3;

        AssertClose(Parameters(Fit(rows, Options(l2: 1))), Parameters(Fit(rows, several)), 1e-2);
    }

    [Fact]
    public void TrainingGoesOnFromGivenParameters()
    {
        MLContext context = new(1);
        LearningData.Row[] rows = LearningData.Clouds(90);
        LbfgsMaximumEntropyMulticlassTrainer.Options options = Options(l2: 1);
        options.MaximumNumberOfIterations = 2;
        LbfgsMaximumEntropyMulticlassTrainer trainer = context.MulticlassClassification.Trainers.LbfgsMaximumEntropy(options);
        IDataView view = LearningData.View(context, rows);

        var first = trainer.Fit(view);
        var second = trainer.Fit(view, first.Model);

        Assert.True(
            Objective(rows, 1, Parameters(second)) < Objective(rows, 1, Parameters(first)),
            "Going on does not lower the objective.");
    }

    [Fact]
    public void TheSimpleOverloadPenalisesBothNormsWithOne()
    {
        MLContext context = new(1);
        LearningData.Row[] rows = LearningData.Clouds(90);

        var simple = context.MulticlassClassification.Trainers.LbfgsMaximumEntropy().Fit(LearningData.View(context, rows));

        LbfgsMaximumEntropyMulticlassTrainer.Options options = new();
        Assert.Equal((1f, 1f, 1e-7f, 20, int.MaxValue, null), (
            options.L1Regularization,
            options.L2Regularization,
            options.OptimizationTolerance,
            options.HistorySize,
            options.MaximumNumberOfIterations,
            options.NumberOfThreads));
        Assert.Equal(("Label", "Features", null), (
            options.LabelColumnName, options.FeatureColumnName, options.ExampleWeightColumnName));
        AssertClose(Parameters(Fit(rows, options)), Parameters(simple), 1e-6);
    }

    [Fact]
    public void OptionsOutOfRangeAreRefused()
    {
        Assert.Contains("Must be non-negative", Refusal(options => options.L2Regularization = -1));
        Assert.Contains("Must be non-negative", Refusal(options => options.L1Regularization = -1));
        Assert.Contains("Must be positive", Refusal(options => options.OptimizationTolerance = 0));
        Assert.Contains("Must be positive", Refusal(options => options.HistorySize = 0));
        Assert.Contains("Must be positive", Refusal(options => options.MaximumNumberOfIterations = 0));
        Assert.Contains("Must be positive", Refusal(options => options.NumberOfThreads = 0));

        static string Refusal(Action<LbfgsMaximumEntropyMulticlassTrainer.Options> change)
        {
            LbfgsMaximumEntropyMulticlassTrainer.Options options = new();
            change(options);
            return Assert.ThrowsAny<Exception>(
                () => new MLContext(1).MulticlassClassification.Trainers.LbfgsMaximumEntropy(options)).Message;
        }
    }

    private static LbfgsMaximumEntropyMulticlassTrainer.Options Options(float l1 = 0, float l2 = 0) =>
        new() { L1Regularization = l1, L2Regularization = l2, NumberOfThreads = 1 };

    private static MulticlassPredictionTransformer<MaximumEntropyModelParameters> Fit(
        LearningData.Row[] rows, LbfgsMaximumEntropyMulticlassTrainer.Options options)
    {
        MLContext context = new(1);
        return context.MulticlassClassification.Trainers.LbfgsMaximumEntropy(options).Fit(LearningData.View(context, rows));
    }

    /// <summary>Weights class by class, then the biases.</summary>
    private static double[] Parameters(MulticlassPredictionTransformer<MaximumEntropyModelParameters> model)
    {
        VBuffer<float>[] weights = [];
        model.Model.GetWeights(ref weights, out int classes);
        Assert.Equal(classes, weights.Length);
        return [.. weights.SelectMany(w => w.DenseValues()).Concat(model.Model.GetBiases()).Select(value => (double)value)];
    }

    /// <summary>(sum of w * -log softmax(W x + b)[label] + l2 / 2 * |W|^2) / rows, written out.</summary>
    private static double Objective(LearningData.Row[] rows, double l2, double[] parameters)
    {
        const int Biases = LearningData.Classes * LearningData.FeatureCount;
        double sum = l2 / 2 * parameters.Take(Biases).Sum(w => w * w);
        foreach (LearningData.Row row in rows)
        {
            double[] probabilities = LearningData.Softmax(Enumerable.Range(0, LearningData.Classes).Select(c =>
                parameters[Biases + c] + row.Features.Select((x, i) => x * parameters[(c * LearningData.FeatureCount) + i]).Sum()));
            sum -= Math.Log(probabilities[row.Label]);
        }

        return sum / rows.Length;
    }

    /// <summary>Central differences of <see cref="Objective"/>.</summary>
    private static double[] Gradient(LearningData.Row[] rows, double l2, double[] parameters)
    {
        const double Step = 1e-5;
        return [.. parameters.Select((_, i) => (At(i, Step) - At(i, -Step)) / (2 * Step))];

        double At(int index, double change)
        {
            double[] moved = [.. parameters];
            moved[index] += change;
            return Objective(rows, l2, moved);
        }
    }

    private static void AssertClose(double[] expected, double[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double scale = expected.Max(Math.Abs);
        Assert.All(expected.Zip(actual), pair =>
            Assert.InRange(pair.Second - pair.First, -tolerance * scale, tolerance * scale));
    }
}
