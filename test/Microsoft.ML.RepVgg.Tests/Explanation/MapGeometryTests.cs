using System.Drawing;
using Microsoft.ML.RepVgg.Explanation;
using Microsoft.ML.RepVgg.Scoring;
using Microsoft.ML.RepVgg.Tests.Images;
using RepVgg.Architectures;
using RepVgg.Testing;
using SkiaSharp;
using Xunit;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.RepVgg.Tests.Explanation;

/// <summary>Where a class activation map lies in the network's input and in the original image, and how it is drawn.</summary>
public sealed class MapGeometryTests
{
    private static readonly Color _lowest = Color.FromArgb(0x44, 0x01, 0x54), _highest = Color.FromArgb(0xFD, 0xE7, 0x25);

    private static SKColor[,] Decode(byte[] png)
    {
        using var bitmap = SKBitmap.Decode(png);
        var pixels = new SKColor[bitmap.Height, bitmap.Width];
        for (int y = 0; y < bitmap.Height; y++)
        {
            for (int x = 0; x < bitmap.Width; x++)
                pixels[y, x] = bitmap.GetPixel(x, y);
        }
        return pixels;
    }

    private static int Distance(SKColor actual, Color expected) => Math.Abs(actual.Red - expected.R) + Math.Abs(actual.Green - expected.G) + Math.Abs(actual.Blue - expected.B);

    /// <summary>The network computes means, so a pixel moves the map of a cell by its weight in the cell's mean. The centre of these weights is the cell's centre.</summary>
    [Theory]
    [InlineData(1, 49, 1, 1)]
    [InlineData(2, 49, 1, 1)]
    [InlineData(3, 49, 1, 1)]
    [InlineData(1, 48, 0, 0)]
    [InlineData(3, 96, 0, 0)]
    [InlineData(2, 48, 0, 1)]
    public void A_cell_is_centred_where_the_pixels_that_move_it_are(int stages, int side, int top, int left)
    {
        const int Cell = 2;
        var network = ImageModels.Brightness(side, side, stages + 1);
        network = network with
        {
            Architecture = network.Architecture with { Stages = [.. network.Architecture.Stages.Select(stage => stage with { PaddingTop = top, PaddingLeft = left })] },
            Blocks = [.. network.Blocks.Select(block => block with { Shape = block.Shape with { PaddingTop = top, PaddingLeft = left } })],
        };
        using var mapper = new ActivationMapper(network, new ScoringOptions(1, 0, false, null));
        int stride = mapper.Stride;
        double sum = 0, sumX = 0, sumY = 0;
        byte[] planes = new byte[3 * side * side];
        for (int y = 0; y < side; y++)
        {
            for (int x = 0; x < side; x++)
            {
                planes[y * side + x] = 255;
                double moved = mapper.Map(mapper.Run(planes), 0)[Cell * mapper.Width + Cell];
                planes[y * side + x] = 0;
                (sum, sumX, sumY) = (sum + moved, sumX + moved * (x + 0.5), sumY + moved * (y + 0.5));
            }
        }
        Assert.Equal(new MapAxis(stride, mapper.ShiftX, side, side, 0, side).ImageOfCell(Cell), sumX / sum, 1e-3);
        Assert.Equal(new MapAxis(stride, mapper.ShiftY, side, side, 0, side).ImageOfCell(Cell), sumY / sum, 1e-3);
    }

