using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using Xunit;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Where ResizeImages puts an image, and how smooth it is.</summary>
public sealed class ImageResizingTests
{
    private readonly MLContext _context = new(1);

    [Theory]
    [InlineData(40, 20, 30, 30, 0, 7, 30, 15)]
    [InlineData(20, 40, 30, 30, 7, 0, 15, 30)]
    [InlineData(8, 8, 20, 12, 4, 0, 12, 12)]
    [InlineData(12, 6, 12, 9, 0, 1, 12, 6)]
    public void PaddingCentresTheWholeImage(int width, int height, int toWidth, int toHeight, int left, int top, int innerWidth, int innerHeight)
    {
        float[,] red = Resize(Painted(width, height, (_, _) => 200), toWidth, toHeight, ResizingKind.IsoPad);

        for (int y = 0; y < toHeight; y++)
        {
            for (int x = 0; x < toWidth; x++)
            {
                bool inside = x >= left && x < left + innerWidth && y >= top && y < top + innerHeight;
                Assert.InRange(red[y, x], inside ? 199 : 0, inside ? 201 : 0);
            }
        }
    }

    [Theory]
    [InlineData(Anchor.Left, 0)]
    [InlineData(Anchor.Center, 20)]
    [InlineData(Anchor.Right, 40)]
    [InlineData(Anchor.Top, 20)]
    public void CroppingKeepsTheAnchoredPartOfAWideImage(Anchor anchor, int first)
    {
        // Twice as high and wide: column x of the result is columns 2x and 2x + 1 of the cut out part.
        float[,] red = Resize(Painted(80, 40, (x, _) => 3 * x), 20, 20, ResizingKind.IsoCrop, anchor);

        for (int x = 1; x < 19; x++)
            Assert.InRange(red[10, x], 3 * (first + 2 * x + 0.5f) - 2, 3 * (first + 2 * x + 0.5f) + 2);
    }

    [Theory]
    [InlineData(Anchor.Top, 0)]
    [InlineData(Anchor.Center, 20)]
    [InlineData(Anchor.Bottom, 40)]
    [InlineData(Anchor.Right, 20)]
    public void CroppingKeepsTheAnchoredPartOfAHighImage(Anchor anchor, int first)
    {
        float[,] red = Resize(Painted(40, 80, (_, y) => 3 * y), 20, 20, ResizingKind.IsoCrop, anchor);

        for (int y = 1; y < 19; y++)
            Assert.InRange(red[y, 10], 3 * (first + 2 * y + 0.5f) - 2, 3 * (first + 2 * y + 0.5f) + 2);
    }

    [Fact]
    public void FillingTakesTheNearestPixels()
    {
        float[,] red = Resize(Painted(4, 2, (x, y) => 10 * x + 100 * y), 8, 6, ResizingKind.Fill);

        for (int y = 0; y < 6; y++)
        {
            for (int x = 0; x < 8; x++)
                Assert.Equal(10 * (x / 2) + 100 * (y / 3), red[y, x]);
        }
    }

    [Fact]
    public void ShrinkingAveragesFinePatterns()
    {
        // A chessboard of single pixels is gray from afar; picking pixels would give black or white.
        float[,] red = Resize(Painted(128, 128, (x, y) => (x + y) % 2 == 0 ? 0 : 255), 16, 16, ResizingKind.IsoCrop);

        for (int y = 1; y < 15; y++)
        {
            for (int x = 1; x < 15; x++)
                Assert.InRange(red[y, x], 120, 135);
        }
    }

    [Fact]
    public void EnlargingIsSmooth()
    {
        float[,] red = Resize(Painted(16, 16, (x, _) => 15 * x), 64, 64, ResizingKind.IsoCrop);

        for (int x = 8; x < 56; x++)
            Assert.InRange(red[30, x], 15 * ((x + 0.5f) / 4 - 0.5f) - 2, 15 * ((x + 0.5f) / 4 - 0.5f) + 2);
    }

    [Fact]
    public void AnImageOfTheRightSizeIsLeftAlone()
    {
        float[,] red = Resize(Painted(20, 10, (x, y) => 12 * x + y), 20, 10, ResizingKind.IsoCrop);

        for (int x = 0; x < 20; x++)
            Assert.Equal(12 * x + 3, red[3, x]);
    }

    [Theory]
    [InlineData(33, 1, 5, 5)]
    [InlineData(1, 1, 7, 3)]
    [InlineData(1000, 3, 2, 2)]
    [InlineData(3, 500, 1, 4)]
    public void ExtremeShapesAreResized(int width, int height, int toWidth, int toHeight)
    {
        foreach (ResizingKind kind in Enum.GetValues<ResizingKind>())
        {
            foreach (float value in Resize(Painted(width, height, (_, _) => 77), toWidth, toHeight, kind))
                Assert.True(value is 0 or (>= 76 and <= 78), $"{kind}: {value}");
        }
    }

    private static MLImage Painted(int width, int height, Func<int, int, int> red)
    {
        var pixels = new byte[4 * width * height];
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
                (pixels[4 * (y * width + x)], pixels[4 * (y * width + x) + 3]) = ((byte)red(x, y), 255);
        }
        return MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels);
    }

    /// <summary>The red plane, [y, x].</summary>
    private float[,] Resize(MLImage image, int width, int height, ResizingKind kind, Anchor anchor = Anchor.Center)
    {
        // The stated size is not looked at; images of any size may come.
        IDataView data = _context.Data.LoadFromEnumerable([new Row { Image = image }]);
        IDataView output = _context.Transforms.ResizeImages("Image", width, height, resizing: kind, cropAnchor: anchor)
            .Append(_context.Transforms.ExtractPixels("Pixels", "Image", ImagePixelExtractingEstimator.ColorBits.Red)).Fit(data).Transform(data);
        float[] values = [.. output.GetColumn<VBuffer<float>>("Pixels").Single().DenseValues()];
        var plane = new float[height, width];
        Buffer.BlockCopy(values, 0, plane, 0, values.Length * sizeof(float));
        return plane;
    }

    private sealed class Row
    {
        [ImageType(1, 1)]
        public MLImage Image { get; set; } = null!;
    }
}
