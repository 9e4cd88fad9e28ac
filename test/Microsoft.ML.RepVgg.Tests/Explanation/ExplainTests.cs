using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.Images;
using Microsoft.ML.RepVgg.Tests.Trainer;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights.Onnx;
using Xunit;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.RepVgg.Tests.Explanation;

/// <summary>Class activation maps: their values, and what they belong to.</summary>
public sealed class ExplainTests
{
    private const int Classes = 6;

    // A value of a map is a sum of positive and negative terms, so its relative error is larger than that of a mean.
    private const double MapTolerance = 3e-5;

    private readonly MLContext _context = new(seed: 1);

    private sealed class EncodedRow
    {
        public byte[] Image { get; set; } = [];

        public string Label { get; set; } = "";
    }

    private sealed class DecodedRow
    {
        [ImageType(20, 20)]
        public MLImage? Image { get; set; }
    }

    private sealed class PixelRow
    {
        [ColumnName("input"), VectorType(3, 37, 41)]
        public float[] Pixels { get; set; } = [];
    }

    private static DeployNetwork Network(string variant)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.Find(variant)) with { InputChannels = 3 };
        return RandomNetworks.Create(architecture, architecture.TotalStride + 9, 2 * architecture.TotalStride + 4, Classes);
    }

    /// <summary>The map of a class by its definition, from the last feature map in double precision.</summary>
    private static float[] Definition(DeployNetwork network, float[] pixels, int label)
    {
        var extractor = network.TakeFeatures(pooled: false);
        float[] features = ReferenceNetwork.Outputs(extractor, pixels, 1);
        int channels = extractor.OutputShape[0], cells = features.Length / channels;
        return [.. Enumerable.Range(0, cells).Select(i => (float)Enumerable.Range(0, channels).Sum(k => (double)network.Classifier.Weight[label * channels + k] * features[k * cells + i]))];
    }

    [Theory]
    [InlineData("RepVGG-A0")]
    [InlineData("RepVGG-B1g2")]
    [InlineData("RepVGG-D2se")]
    [InlineData("RepVGGplus-L2pse")]
    [InlineData("RepVGG-S1")]
    public void The_mean_of_the_map_plus_the_bias_is_the_logit_and_the_map_is_as_defined(string variant)
    {
        var network = Network(variant);
        using var model = ImageModels.Create(network);
        using var image = ImageModels.Noise(network.ImageWidth, network.ImageHeight);
        float[] pixels = ImageModels.Planes(image), logits = new float[Classes];
        using (var engine = new InferenceEngine(network))
            engine.Run(pixels, 1, logits);

        var maps = Enumerable.Range(0, Classes).Select(label => model.Explain(image, label)).ToArray();
        Compare.Close(logits, [.. maps.Select(map => (float)(map.Values.Average(value => (double)value) + map.Bias))], 1e-5, "mean of the map plus bias");
        Compare.Close(logits, [.. maps.Select(map => map.Logit)], 1e-5, "logits");
        Assert.Equal(network.Classifier.Bias, maps.Select(map => map.Bias));
        for (int label = 0; label < Classes; label++)
        {
            var map = maps[label];
            Compare.Close(Definition(network, pixels, label), map.Values.AsSpan(), MapTolerance, "map");
            var sides = network.TakeFeatures(pooled: false).OutputShape;
            Assert.Equal((sides[1], sides[2]), (map.Height, map.Width));
            Assert.Equal((label, $"class {label}"), (map.ClassIndex, map.ClassName));
            Assert.Equal(Array.IndexOf(logits, logits.Max()), map.PredictedClassIndex);
            Assert.Equal(map.Values.ToArray(), model.Explain(image, $"class {label}").Values.ToArray());
        }

        foreach (var predicted in new[] { model.Explain(image), model.Explain(image, null), model.Explain(ImageModels.Png(image)), model.Explain(ImageModels.Png(image), null) })
        {
            Assert.Equal(predicted.PredictedClassIndex, predicted.ClassIndex);
            Assert.Equal(predicted.PredictedClassName, predicted.ClassName);
            Assert.Equal(maps[predicted.ClassIndex].Values.ToArray(), predicted.Values.ToArray());
        }
    }

    public static TheoryData<string, ResizingKind, Anchor, int> Preprocessing
    {
        get
        {
            var cases = new TheoryData<string, ResizingKind, Anchor, int>();
            foreach (string file in new[] { "i-orientation-6.jpg", "alpha.png", "progressive.jpg", "grey.png" })
            {
                cases.Add(file, ResizingKind.IsoPad, Anchor.Center, 3);
                cases.Add(file, ResizingKind.Fill, Anchor.Center, 1);
                cases.Add(file, ResizingKind.IsoCrop, Anchor.Right, 3);
                cases.Add(file, ResizingKind.IsoCrop, Anchor.Bottom, 1);
            }
            return cases;
        }
    }

    /// <summary>The image is decoded, turned, resized and composed as in scoring: the probabilities are the scores.</summary>
    [Theory]
    [MemberData(nameof(Preprocessing))]
    public void The_probability_is_the_score_of_the_image(string file, ResizingKind kind, Anchor anchor, int channels)
    {
        var architecture = RandomNetworks.Architecture(channels, 1, SqueezeExcitation.AfterRelu, (16, 1, 1), (16, 2, 2), (16, 1, 2));
        var network = RandomNetworks.Create(architecture, 18, 25, Classes);
        byte[] bytes = ImageFiles.Bytes(file);
        using (var encoded = ImageModels.Create(network, kind, anchor, System.Drawing.Color.Orange))
        {
            float[] scores = encoded.Transform(_context.Data.LoadFromEnumerable<EncodedRow>([new() { Image = bytes }])).GetColumn<float[]>("Score").Single();
            Compare.Close(scores, [.. Enumerable.Range(0, Classes).Select(label => encoded.Explain(bytes, label).Probability)], 1e-5);
        }
        using (var decoded = ImageModels.Create(network, kind, anchor, System.Drawing.Color.Orange, isEncoded: false))
        {
            using var image = MLImage.CreateFromStream(new MemoryStream(bytes));
            float[] scores = decoded.Transform(_context.Data.LoadFromEnumerable<DecodedRow>([new() { Image = image }])).GetColumn<float[]>("Score").Single();
            Compare.Close(scores, [.. Enumerable.Range(0, Classes).Select(label => decoded.Explain(image, label).Probability)], 1e-5);
            Assert.Equal(4 * image.Width * image.Height, image.Pixels.Length);
        }
    }

    [Fact]
    public void A_model_that_was_trained_saved_and_loaded_gives_the_same_maps()
    {
        using var folder = new TemporaryFolder();
        var rows = Enumerable.Range(0, 24).Select(i =>
        {
            using var image = ImageModels.Noise(14, 13, i);
            return new EncodedRow { Image = ImageModels.Png(image), Label = $"{i % 3}" };
        }).ToList();
        var data = _context.Data.LoadFromEnumerable(rows);
        var options = Stripes.Options(epochs: 1);
        (options.FeatureColumnName, options.ImageHeight, options.ImageWidth, options.ValidationSetFraction) = ("Image", 12, 12, 0);
        using var model = Stripes.Pipeline(_context, options).Fit(data);
        string path = folder.File("model.zip");
        _context.Model.Save(model, data.Schema, path);
        using var loaded = new MLContext().Model.LoadRepVgg(path, out _);
        var (trained, read) = (model.LastTransformer, loaded.OfType<RepVggTransformer>().Single());
        foreach (var row in rows.Take(5))
        {
            var (expected, actual) = (trained.Explain(row.Image, "2"), read.Explain(row.Image, "2"));
            Compare.Close(expected.Values.AsSpan(), actual.Values.AsSpan(), 1e-6);
            Assert.Equal((expected.ClassName, expected.PredictedClassName), (actual.ClassName, actual.PredictedClassName));
            Compare.Close(expected.Resize(12, 12), actual.Resize(12, 12), 1e-6);
        }
    }

    [Theory]
    [InlineData(SqueezeExcitation.None)]
    [InlineData(SqueezeExcitation.BeforeRelu)]
    public void Stock_MLNET_computes_the_same_maps_from_the_exported_file(SqueezeExcitation squeezeExcitation)
    {
        using var folder = new TemporaryFolder();
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, squeezeExcitation, (16, 1, 2), (16, 2, 2), (32, 1, 2)), 37, 41, Classes);
        using var model = ImageModels.Create(network);
        using var image = ImageModels.Noise(41, 37);
        string path = folder.File("network.onnx"), plain = folder.File("plain.onnx");
        model.ExportToOnnx(path, new OnnxExportOptions { ActivationMap = true, BatchSize = 1 });
        Assert.Equal(model.Labels, OnnxReader.ReadDescription(path)!.ClassLabels);
        model.ExportToOnnx(plain);
        using (var expected = new MemoryStream())
        {
            OnnxWriter.Write(network, expected, new OnnxExportOptions { ClassLabels = model.Labels });
            Assert.Equal(expected.ToArray(), File.ReadAllBytes(plain));
        }

        var data = _context.Data.LoadFromEnumerable<PixelRow>([new() { Pixels = ImageModels.Planes(image) }]);
        using var stock = _context.Transforms.ApplyOnnxModel(["logits", "activation_map"], ["input"], path).Fit(data);
        var scored = stock.Transform(data);
        float[] logits = scored.GetColumn<float[]>("logits").Single(), maps = scored.GetColumn<float[]>("activation_map").Single();
        var explained = Enumerable.Range(0, Classes).Select(label => model.Explain(image, label)).ToArray();
        Compare.Close([.. explained.Select(map => map.Logit)], logits, 1e-5, "logits");
        Compare.Close([.. explained.SelectMany(map => map.Values)], maps, MapTolerance, "maps");
    }

    [Fact]
    public void Threads_share_one_transformer_from_the_first_call_on()
    {
        const int Threads = 4, Images = 6;
        var network = Network("RepVGG-D2se");
        byte[][] images = [.. Enumerable.Range(0, Images).Select(i =>
        {
            using var image = ImageModels.Noise(50 + i, 60 - i, i);
            return ImageModels.Png(image);
        })];
        float[][] expected;
        using (var alone = ImageModels.Create(network))
            expected = [.. images.Select(image => alone.Explain(image, 1).Values.ToArray())];

        var model = ImageModels.Create(network);
        using var start = new Barrier(Threads);
        var actual = new float[Threads][][];
        var threads = Enumerable.Range(0, Threads).Select(thread => new Thread(() =>
        {
            start.SignalAndWait();
            actual[thread] = [.. images.Select(image => model.Explain(image, 1).Values.ToArray())];
        })).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.All(actual, values => Assert.Equal(expected, values));

        // A map can be drawn after its model was disposed.
        var map = model.Explain(images[0]);
        model.Dispose();
        model.Dispose();
        Assert.NotEmpty(map.DrawOnImage(images[0]));
        Assert.Throws<ObjectDisposedException>(() => model.Explain(images[0]));
    }

    [Fact]
    public void Bad_arguments_are_refused_with_the_reason()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 2), (8, 1, 2)), 16, 16, 3);
        using var model = ImageModels.Create(network);
        using var image = ImageModels.Noise(20, 30);
        byte[] png = ImageModels.Png(image);
        Assert.Contains("the file is empty", Assert.Throws<ArgumentException>(() => model.Explain(Array.Empty<byte>())).Message);
        Assert.Contains("its format is unknown", Assert.Throws<ArgumentException>(() => model.Explain("no picture"u8.ToArray())).Message);
        Assert.Contains("it is cut off", Assert.Throws<ArgumentException>(() => model.Explain(png[..(png.Length / 2)])).Message);
        Assert.Contains("more than the limit of 100,000,000", Assert.Throws<ArgumentException>(() => model.Explain(ImageFiles.PngOfClaimedSize(20_000, 20_000))).Message);
        Assert.Throws<ArgumentNullException>(() => model.Explain((MLImage)null!));
        var disposed = ImageModels.Noise(20, 30);
        disposed.Dispose();
        Assert.Throws<InvalidOperationException>(() => model.Explain(disposed));

        foreach (int index in new[] { -1, 3 })
        {
            Assert.Contains("3 classes, with indices from 0 to 2", Assert.Throws<ArgumentOutOfRangeException>(() => model.Explain(png, index)).Message);
            Assert.Contains("3 classes, with indices from 0 to 2", Assert.Throws<ArgumentOutOfRangeException>(() => model.Explain(image, index)).Message);
        }
        Assert.Contains("no class 'cat'; it has 'class 0', 'class 1', 'class 2'", Assert.Throws<ArgumentException>(() => model.Explain(png, "cat")).Message);

        var map = model.Explain(png);
        foreach (float opacity in new[] { -0.1f, 1.1f, float.NaN })
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => map.DrawOnInput(opacity));
            Assert.Throws<ArgumentOutOfRangeException>(() => map.DrawOnImage(png, opacity));
            Assert.Throws<ArgumentOutOfRangeException>(() => map.DrawOnImage(image, opacity));
        }
        Assert.Throws<ArgumentOutOfRangeException>(() => map.Resize(0, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => map.Resize(1, 0));
        using var other = ImageModels.Noise(30, 20);
        Assert.Contains("30 x 20 pixels, but the map is of an image of 20 x 30", Assert.Throws<ArgumentException>(() => map.DrawOnImage(other)).Message);
    }

    [Fact]
    public void A_model_of_vectors_is_refused_with_the_reason()
    {
        using var model = Stripes.Pipeline(_context, Stripes.Options(epochs: 1)).Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1)));
        using var image = ImageModels.Noise(12, 12);
        Assert.Contains("'Features' is a vector of pixels", Assert.Throws<InvalidOperationException>(() => model.LastTransformer.Explain(image)).Message);
    }

    [Fact]
    public void A_training_form_that_cannot_be_fused_is_refused_with_the_reason()
    {
        var options = Stripes.Options(epochs: 1);
        options.TrainingForm = TrainingForm.ReluInBranches;
        using var model = Stripes.Pipeline(_context, options).Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1)));
        using var image = ImageModels.Noise(12, 12);
        Assert.Contains("have no deploy form", Assert.Throws<NotSupportedException>(() => model.LastTransformer.Explain(image)).Message);
    }
}
