using System.Drawing;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.Explanation;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Scoring;

/// <summary>Test-time augmentation against the plain model on pictures that are flipped and cropped by hand.</summary>
public sealed class TestTimeAugmentationTests(TrainedStripes trained) : IClassFixture<TrainedStripes>
{
    private const double Tolerance = 1e-6;

    private readonly MLContext _context = trained.Context;

    private sealed class ImageRow
    {
        public byte[] Image { get; set; } = [];
    }

    private sealed class Prediction
    {
        public float[] Score { get; set; } = [];

        public uint PredictedLabel { get; set; }
    }

    /// <summary>The height and width are 14 x 21, and 16 x 24 times 7 / 8.</summary>
    private static DeployNetwork Network() => RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 2), (16, 1, 2)), 14, 21, 4);

    private static float[][] Scores(ITransformer model, IDataView data) => [.. model.Transform(data).GetColumn<float[]>("Score")];

    private IDataView View(IEnumerable<MLImage> pictures) => _context.Data.LoadFromEnumerable(pictures.Select(picture => new ImageRow { Image = ImageModels.Png(picture) }).ToList());

    private static MLImage Crop(MLImage picture, int top, int left, bool flips, int height, int width) => ImageModels.Picture(width, height, (x, y) =>
    {
        int row = top + y, column = left + (flips ? width - 1 - x : x), at = 4 * (row * picture.Width + column);
        if (row < 0 || row >= picture.Height || column < 0 || column >= picture.Width)
            return Color.Black;
        return Color.FromArgb(picture.Pixels[at], picture.Pixels[at + 1], picture.Pixels[at + 2]);
    });

    /// <summary>Means of the scores of views, which follow each other.</summary>
    private static float[] Means(float[][] scores, int views) =>
        [.. scores.Chunk(views).SelectMany(chunk => Enumerable.Range(0, chunk[0].Length).Select(i => (float)(chunk.Sum(score => (double)score[i]) / views)))];

    private TransformerChain<ITransformer> Load(ITransformer model, TestTimeAugmentation views, int batch = 0)
    {
        using var stream = new MemoryStream();
        _context.Model.Save(model, null, stream);
        stream.Position = 0;
        return _context.Model.LoadRepVgg(stream, out _, new RepVggLoadOptions { TestTimeAugmentation = views, ScoringBatchSize = batch });
    }

    [Theory]
    [InlineData(TestTimeAugmentation.HorizontalFlip)]
    [InlineData(TestTimeAugmentation.FiveCrop)]
    [InlineData(TestTimeAugmentation.TenCrop)]
    [InlineData(TestTimeAugmentation.HorizontalFlipAndShift)]
    public void The_scores_are_the_means_of_those_of_the_views(TestTimeAugmentation augmentation)
    {
        using var plain = ImageModels.Create(Network());
        bool crops = augmentation is TestTimeAugmentation.FiveCrop or TestTimeAugmentation.TenCrop;
        // Images of the size that the crops are cut from are not resized; more than one batch of views.
        MLImage[] pictures = [.. Enumerable.Range(0, 40).Select(i => crops ? ImageModels.Noise(24, 16, seed: i) : ImageModels.Noise(21, 14, seed: i))];
        (int Top, int Left)[] places = crops ? [(0, 0), (0, 3), (2, 0), (2, 3), (1, 1)] : augmentation == TestTimeAugmentation.HorizontalFlip ? [(0, 0)] : [(0, 0), (0, 0), (1, 1), (-1, -1)];
        bool[] flips = augmentation == TestTimeAugmentation.FiveCrop ? [false] : [false, true];
        var views = pictures.SelectMany(picture => places.SelectMany(place => flips.Select(flip => Crop(picture, place.Top, place.Left, flip, 14, 21))));
        float[] expected = Means(Scores(plain, View(views)), places.Length * flips.Length);

        using var model = Load(plain, augmentation);
        var data = View(pictures);
        Compare.Close(expected, [.. Scores(model, data).SelectMany(score => score)], Tolerance);
        // The differences to the plain model are much larger than the tolerance.
        Assert.True(Compare.RelativeError(expected, [.. Scores(plain, data).SelectMany(score => score)]) > 1e-3);
        Assert.Equal(
            expected.Chunk(4).Select(score => (uint)Array.IndexOf(score, score.Max()) + 1),
            model.Transform(data).GetColumn<uint>("PredictedLabel"));

        using var single = Load(plain, augmentation, batch: 1);
        Assert.Equal(Scores(model, data), Scores(single, data));
        using var engine = _context.Model.CreatePredictionEngine<ImageRow, Prediction>(model, new PredictionEngineOptions { OwnsTransformer = false });
        Assert.Equal(Scores(model, data)[7], engine.Predict(new ImageRow { Image = ImageModels.Png(pictures[7]) }).Score);
    }

    [Fact]
    public void Vectors_are_flipped_and_what_is_saved_is_the_plain_model()
    {
        using var model = Load(trained.Model.LastTransformer, TestTimeAugmentation.HorizontalFlip);
        var keyed = trained.Model.First().Transform(trained.TestData);
        var flipped = Stripes.Rows(75, seed: 2);
        foreach (var row in flipped)
            row.Features = [.. row.Features.Chunk(Stripes.Size).SelectMany(line => line.Reverse())];
        float[][] plain = Scores(trained.Model, trained.TestData), mirrored = Scores(trained.Model, _context.Data.LoadFromEnumerable(flipped));
        Compare.Close(Means([.. plain.Zip(mirrored).SelectMany(pair => new[] { pair.First, pair.Second })], 2), [.. Scores(model, keyed).SelectMany(score => score)], Tolerance);

        using var again = Load(model, TestTimeAugmentation.None);
        Assert.Equal(plain, Scores(again, keyed));
    }

    [Fact]
    public void The_trainer_gives_a_model_that_scores_the_views()
    {
        var options = Stripes.Options(epochs: 1);
        using var plain = Stripes.Pipeline(_context, options).Fit(trained.TrainingData);
        options.TestTimeAugmentation = TestTimeAugmentation.HorizontalFlip;
        using var model = Stripes.Pipeline(_context, options).Fit(trained.TrainingData);
        using var expected = Load(plain.LastTransformer, TestTimeAugmentation.HorizontalFlip);
        Assert.Equal(Scores(expected, plain.First().Transform(trained.TestData)), Scores(model, trained.TestData));
        // Validation in training is plain.
        Assert.Equal(plain.LastTransformer.History[0].ValidationLoss, model.LastTransformer.History[0].ValidationLoss);
        // So is the temperature.
        var validation = plain.First().Transform(trained.TestData);
        using var first = plain.LastTransformer.FitTemperature(validation);
        using var second = model.LastTransformer.FitTemperature(validation);
        Assert.Equal(first.Calibration, second.Calibration);
    }

    [Fact]
    public void Invalid_rows_have_a_missing_prediction_and_maps_are_those_of_the_image_itself()
    {
        using var plain = ImageModels.Create(Network());
        using var stream = new MemoryStream();
        _context.Model.Save(plain, null, stream);
        stream.Position = 0;
        using var model = _context.Model.LoadRepVgg(stream, out _, new RepVggLoadOptions { TestTimeAugmentation = TestTimeAugmentation.TenCrop, InvalidRows = InvalidRowHandling.Skip });
        byte[] picture = ImageModels.Png(ImageModels.Noise(50, 40));
        float[][] scores = Scores(model, _context.Data.LoadFromEnumerable([new ImageRow { Image = picture }, new ImageRow { Image = [1, 2, 3] }, new ImageRow { Image = picture }]));
        Assert.All(scores[1], score => Assert.Equal(float.NaN, score));
        Assert.Equal(scores[0], scores[2]);
        Compare.Close([.. plain.Explain(picture).Values], [.. ((RepVggTransformer)model.Last()).Explain(picture).Values], Tolerance);
    }

    [Fact]
    public void What_has_no_such_views_is_refused()
    {
        Assert.Contains("nothing to crop", Assert.Throws<ArgumentException>(() => Load(trained.Model.LastTransformer, TestTimeAugmentation.FiveCrop)).Message, StringComparison.Ordinal);
        var options = Stripes.Options();
        options.TestTimeAugmentation = TestTimeAugmentation.TenCrop;
        Assert.Contains("nothing to crop", Assert.Throws<ArgumentException>(() => Stripes.Pipeline(_context, options).Fit(trained.TrainingData)).Message, StringComparison.Ordinal);
        options.TestTimeAugmentation = (TestTimeAugmentation)9;
        Assert.Contains("TestTimeAugmentation is 9", Assert.Throws<ArgumentException>(() => _context.MulticlassClassification.Trainers.RepVgg(options)).Message, StringComparison.Ordinal);

        var featurizer = new RepVggFeaturizingEstimator.Options { OutputColumnName = "Embedding", InputColumnName = "Features", Network = trained.Model.LastTransformer.Network };
        using var features = _context.Transforms.RepVggFeaturizer(featurizer).Fit(trained.TestData);
        Assert.Contains("no classifier", Assert.Throws<ArgumentException>(() => Load(features, TestTimeAugmentation.HorizontalFlip)).Message, StringComparison.Ordinal);
        featurizer.TestTimeAugmentation = TestTimeAugmentation.HorizontalFlip;
        Assert.Contains("a featurizer does not have", Assert.Throws<ArgumentException>(() => _context.Transforms.RepVggFeaturizer(featurizer)).Message, StringComparison.Ordinal);
    }
}
