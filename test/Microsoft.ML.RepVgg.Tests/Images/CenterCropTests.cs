using System.Drawing;
using System.IO.Compression;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Tests.Explanation;
using Microsoft.ML.RepVgg.Tests.Trainer;
using Microsoft.ML.Transforms.Image;
using RepVgg.Testing;
using RepVgg.Weights.Onnx;
using Xunit;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.RepVgg.Tests.Images;

/// <summary>With a crop fraction, the shorter side is resized to round(size / fraction) and the centre is cut out: in every way of scoring, and in a saved model that ML.NET alone runs.</summary>
public sealed class CenterCropTests
{
    private readonly MLContext _context = new(seed: 1);

    private sealed class Row
    {
        [ImageType(20, 20)]
        public MLImage? Image { get; set; }

        [KeyType(2)]
        public uint Label { get; set; }
    }

    private sealed class Prediction
    {
        public float[] Score { get; set; } = [];
    }

    // Width, height and fraction; the size to which ML.NET resizes, and the first column and row that are kept, by hand.
    public static TheoryData<int, int, double, int, int, int, int> Sizes => new()
    {
        { 28, 28, 0.875, 32, 32, 2, 2 },
        { 224, 224, 0.875, 256, 256, 16, 16 },
        { 20, 15, 0.8, 25, 19, 2, 2 },
        { 13, 13, 0.9, 14, 14, 0, 0 },
        { 9, 6, 0.75, 12, 8, 2, 1 },
        { 10, 10, 0.99, 10, 10, 0, 0 },
        { 5, 7, 0.1, 50, 70, 22, 32 },
    };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void The_bytes_are_those_in_the_middle_of_what_MLNet_resizes(int width, int height, double fraction, int resizedWidth, int resizedHeight, int left, int top)
    {
        foreach (int channels in new[] { 1, 3 })
        {
            foreach (var (imageWidth, imageHeight) in new[] { (61, 40), (40, 61), (resizedWidth, resizedHeight), (width, height), (3, 2) })
            {
                using var image = ImageModels.Noise(imageWidth, imageHeight);
                byte[] planes = new byte[channels * width * height];
                using (var resizer = new ImageResizer(height, width, ResizingKind.IsoCrop, Anchor.Center, ImageResizer.Background(Color.White, channels), fraction))
                    resizer.Resize(image, planes);

                float[] stock = Stock(image, resizedWidth, resizedHeight, channels);
                for (int i = 0; i < planes.Length; i++)
                {
                    int channel = i / (width * height), y = i / width % height, x = i % width;
                    Assert.Equal(stock[(channel * resizedHeight + top + y) * resizedWidth + left + x], planes[i]);
                }
            }
        }
    }

    /// <summary>The planes of the colours, and white where alpha is 0. ML.NET's transformers dispose the image that they get.</summary>
    private float[] Stock(MLImage image, int width, int height, int channels)
    {
        var copy = MLImage.CreateFromPixels(image.Width, image.Height, image.PixelFormat, image.Pixels.ToArray());
        var view = _context.Data.LoadFromEnumerable([new Row { Image = copy }]);
        IEstimator<ITransformer> chain = _context.Transforms.ResizeImages("Resized", width, height, "Image", ResizingKind.IsoCrop);
        if (channels == 1)
            chain = chain.Append(_context.Transforms.ConvertToGrayscale("Resized"));
        float[] all = chain
            .Append(_context.Transforms.ExtractPixels("Pixels", "Resized", ImagePixelExtractingEstimator.ColorBits.All, ImagePixelExtractingEstimator.ColorsOrder.ARGB))
            .Fit(view).Transform(view).GetColumn<float[]>("Pixels").Single();
        int plane = width * height;
        return [.. Enumerable.Range(0, channels * plane).Select(i => all[i % plane] == 0 ? 255 : all[plane + i])];
    }

