using System.Drawing;
using System.IO.Compression;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Scoring;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Weights;
using RepVgg.Weights.Onnx;
using Xunit;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.RepVgg.Tests.Images;

/// <summary>A saved model, which ML.NET alone runs, puts images on the background as this library does.</summary>
public sealed class ComposedChainTests
{
    private const int Height = 18, Width = 22, Classes = 5;
    private const double Tolerance = 1e-4;

    private static readonly ScoringOptions _scoring = new(Threads: 1, BatchSize: 0, SkipInvalidRows: false, Host: null);

    private static readonly Color _background = Color.FromArgb(255, 120, 10);

    private readonly MLContext _context = new(seed: 1);

    private sealed class Row
    {
        [ImageType(20, 20)]
        public MLImage? Image { get; set; }

        [KeyType(Classes)]
        public uint Label { get; set; }
    }

    public static TheoryData<ResizingKind, int> Cases
    {
        get
        {
            var cases = new TheoryData<ResizingKind, int>();
            foreach (var kind in Enum.GetValues<ResizingKind>())
            {
                cases.Add(kind, 1);
                cases.Add(kind, 3);
            }
            return cases;
        }
    }

    /// <summary>Opaque, partly transparent, half transparent and fully transparent images, and one of unused alpha, in several sizes.</summary>
    private static List<MLImage> Pictures()
    {
        var random = new Random(4);
        var pictures = new List<MLImage>();
        foreach (var (width, height) in new[] { (Width, Height), (40, 31), (15, 29), (9, 6) })
        {
            foreach (Func<int, int> alphaOf in new Func<int, int>[] { _ => 255, i => i % width < width / 2 ? 0 : 255, _ => 128, _ => 0, i => 37 * i % 256 })
            {
                byte[] pixels = new byte[4 * width * height];
                for (int i = 0; i < width * height; i++)
                {
                    int alpha = alphaOf(i);
                    for (int c = 0; c < 3; c++)
                        pixels[4 * i + c] = (byte)(random.Next(256) * alpha / 255);
                    pixels[4 * i + 3] = (byte)alpha;
                }
                pictures.Add(MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels));
            }
            byte[] frame = new byte[4 * width * height];
            for (int i = 0; i < frame.Length; i++)
                frame[i] = (byte)(i % 4 == 3 ? 0 : random.Next(256));
            pictures.Add(MLImage.CreateFromPixels(width, height, MLPixelFormat.Bgra32, frame));
        }
        return pictures;
    }

    private IDataView Data() => _context.Data.LoadFromEnumerable(Pictures().Select((picture, i) => new Row { Image = picture, Label = (uint)(1 + i % Classes) }));

    private static FeatureInput Input(DataViewSchema schema, int channels, ResizingKind kind) => FeatureInput.Create(
        schema,
        new ImageSettings("input", "Image", channels, Height, Width, kind, Anchor.Center) { BackgroundColor = _background },
        Height, Width);

    private static DeployNetwork Network(int channels) =>
        RandomNetworks.Create(RandomNetworks.Architecture(channels, 1, SqueezeExcitation.None, (8, 1, 2), (16, 2, 2)), Height, Width, Classes);

    /// <summary>The network's outputs for the bytes of the resizer.</summary>
    private static float[] Expected(DeployNetwork network, FeatureInput input)
    {
        var pictures = Pictures();
        byte[] pixels = new byte[pictures.Count * input.Length];
        using var resizer = input.CreateResizer();
        foreach (var (i, picture) in pictures.Index())
            resizer.Resize(picture, pixels.AsSpan(i * input.Length, input.Length));
        float[] outputs = new float[pictures.Count * network.OutputShape.Aggregate(1, (product, size) => product * size)];
        using var engine = new InferenceEngine(network, threads: 1);
        engine.Run(pixels, pictures.Count, outputs);
        return outputs;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Features_of_a_saved_chain_are_those_of_the_composed_images(ResizingKind kind, int channels)
    {
        var schema = Data().Schema;
        var input = Input(schema, channels, kind);
        var network = Network(channels).TakeFeatures(null, pooled: true);
        using var transformer = new RepVggFeaturizingTransformer(network, input, "Features", _scoring);
        var (loaded, model) = Save(transformer, schema);
        Compare.Close(Expected(network, input), [.. loaded.Transform(Data()).GetColumn<float[]>("Features").SelectMany(features => features)], Tolerance);

        var (read, details) = (OnnxReader.Read(new MemoryStream(model)), OnnxReader.ReadChainDetails(new MemoryStream(model)));
        Assert.Equal(input.Background.AsSpan(), details.Background.AsSpan());
        AssertSameBlocks(network, read);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Scores_of_a_saved_chain_are_those_of_the_composed_images(ResizingKind kind, int channels)
    {
        var schema = Data().Schema;
        var input = Input(schema, channels, kind);
        var network = Network(channels);
        using var transformer = new RepVggTransformer(global::RepVgg.Networks.QuantizedNetwork.WithoutIntegers(network), input, "Score", "PredictedLabel", schema["Label"], _scoring);
        var (loaded, model) = Save(transformer, schema);
        float[] expected = [.. Expected(network, input).Chunk(Classes).SelectMany(Softmax)];
        Compare.Close(expected, [.. loaded.Transform(Data()).GetColumn<float[]>("Score").SelectMany(score => score)], Tolerance);

        var (read, details) = (OnnxReader.Read(new MemoryStream(model)), OnnxReader.ReadChainDetails(new MemoryStream(model)));
        Assert.Equal(input.Background.AsSpan(), details.Background.AsSpan());
        AssertSameBlocks(network, read);
        Compare.Close(network.Classifier.Weight.AsSpan(), read.Classifier.Weight.AsSpan(), 1e-6);
        Compare.Close(network.Classifier.Bias.AsSpan(), read.Classifier.Bias.AsSpan(), 1e-6);
    }

    [Fact]
    public void A_vector_column_has_no_background()
    {
        var schema = new DataViewSchema.Builder();
        schema.AddColumn("Image", new VectorDataViewType(NumberDataViewType.Single, 3, Height, Width));
        Assert.Empty(FeatureInput.Create(schema.ToSchema(), new ImageSettings("input", "Image", null, null, null, ResizingKind.Fill, Anchor.Center), Height, Width).Background);
    }

    private static void AssertSameBlocks(DeployNetwork expected, DeployNetwork actual)
    {
        Assert.Equal((expected.ImageHeight, expected.ImageWidth), (actual.ImageHeight, actual.ImageWidth));
        Assert.Equal(expected.Normalization.Mean.AsSpan(), actual.Normalization.Mean.AsSpan());
        Assert.Equal(expected.Normalization.Scale.AsSpan(), actual.Normalization.Scale.AsSpan());
        Assert.Equal(expected.Blocks.SelectMany(block => block.Kernel.Concat(block.Bias)), actual.Blocks.SelectMany(block => block.Kernel.Concat(block.Bias)));
    }

    private (ITransformer Loaded, byte[] Onnx) Save(ITransformer transformer, DataViewSchema schema)
    {
        using var stream = new MemoryStream();
        _context.Model.Save(transformer, schema, stream);
        stream.Position = 0;
        var loaded = new MLContext().Model.Load(stream, out _);
        using var zip = new ZipArchive(stream);
        using var reader = new BinaryReader(zip.Entries.Single(entry => entry.Name == "OnnxModel").Open());
        return (loaded, reader.ReadBytes(reader.ReadInt32()));
    }

    private static float[] Softmax(float[] logits)
    {
        double most = logits.Max(), sum = logits.Sum(logit => Math.Exp(logit - most));
        return [.. logits.Select(logit => (float)(Math.Exp(logit - most) / sum))];
    }
}
