using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights.Onnx;
using Xunit;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.RepVgg.Tests.MLNet;

/// <summary>Networks as ONNX, and images.</summary>
public sealed partial class MLNetAssumptionTests
{
    private const string PixelColumn = "Image.Pixels";
    private const string LogitsColumn = "Score.Logits";

    private static readonly DeployNetwork _network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 2), (16, 2, 2)), 8, 8, 5);

    // Interop/StockHead is trained for Vector<Single, 1, n>, and Input/FeatureInput passes flat vectors on as they are.
    [Theory]
    [InlineData(3, 8, 8)]
    [InlineData(3 * 8 * 8)]
    public void A_free_batch_of_an_ONNX_output_becomes_1_and_flat_vectors_fit_the_input(params int[] dimensions)
    {
        var view = Pixels(PixelColumn, dimensions);
        using var transformer = ApplyNetwork().Fit(view);
        var scored = transformer.Transform(view);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 1, 5), scored.Schema[LogitsColumn].Type);
        Compare.Close(Logits(), [.. scored.GetColumn<float[]>(LogitsColumn).SelectMany(logits => logits)], 1e-5);
    }

    // Interop/StockChainBuilder names the network's input after the pixel column.
    [Fact]
    public void The_column_must_bear_the_name_of_the_ONNX_input()
    {
        var view = Pixels("Other", 3, 8, 8);
        Assert.Contains($"Could not find input column '{PixelColumn}'", Assert.ThrowsAny<ArgumentException>(() => ApplyNetwork().Fit(view)).Message);
    }

    // RepVgg's OnnxWriter offers a softmax for users who score its files in ML.NET without a stock head.
    [Fact]
    public void A_softmax_at_the_end_of_an_ONNX_network_is_applied()
    {
        var view = Pixels(PixelColumn, 3, 8, 8);
        using var transformer = ApplyNetwork(softmax: true).Fit(view);
        float[] expected = [.. Logits().Chunk(5).SelectMany(Softmax)];
        Compare.Close(expected, [.. transformer.Transform(view).GetColumn<float[]>(LogitsColumn).SelectMany(scores => scores)], 1e-5);
    }

    // Interop/StockChain's models are saved again by users, and StockChainBuilder saves its chain before it disposes it.
    [Fact]
    public void A_loaded_ONNX_transformer_can_be_saved_again_until_it_is_disposed()
    {
        var view = Pixels(PixelColumn, 3, 8, 8);
        using var transformer = ApplyNetwork().Fit(view);
        var loaded = Reload(transformer);
        using (var again = (IDisposable)Reload(loaded))
            Compare.Close(Logits(), [.. ((ITransformer)again).Transform(view).GetColumn<float[]>(LogitsColumn).SelectMany(logits => logits)], 1e-5);
        ((IDisposable)loaded).Dispose();
        Assert.Throws<FileNotFoundException>(() => Reload(loaded));
    }

    // Input/FeatureInput extracts like this, and the network reads planes R, G, B of values 0..255 without offset and scale.
    [Theory]
    [InlineData(MLPixelFormat.Rgba32)]
    [InlineData(MLPixelFormat.Bgra32)]
    public void Pixels_are_extracted_as_planes_of_red_green_and_blue_from_0_to_255(MLPixelFormat format)
    {
        byte[] pixels = format == MLPixelFormat.Rgba32 ? [0, 2, 3, 255, 4, 255, 6, 255] : [3, 2, 0, 255, 6, 255, 4, 255];
        var view = Images(MLImage.CreateFromPixels(2, 1, format, pixels));
        var extracted = Extract(3).Fit(view).Transform(view);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 3, 1, 2), extracted.Schema["Pixels"].Type);
        Assert.Equal([0, 4, 2, 255, 3, 6], extracted.GetColumn<float[]>("Pixels").Single());
    }

    // Input/FeatureInput makes images grey for networks of one channel and extracts red only.
    [Fact]
    public void The_red_plane_of_an_image_made_grey_is_its_brightness()
    {
        var view = Images(MLImage.CreateFromPixels(2, 1, MLPixelFormat.Rgba32, [200, 100, 50, 255, 255, 255, 255, 255]));
        var grey = _context.Transforms.ConvertToGrayscale("Image").Append(Extract(1)).Fit(view).Transform(view);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 1, 1, 2), grey.Schema["Pixels"].Type);
        float[] pixels = grey.GetColumn<float[]>("Pixels").Single();
        // 0.299 R + 0.587 G + 0.114 B, within the rounding of 8 bits.
        Assert.InRange(pixels[0], 123, 126);
        Assert.InRange(pixels[1], 254, 255);
    }

    // Input/PixelReader uses the explicit values to distinguish a missing image, which is an error, from a black image.
    [Fact]
    public void A_missing_image_has_no_explicit_value_and_a_black_one_has_all()
    {
        var view = Images(null, MLImage.CreateFromPixels(2, 1, MLPixelFormat.Rgba32, [0, 0, 0, 255, 0, 0, 0, 255]));
        var extracted = _context.Transforms.ResizeImages("Image", 3, 2).Append(Extract(3)).Fit(view).Transform(view);
        Assert.Equal([(18, 0), (18, 18)], extracted.GetColumn<VBuffer<float>>("Pixels").Select(pixels => (pixels.Length, pixels.GetValues().Length)));
    }

    // Input/FeatureInput passes RepVggTrainer.Options.Resizing and CropAnchor to ResizeImages, whose cropping keeps the anchored part.
    [Theory]
    [InlineData(Anchor.Left, 0)]
    [InlineData(Anchor.Center, 20)]
    [InlineData(Anchor.Right, 40)]
    public void IsoCrop_keeps_the_proportions_and_the_anchored_part(Anchor anchor, int first)
    {
        // Scaled by one half: column x of the result is columns 2x and 2x + 1 of the part that is kept.
        float[] red = Resize(Painted(80, 40, (x, _) => 3 * x), 20, 20, ResizingKind.IsoCrop, anchor);
        for (int x = 1; x < 19; x++)
            Assert.InRange(red[10 * 20 + x], 3 * (first + 2 * x + 0.5f) - 2, 3 * (first + 2 * x + 0.5f) + 2);
    }

    // Input/FeatureInput passes RepVggTrainer.Options.Resizing to ResizeImages, whose padding is black and keeps the whole image.
    [Fact]
    public void IsoPad_keeps_the_whole_image_and_adds_black()
    {
        float[] red = Resize(Painted(40, 20, (_, _) => 200), 30, 30, ResizingKind.IsoPad);
        for (int y = 0; y < 30; y++)
            Assert.InRange(red[y * 30 + 15], y is >= 7 and < 22 ? 199 : 0, y is >= 7 and < 22 ? 201 : 0);
    }

    // Input/FeatureInput passes RepVggTrainer.Options.Resizing to ResizeImages, whose filling keeps no proportions.
    [Fact]
    public void Fill_stretches_the_image()
    {
        float[] red = Resize(Painted(4, 2, (x, y) => 10 * x + 100 * y), 8, 6, ResizingKind.Fill);
        Assert.Equal(Enumerable.Range(0, 48).Select(i => 10f * (i % 8 / 2) + 100 * (i / 8 / 3)), red);
    }

    // Input/FeatureInput puts ResizeImages in front of every network, also where the images have its size already.
    [Theory]
    [InlineData(ResizingKind.IsoCrop)]
    [InlineData(ResizingKind.IsoPad)]
    [InlineData(ResizingKind.Fill)]
    public void An_image_of_the_right_size_stays_as_it_is(ResizingKind kind)
    {
        float[] red = Resize(Painted(20, 10, (x, y) => 12 * x + y), 20, 10, kind);
        Assert.Equal(Enumerable.Range(0, 200).Select(i => 12f * (i % 20) + i / 20), red);
    }

    private static float[][] NetworkImages() => [.. Enumerable.Range(0, 3).Select(i => RandomNetworks.Pixels(_network, 1, seed: 10 + i))];

    private static float[] Logits() => ReferenceNetwork.Logits(_network, NetworkImages().SelectMany(pixels => pixels).ToArray(), 3);

    private static MLImage Painted(int width, int height, Func<int, int, int> red)
    {
        byte[] pixels = [.. Enumerable.Range(0, width * height).SelectMany(i => new byte[] { (byte)red(i % width, i / width), 0, 0, 255 })];
        return MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels);
    }

    private IDataView Pixels(string column, params int[] dimensions)
    {
        var definition = SchemaDefinition.Create(typeof(Row));
        var features = definition["Features"];
        features.ColumnName = column;
        features.ColumnType = new VectorDataViewType(NumberDataViewType.Single, dimensions);
        return _context.Data.LoadFromEnumerable(NetworkImages().Select(pixels => new Row { Features = pixels }), definition);
    }

    private IEstimator<Transforms.Onnx.OnnxTransformer> ApplyNetwork(bool softmax = false)
    {
        string path = _folder.File("network.onnx");
        OnnxWriter.Write(_network, path, new OnnxExportOptions { InputName = PixelColumn, OutputName = LogitsColumn, Softmax = softmax });
        return _context.Transforms.ApplyOnnxModel([LogitsColumn], [PixelColumn], path);
    }

    private IDataView Images(params MLImage?[] images) => _context.Data.LoadFromEnumerable(images.Select(image => new Row { Image = image }));

    private ImagePixelExtractingEstimator Extract(int channels) => _context.Transforms.ExtractPixels(
        "Pixels",
        "Image",
        colorsToExtract: channels == 1 ? ImagePixelExtractingEstimator.ColorBits.Red : ImagePixelExtractingEstimator.ColorBits.Rgb,
        orderOfExtraction: ImagePixelExtractingEstimator.ColorsOrder.ARGB);

    /// <summary>The red plane.</summary>
    private static float[] Softmax(float[] logits)
    {
        double[] exponentials = [.. logits.Select(logit => Math.Exp(logit))];
        return [.. exponentials.Select(value => (float)(value / exponentials.Sum()))];
    }

    private float[] Resize(MLImage image, int width, int height, ResizingKind kind, Anchor anchor = Anchor.Center)
    {
        // The size that the column's type states is not looked at.
        var view = Images(image);
        var resized = _context.Transforms.ResizeImages("Image", width, height, resizing: kind, cropAnchor: anchor).Append(Extract(1)).Fit(view).Transform(view);
        return resized.GetColumn<float[]>("Pixels").Single();
    }
}