    // Pillow's filter is another one than Skia's, so that the values differ a little; those of pixels beside them differ much more.
    [Fact]
    public void The_place_is_that_of_Pillow_and_torchvision()
    {
        using var golden = JsonDocument.Parse(File.ReadAllText(GoldenFiles.PathOf(Path.Combine("pillow", "center-crop.json"))));
        int width = golden.RootElement.GetProperty("width").GetInt32(), height = golden.RootElement.GetProperty("height").GetInt32();
        byte[] pixels = golden.RootElement.GetProperty("pixels").GetBytesFromBase64();
        using var image = ImageModels.Picture(width, height, (x, y) => Color.FromArgb(Value(0, x, y), Value(1, x, y), Value(2, x, y)));
        foreach (var item in golden.RootElement.GetProperty("cases").EnumerateArray())
        {
            int side = item.GetProperty("side").GetInt32();
            byte[] expected = item.GetProperty("result").GetBytesFromBase64(), actual = new byte[3 * side * side];
            using var resizer = new ImageResizer(side, side, ResizingKind.IsoCrop, Anchor.Center, [255, 255, 255], item.GetProperty("fraction").GetDouble());
            resizer.Resize(image, actual);
            double here = Distance(expected, actual, side, 0, 0);
            foreach (var (right, down) in new[] { (1, 0), (-1, 0), (0, 1), (0, -1) })
                Assert.True(2 * here < Distance(expected, actual, side, right, down), $"{item.GetProperty("side")}, {item.GetProperty("fraction")}: {here} and {Distance(expected, actual, side, right, down)}");
        }

        int Value(int channel, int x, int y) => pixels[(channel * height + y) * width + x];

        // The mean distance of the pixels from those of the other image that lie further to the right and bottom.
        static double Distance(byte[] one, byte[] other, int side, int right, int down)
        {
            double sum = 0;
            for (int i = 0; i < one.Length; i++)
            {
                int x = i % side, y = i / side % side;
                if (x is > 2 && x < side - 3 && y is > 2 && y < side - 3)
                    sum += Math.Abs(one[i] - other[i + down * side + right]);
            }
            return sum / one.Length;
        }
    }

    [Fact]
    public void Every_way_of_scoring_sees_the_same_pixels()
    {
        var network = ImageModels.Brightness(24, 32, 2);
        using var model = ImageModels.Create(network, background: Color.Orange, isEncoded: false, cropFraction: 0.8);
        var data = _context.Data.LoadFromEnumerable(Pictures().Select(image => new Row { Image = image }));
        float[][] scores = Scores(model, Pictures());
        byte[] planes = new byte[3 * 24 * 32];
        foreach (var (i, image) in Pictures().Index())
        {
            var map = model.Explain(image, 0);
            Assert.Equal(scores[i][0], map.Probability, 1e-5);
            using var engine = _context.Model.CreatePredictionEngine<Row, Prediction>(model, new PredictionEngineOptions { OwnsTransformer = false });
            Assert.Equal(scores[i], engine.Predict(new Row { Image = image }).Score);
        }

        using var stream = new MemoryStream();
        _context.Model.Save(model, data.Schema, stream);
        stream.Position = 0;
        Compare.Close([.. scores.SelectMany(row => row)], [.. Scores(new MLContext().Model.Load(stream, out _), Pictures()).SelectMany(row => row)], 1e-4);
        stream.Position = 0;
        using var loaded = new MLContext().Model.LoadRepVgg(stream, out _);
        Assert.Equal(scores.SelectMany(row => row), Scores(loaded, Pictures()).SelectMany(row => row));
        Assert.Equal((32, 40, 30, 4, 3), Described(loaded.OfType<RepVggTransformer>().Single().Input.Crop));

        // The network of the saved graph is that without the crop.
        using var zip = new ZipArchive(stream);
        using var reader = new BinaryReader(zip.Entries.Single(entry => entry.Name == "OnnxModel").Open());
        byte[] onnx = reader.ReadBytes(reader.ReadInt32());
        Assert.Equal(new OnnxCrop(30, 40, 3, 4, 24, 32), OnnxReader.ReadChainDetails(new MemoryStream(onnx)).Crop);
        var read = OnnxReader.Read(new MemoryStream(onnx));
        Assert.Equal((24, 32), (read.ImageHeight, read.ImageWidth));
        Assert.Equal(network.Blocks.SelectMany(block => block.Kernel), read.Blocks.SelectMany(block => block.Kernel));

        static (int Width, int ResizedWidth, int ResizedHeight, int Left, int Top) Described(CenterCrop crop) => (crop.Width, crop.ResizedWidth, crop.ResizedHeight, crop.Left, crop.Top);
    }

    private static List<MLImage> Pictures()
    {
        var random = new Random(8);
        byte[] transparent = new byte[4 * 33 * 50];
        random.NextBytes(transparent);
        for (int i = 0; i < transparent.Length; i++)
            transparent[i] = i % 4 == 3 ? (byte)150 : (byte)(transparent[i] * 150 / 255);
        return
        [
            ImageModels.Noise(80, 50), ImageModels.Noise(40, 30, 4), ImageModels.Noise(32, 24, 5), ImageModels.Noise(20, 71, 6),
            // Bright on the side that is cut off.
            ImageModels.Picture(80, 60, (x, _) => x < 8 ? Color.White : Color.Black), MLImage.CreateFromPixels(33, 50, MLPixelFormat.Rgba32, transparent),
        ];
    }

