using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using RepVgg.Testing;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Training.Data;
using RepVgg.Inference;
using Xunit;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>The pixels that training and scoring read are those of ML.NET's own transformers, on white, value for value.</summary>
public sealed class PixelReaderTests
{
    private const int Height = 9, Width = 7, Count = 6;

    private readonly MLContext _context = new(seed: 1);

    private sealed class Row
    {
        [ImageType(20, 20)]
        public MLImage? Image { get; set; }
    }

    public static TheoryData<MLPixelFormat, ResizingKind, Anchor, int> Cases
    {
        get
        {
            var cases = new TheoryData<MLPixelFormat, ResizingKind, Anchor, int>();
            foreach (var format in new[] { MLPixelFormat.Rgba32, MLPixelFormat.Bgra32 })
            {
                foreach (int channels in new[] { 1, 3 })
                {
                    foreach (var kind in Enum.GetValues<ResizingKind>())
                        cases.Add(format, kind, Anchor.Center, channels);
                    cases.Add(format, ResizingKind.IsoCrop, Anchor.Top, channels);
                    cases.Add(format, ResizingKind.IsoCrop, Anchor.Right, channels);
                }
            }
            return cases;
        }
    }

    /// <summary>Images of several sizes, every other one of the network's size, with all values of colour and alpha.</summary>
    private static Row[] Rows(MLPixelFormat format)
    {
        var random = new Random(3);
        return [.. Enumerable.Range(0, Count).Select(i =>
        {
            int height = i % 2 == 0 ? Height : 5 + i, width = i % 2 == 0 ? Width : 11 - i;
            byte[] pixels = new byte[4 * height * width];
            random.NextBytes(pixels);
            return new Row { Image = MLImage.CreateFromPixels(width, height, format, pixels) };
        })];
    }

    // ML.NET's transformers dispose the images, so each reading gets its own.
    private IDataView Data(MLPixelFormat format) => _context.Data.LoadFromEnumerable(Rows(format));

    private static FeatureInput Input(DataViewSchema schema, int channels, ResizingKind kind = ResizingKind.IsoCrop, Anchor anchor = Anchor.Center) =>
        FeatureInput.Create(schema, new ImageSettings("feature", "Image", channels, Height, Width, kind, anchor), Height, Width);

    private float[][] Stock(MLPixelFormat format, ResizingKind kind, Anchor anchor, int channels)
    {
        var transforms = _context.Transforms;
        IEstimator<ITransformer> chain = transforms.ResizeImages("Resized", Width, Height, "Image", kind, anchor);
        if (channels == 1)
            chain = chain.Append(transforms.ConvertToGrayscale("Resized"));
        var colours = channels == 1 ? ImagePixelExtractingEstimator.ColorBits.Red : ImagePixelExtractingEstimator.ColorBits.Rgb;
        chain = chain.Append(transforms.ExtractPixels("Pixels", "Resized", colours | ImagePixelExtractingEstimator.ColorBits.Alpha));
        var view = Data(format);
        return [.. chain.Fit(view).Transform(view).GetColumn<float[]>("Pixels").Select(OnWhite)];

        // The colours are premultiplied: white shows through by 255 - alpha. The first plane is alpha.
        static float[] OnWhite(float[] planes) =>
            [.. planes.Skip(Height * Width).Select((colour, i) => Math.Min(255, colour + 255 - planes[i % (Height * Width)]))];
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Images_are_read_as_MLNet_extracts_them(MLPixelFormat format, ResizingKind kind, Anchor anchor, int channels)
    {
        float[][] expected = Stock(format, kind, anchor, channels);
        Assert.Equal(Count, expected.Length);
        var view = Data(format);
        var input = Input(view.Schema, channels, kind, anchor);
        var column = input.FindColumn(view.Schema);
        using var images = TrainingImages.AtNetworkSize(input, classes: 2, SampleCache.DefaultMemoryLimit);
        var cache = images.Samples;
        using (var cursor = view.GetRowCursor([column]))
        using (var reader = PixelReader.Create(input, cursor, column, new RowLocation(cursor, "Image", ImageFiles.Unknown), capacity: 1))
        {
            while (cursor.MoveNext())
                reader.AddTo(images, 1, 1, error => throw error);
        }
        float[] pixels = new float[input.Length];
        for (int i = 0; i < Count; i++)
        {
            cache.Read(i, pixels);
            Assert.Equal(expected[i], pixels);
        }

        var network = RandomNetworks.Create(RandomNetworks.Architecture(channels, 1, SqueezeExcitation.None, (8, 1, 1), (8, 1, 2)), Height, Width, classes: 4);
        using var engine = new InferenceEngine(network, threads: 1);
        float[] scores = new float[4 * Count], expectedScores = new float[4 * Count];
        engine.Run([.. expected.SelectMany(image => image)], Count, expectedScores);
        using (var cursor = view.GetRowCursor([column]))
        using (var reader = PixelReader.Create(input, cursor, column, new RowLocation(cursor, "Image", ImageFiles.Unknown), Count))
        {
            for (int i = 0; cursor.MoveNext(); i++)
                reader.Read(i);
            reader.Run(engine, Count, scores);
        }
        Assert.Equal(expectedScores, scores);
    }

    [Fact]
    public void A_missing_image_after_another_one_is_said_to_be_missing()
    {
        var rows = Rows(MLPixelFormat.Bgra32);
        rows[3].Image = null;
        var input = Input(Data(MLPixelFormat.Bgra32).Schema, channels: 3);
        var view = _context.Data.LoadFromEnumerable(rows);
        var column = input.FindColumn(view.Schema);
        using var cursor = view.GetRowCursor([column]);
        using var reader = PixelReader.Create(input, cursor, column, new RowLocation(cursor, "Image", ImageFiles.Unknown), Count);
        var failed = new List<long>();
        while (cursor.MoveNext())
        {
            try
            {
                reader.Read((int)cursor.Position);
            }
            catch (InvalidOperationException error)
            {
                Assert.Equal("Row 3, column 'Image': there is no image", error.Message);
                failed.Add(cursor.Position);
            }
        }
        Assert.Equal([3L], failed);
    }

    [Fact]
    public void Mean_and_deviation_of_bytes_are_those_of_the_same_floats()
    {
        // More values than the 32-bit sums of one block can hold, and a remainder.
        const int ImageHeight = 1031, ImageWidth = 1033;
        byte[] pixels = new byte[2 * ImageHeight * ImageWidth];
        new Random(4).NextBytes(pixels);
        pixels.AsSpan(0, ImageHeight * ImageWidth).Fill(255);
        var bytes = new InMemorySamples(pixels, [0, 1], 1, ImageHeight, ImageWidth, 2);
        var floats = new InMemorySamples(Array.ConvertAll(pixels, pixel => (float)pixel), [0, 1], 1, ImageHeight, ImageWidth, 2);
        var measured = PixelStatistics.Measure(bytes);
        double mean = pixels.Average(pixel => (double)pixel), deviation = Math.Sqrt(pixels.Average(pixel => (pixel - mean) * (pixel - mean)));
        Assert.Equal(mean, measured.Mean[0], 1e-3);
        Assert.Equal(1 / deviation, measured.Scale[0], 1e-7);
        var ofFloats = PixelStatistics.Measure(floats);
        Assert.Equal((ofFloats.Mean[0], ofFloats.Scale[0]), (measured.Mean[0], measured.Scale[0]));
    }
}