    public static TheoryData<ResizingKind, Anchor, int, int, int, int> Spots
    {
        get
        {
            // Each image has a white square of 30 pixels, centred on (X, Y), inside what the network sees.
            var cases = new TheoryData<ResizingKind, Anchor, int, int, int, int>();
            foreach (var kind in new[] { ResizingKind.Fill, ResizingKind.IsoPad })
            {
                foreach (var (width, height) in new[] { (160, 80), (80, 160), (64, 64) })
                {
                    foreach (var (x, y) in new[] { (15, 15), (width - 15, 15), (15, height - 15), (width - 15, height - 15) })
                        cases.Add(kind, Anchor.Center, width, height, x, y);
                }
            }
            foreach (var (anchor, left) in new[] { (Anchor.Left, 0), (Anchor.Center, 40), (Anchor.Right, 80) })
            {
                foreach (var (x, y) in new[] { (15, 15), (65, 15), (15, 65), (65, 65) })
                    cases.Add(ResizingKind.IsoCrop, anchor, 160, 80, left + x, y);
            }
            foreach (var (anchor, top) in new[] { (Anchor.Top, 0), (Anchor.Center, 40), (Anchor.Bottom, 80) })
                cases.Add(ResizingKind.IsoCrop, anchor, 80, 160, 15, top + 15);
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Spots))]
    public void A_bright_spot_is_brightest_where_it_lies_in_the_original(ResizingKind kind, Anchor anchor, int width, int height, int spotX, int spotY)
    {
        const int Input = 64, Half = 15;
        using var model = ImageModels.Create(ImageModels.Brightness(Input, Input, 3), kind, anchor, Color.Black);
        using var image = ImageModels.Picture(width, height, (x, y) => Math.Abs(x + 0.5 - spotX) <= Half && Math.Abs(y + 0.5 - spotY) <= Half ? Color.White : Color.Black);
        var map = model.Explain(image, 0);
        Assert.Equal((width, height, Input, Input), (map.ImageWidth, map.ImageHeight, map.InputWidth, map.InputHeight));

        // The largest cell lies on the spot.
        int best = map.Values.IndexOf(map.Values.Max());
        var (centreX, centreY) = map.ToImage(best % map.Width, best / map.Width);
        Assert.InRange(centreX, spotX - Half, spotX + Half);
        Assert.InRange(centreY, spotY - Half, spotY + Half);

        // So is the brightest part of the drawing; the other corners are dark, or not seen.
        var drawn = Decode(map.DrawOnImage(image, 1));
        Assert.Equal((height, width), (drawn.GetLength(0), drawn.GetLength(1)));
        Assert.InRange(Distance(drawn[spotY, spotX], _highest), 0, 200);
        double spotGreen = drawn[spotY, spotX].Green;
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                // Outside the spot and the cells around it, nothing is as bright.
                if (Math.Abs(x - spotX) > 3 * Half || Math.Abs(y - spotY) > 3 * Half)
                    Assert.True(drawn[y, x].Green < spotGreen - 40, $"({x}, {y}) is {drawn[y, x]}");
            }
        }

        // What the network did not see is as it was.
        if (kind == ResizingKind.IsoCrop && width == 160)
        {
            int left = anchor == Anchor.Left ? 0 : anchor == Anchor.Center ? 40 : 80;
            for (int x = 0; x < width; x++)
                Assert.Equal(x < left || x >= left + 80, drawn[79, x] is { Red: 0, Green: 0, Blue: 0 });
        }
    }

    [Theory]
    [InlineData("i-orientation-6.jpg")]
    [InlineData("alpha.png")]
    public void Without_opacity_the_drawing_is_the_picture(string file)
    {
        byte[] bytes = ImageFiles.Bytes(file);
        using var model = ImageModels.Create(ImageModels.Brightness(24, 32, 2), ResizingKind.IsoPad, background: Color.Orange);
        var map = model.Explain(bytes);
        var drawn = Decode(map.DrawOnImage(bytes, 0));
        Assert.Equal((map.ImageHeight, map.ImageWidth), (drawn.GetLength(0), drawn.GetLength(1)));
        using var stored = SKBitmap.Decode(bytes);
        for (int y = 0; y < map.ImageHeight; y++)
        {
            for (int x = 0; x < map.ImageWidth; x++)
            {
                // The orientation 6 shows the first row as the last column.
                var expected = file.EndsWith(".jpg", StringComparison.Ordinal) ? stored.GetPixel(y, stored.Height - 1 - x) : stored.GetPixel(x, y);
                byte[] actual = [drawn[y, x].Red, drawn[y, x].Green, drawn[y, x].Blue];
                byte[] colours = [expected.Red, expected.Green, expected.Blue], background = [Color.Orange.R, Color.Orange.G, Color.Orange.B];
                for (int i = 0; i < actual.Length; i++)
                    Assert.InRange(actual[i] - (colours[i] * expected.Alpha + background[i] * (255 - expected.Alpha)) / 255.0, -2, 2);
            }
        }
        var input = Decode(map.DrawOnInput(0));
        Assert.Equal((24, 32), (input.GetLength(0), input.GetLength(1)));
    }

    [Fact]
    public void The_drawing_on_the_input_is_grey_for_a_grey_network_and_that_on_the_original_has_its_colours()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(1, 1, SqueezeExcitation.None, (8, 1, 2), (8, 1, 2)), 16, 16, 2);
        using var model = ImageModels.Create(network);
        using var image = ImageModels.Picture(20, 20, (_, _) => Color.FromArgb(10, 200, 90));
        var map = model.Explain(image);
        byte grey = (byte)Math.Round(0.3 * 10 + 0.59 * 200 + 0.11 * 90);
        Assert.All(Decode(map.DrawOnInput(0)).Cast<SKColor>(), colour => Assert.InRange(Distance(colour, Color.FromArgb(grey, grey, grey)), 0, 3));
        Assert.All(Decode(map.DrawOnImage(image, 0)).Cast<SKColor>(), colour => Assert.Equal(new SKColor(10, 200, 90), colour));
    }

    [Fact]
    public void A_resized_map_has_the_values_of_the_cells_at_their_centres_and_lines_between_them()
    {
        const int Stride = 8;
        using var model = ImageModels.Create(ImageModels.Brightness(33, 41, 3));
        using var image = ImageModels.Noise(41, 33);
        var map = model.Explain(image, 0);
        Assert.Equal((6, 5), (map.Width, map.Height));
        float[] resized = map.Resize(41, 33);
        for (int row = 0; row < 5; row++)
        {
            for (int column = 0; column < 6; column++)
            {
                Assert.Equal(map.Values[row * 6 + column], resized[Stride * row * 41 + Stride * column], 1e-6f);
                Assert.Equal((Stride * column + 0.5f, Stride * row + 0.5f), map.ToImage(column, row));
            }
            for (int x = 0; x <= 40; x++)
            {
                float left = map.Values[row * 6 + x / Stride], right = map.Values[row * 6 + Math.Min(x / Stride + 1, 5)];
                Assert.Equal(left + (right - left) * (x % Stride) / Stride, resized[Stride * row * 41 + x], 1e-5f);
            }
        }
        Assert.InRange(Assert.Single(map.Resize(1, 1)), map.Values.Min(), map.Values.Max());
        Assert.Equal(2 * 82 * 33, map.Resize(82, 66).Length);
    }

    [Fact]
    public void The_last_cell_continues_to_the_border_of_the_input()
    {
        using var model = ImageModels.Create(ImageModels.Brightness(32, 32, 3));
        using var image = ImageModels.Noise(32, 32);
        var map = model.Explain(image, 0);
        float[] resized = map.Resize(32, 32);
        for (int x = 24; x < 32; x++)
            Assert.Equal(map.Values[3], resized[x]);
    }

    [Fact]
    public void A_map_of_equal_values_has_one_colour()
    {
        using var model = ImageModels.Create(ImageModels.Brightness(16, 16, 2));
        using var image = ImageModels.Picture(16, 16, (_, _) => Color.Black);
        Assert.All(Decode(model.Explain(image, 0).DrawOnInput(1)).Cast<SKColor>(), colour => Assert.Equal(0, Distance(colour, _lowest)));
    }

    [Fact]
    public void An_image_that_the_network_hardly_sees_can_be_drawn()
    {
        foreach (var kind in Enum.GetValues<ResizingKind>())
        {
            using var model = ImageModels.Create(ImageModels.Brightness(16, 16, 2), kind);
            using var image = ImageModels.Noise(400, 2);
            var map = model.Explain(image);
            Assert.All(new[] { map.ToImage(0, 0).X, map.ToImage(0, 0).Y }, value => Assert.True(float.IsFinite(value)));
            Assert.Equal(2, Decode(map.DrawOnImage(image)).GetLength(0));
        }
    }

    /// <summary>The lightness is that of CIELAB, from 0 to 100.</summary>
    [Fact]
    public void The_lightness_of_the_colours_rises_evenly()
    {
        const int Steps = 64;
        double[] lightness = [.. Enumerable.Range(0, Steps + 1).Select(i => Lightness(Viridis.Colour((float)i / Steps)))];
        double mean = (lightness[^1] - lightness[0]) / Steps;
        Assert.InRange(lightness[^1] - lightness[0], 70, 80);
        for (int i = 0; i < Steps; i++)
            Assert.InRange(lightness[i + 1] - lightness[i], 0.6 * mean, 1.4 * mean);
        Assert.Equal(Viridis.Colour(0), Viridis.Colour(-1));
        Assert.Equal(Viridis.Colour(1), Viridis.Colour(2));

        static double Lightness((float Red, float Green, float Blue) colour) =>
            116 * Math.Cbrt(0.2126 * Linear(colour.Red) + 0.7152 * Linear(colour.Green) + 0.0722 * Linear(colour.Blue)) - 16;

        static double Linear(float component) => component / 255 <= 0.04045 ? component / 255 / 12.92 : Math.Pow((component / 255 + 0.055) / 1.055, 2.4);
    }
}