    private float[][] Scores(ITransformer model, IEnumerable<MLImage> images) =>
        [.. images.Select(image => model.Transform(_context.Data.LoadFromEnumerable([new Row { Image = image }])).GetColumn<float[]>("Score").Single())];

    [Theory]
    [InlineData(35, 35)]
    [InlineData(105, 45)]
    public void A_map_shows_a_spot_where_it_lies_in_the_original(int spotX, int spotY)
    {
        // Of 160 x 80 pixels, the network sees the middle square of 64: columns 48 to 112, rows 8 to 72.
        const int Input = 64, Half = 6;
        using var model = ImageModels.Create(ImageModels.Brightness(Input, Input, 3), background: Color.Black, cropFraction: 0.8);
        using var image = ImageModels.Picture(160, 80, (x, y) => Math.Abs(x + 0.5 - spotX) <= Half && Math.Abs(y + 0.5 - spotY) <= Half ? Color.White : Color.Black);
        var map = model.Explain(image, 0);
        var (x, y) = map.ToImage(0, 0);
        Assert.Equal((48.5f, 8.5f), (x, y));
        bool isSeen = spotX > 48;
        Assert.Equal(isSeen, map.Values.Max() > 0.05);
        if (!isSeen)
            return;
        int best = map.Values.IndexOf(map.Values.Max());
        var (centreX, centreY) = map.ToImage(best % map.Width, best / map.Width);
        Assert.InRange(centreX, spotX - Half, spotX + Half);
        Assert.InRange(centreY, spotY - Half, spotY + Half);
    }

    [Fact]
    public void A_description_without_a_fraction_is_that_of_a_model_that_is_not_cropped()
    {
        using var model = ImageModels.Create(ImageModels.Brightness(24, 32, 2), cropFraction: 0.8);
        var json = JsonNode.Parse(new SavedPart(SavedInput.Of(model.Input), "Score", new SavedHead("PredictedLabel", "Label")).ToJson())!;
        var input = json["input"]!.AsObject();
        Assert.Equal(0.8, SavedPart.FromJson(json.ToJsonString()).Input.ToFeatureInput(global::RepVgg.Networks.QuantizedNetwork.WithoutIntegers(model.Network), null).Settings.CropFraction);
        foreach (double damaged in new[] { 0, -1, 1.01, 1e-6 })
        {
            input["crop_fraction"] = damaged;
            var error = Assert.Throws<InvalidDataException>(() => SavedPart.FromJson(json.ToJsonString()).Input.ToFeatureInput(global::RepVgg.Networks.QuantizedNetwork.WithoutIntegers(model.Network), null));
            Assert.StartsWith("The model's description of its RepVGG network is damaged", error.Message, StringComparison.Ordinal);
        }
        input.Remove("crop_fraction");
        Assert.True(SavedPart.FromJson(json.ToJsonString()).Input.ToFeatureInput(global::RepVgg.Networks.QuantizedNetwork.WithoutIntegers(model.Network), null).Crop.IsWhole);
    }

    [Fact]
    public void A_fraction_that_cannot_be_used_is_refused()
    {
        Refused("CropFraction is 0; it must be more than 0 and at most 1.", options => options.CropFraction = 0);
        Refused("CropFraction is 1.1; it must be", options => options.CropFraction = 1.1);
        Refused("CropFraction is NaN; it must be", options => options.CropFraction = double.NaN);
        Refused("CropFraction is 0.9, but Resizing is Fill and CropAnchor is Center; it needs IsoCrop and Center", options => (options.CropFraction, options.Resizing) = (0.9, ResizingKind.Fill));
        Refused("CropFraction is 0.9, but Resizing is IsoCrop and CropAnchor is Top", options => (options.CropFraction, options.CropAnchor) = (0.9, Anchor.Top));
        var vectors = _context.Data.LoadFromEnumerable(Stripes.Rows(30, 1));
        var options = Stripes.Options(1);
        options.CropFraction = 0.9;
        Assert.Contains(
            "CropFraction is 0.9, but the feature column 'Features' is a vector of pixels, which is neither resized nor cropped.",
            Assert.Throws<ArgumentException>(() => Stripes.Pipeline(_context, options).Fit(vectors)).Message);
        Assert.Contains("CropFraction is 0.0001: images would be resized to 320000 x 240000 pixels", Assert.Throws<ArgumentException>(() => CenterCrop.Of(24, 32, 1e-4)).Message);

        void Refused(string expected, Action<RepVggTrainer.Options> change)
        {
            var options = Stripes.Options(1);
            change(options);
            Assert.Contains(expected, Assert.Throws<ArgumentException>(() => Stripes.Pipeline(_context, options)).Message);
        }
    }
}
