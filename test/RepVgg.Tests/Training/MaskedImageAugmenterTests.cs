using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace RepVgg.Tests.Training;

public class MaskedImageAugmenterTests
{
    private const byte Ignored = 255;

    [Theory]
    [InlineData(12, 9)]
    [InlineData(16, 16)]
    [InlineData(7, 5)]
    [InlineData(7, 20)]
    public void Without_augmentation_pixels_are_copied(int height, int width)
    {
        const int Rows = 12, Columns = 9;
        var random = new Random(1);
        byte[] picture = new byte[2 * Rows * Columns], mask = new byte[Rows * Columns];
        random.NextBytes(picture);
        random.NextBytes(mask);
        var (image, labels) = (new float[2 * height * width], new byte[height * width]);
        var augmenter = new MaskedImageAugmenter(SegmentationAugmentation.None, new Normalization([100, 50], [0.5f, 2]), height, width, Ignored);

        augmenter.Convert(picture, mask, Rows, Columns, image, labels);
        int top = Rows > height ? (Rows - height) / 2 : -((height - Rows) / 2), left = Columns > width ? (Columns - width) / 2 : -((width - Columns) / 2);
        AssertCopied(top, left);

        var places = new HashSet<(int, int)>();
        for (int draw = 0; draw < 500; draw++)
        {
            augmenter.Augment(picture, mask, Rows, Columns, image, labels, new RandomStream((ulong)draw));
            var (y, x) = (from t in Enumerable.Range(Math.Min(top, 0), Rows) from l in Enumerable.Range(Math.Min(left, 0), Columns) where IsCopied(t, l) select (t, l)).First();
            AssertCopied(y, x);
            places.Add((y, x));
        }
        Assert.Equal(Math.Max(1, Rows - height + 1) * Math.Max(1, Columns - width + 1), places.Count);

        bool IsCopied(int t, int l) => Enumerable.Range(0, height * width).All(i => labels[i] == LabelAt(i / width + t, i % width + l));

        byte LabelAt(int y, int x) => y >= 0 && y < Rows && x >= 0 && x < Columns ? mask[y * Columns + x] : Ignored;

        void AssertCopied(int t, int l)
        {
            for (int i = 0; i < height * width; i++)
            {
                int y = i / width + t, x = i % width + l;
                Assert.Equal(LabelAt(y, x), labels[i]);
                bool isInside = y >= 0 && y < Rows && x >= 0 && x < Columns;
                Assert.Equal(isInside ? (picture[y * Columns + x] - 100) * 0.5f : 0, image[i]);
                Assert.Equal(isInside ? (picture[(Rows + y) * Columns + x] - 50) * 2f : 0, image[height * width + i]);
            }
        }
    }

    /// <summary>The picture's channels are the row and the column of each pixel, so the result shows where it comes from: as the definition says, and the mask from the nearest pixel.</summary>
    [Theory]
    [InlineData(0.5, 2, 10, true)]
    [InlineData(1, 1, 90, false)]
    [InlineData(0.6, 0.6, 0, true)]
    [InlineData(3, 3, 180, true)]
    public void Pictures_and_masks_are_transformed_alike(double minimum, double maximum, double rotation, bool flip)
    {
        const int Rows = 60, Columns = 50, Height = 40, Width = 48;
        byte[] picture = [.. Positions(i => i / Columns), .. Positions(i => i % Columns)], mask = [.. Positions(i => i / Columns / 10 * 5 + i % Columns / 10)];
        var options = new SegmentationAugmentation { MinimumScale = minimum, MaximumScale = maximum, Rotation = rotation, RotationProbability = 1, HorizontalFlip = flip };
        var augmenter = new MaskedImageAugmenter(options, Normalization.Identity(2), Height, Width, Ignored);
        var (image, labels, again) = (new float[2 * Height * Width], new byte[Height * Width], new float[2 * Height * Width]);
        var scales = new List<double>();
        var angles = new List<double>();
        int mirrored = 0, known = 0;
        const int Draws = 200;
        for (int draw = 0; draw < Draws; draw++)
        {
            augmenter.Augment(picture, mask, Rows, Columns, image, labels, new RandomStream((ulong)draw));
            augmenter.Augment(picture, mask, Rows, Columns, again, labels, new RandomStream((ulong)draw));
            Assert.Equal(image, again);
            var inside = new List<(double Y, double X, double Row, double Column)>();
            for (int i = 0; i < labels.Length; i++)
            {
                float row = image[i], column = image[Height * Width + i];
                if (labels[i] == Ignored)
                {
                    Assert.Equal((0f, 0f), (row, column));
                    continue;
                }
                // The nearest pixel is that of the interpolated position, which is clamped within half a pixel of the border.
                if (row is > 0 and < Rows - 1 && column is > 0 and < Columns - 1)
                {
                    Assert.InRange(labels[i] / 5 * 10, row - 9.51, row + 0.51);
                    Assert.InRange(labels[i] % 5 * 10, column - 9.51, column + 0.51);
                    inside.Add((i / Width, i % Width, row, column));
                }
            }
            if (inside.Count < 100)
                continue;
            known++;
            // A linear fit of the positions gives the transformation, and has no remainder.
            var (a, b, c) = Fit(inside.Select(p => (p.Y, p.X, p.Row)));
            var (d, e, f) = Fit(inside.Select(p => (p.Y, p.X, p.Column)));
            Assert.All(inside, p => Assert.True(Math.Abs(a * p.Y + b * p.X + c - p.Row) < 1e-3 && Math.Abs(d * p.Y + e * p.X + f - p.Column) < 1e-3));
            double determinant = a * e - b * d;
            mirrored += determinant < 0 ? 1 : 0;
            scales.Add(1 / Math.Sqrt(Math.Abs(determinant)));
            angles.Add(Math.Atan2(-d, a) * 180 / Math.PI);
        }
        Assert.True(known > Draws / 2);
        Assert.InRange(scales.Min(), minimum - 0.02, minimum + 0.1);
        Assert.InRange(scales.Max(), maximum - 0.15, maximum + 0.02);
        Assert.InRange(angles.Max(Math.Abs), rotation * 0.9 - 0.01, rotation + 0.6);
        Assert.Equal(flip ? 0.5 : 0, (double)mirrored / known, 0.15);

        static IEnumerable<byte> Positions(Func<int, int> position) => Enumerable.Range(0, Rows * Columns).Select(i => (byte)position(i));
    }

    [Fact]
    public void Options_that_are_out_of_range_are_refused()
    {
        foreach (var (name, options) in ((string, SegmentationAugmentation)[])
        [
            ("MinimumScale is 0", new() { MinimumScale = 0 }),
            ("MinimumScale is 3", new() { MinimumScale = 3 }),
            ("MaximumScale is 17", new() { MaximumScale = 17 }),
            ("MinimumScale is NaN", new() { MinimumScale = double.NaN }),
            ("Rotation is -1", new() { Rotation = -1 }),
            ("RotationProbability is 1.5", new() { RotationProbability = 1.5 }),
        ])
            Assert.StartsWith(name, Assert.Throws<ArgumentException>(options.Validate).Message);
        new SegmentationAugmentation().Validate();
        SegmentationAugmentation.None.Validate();
    }

    /// <summary>Least squares of value = a * y + b * x + c.</summary>
    private static (double A, double B, double C) Fit(IEnumerable<(double Y, double X, double Value)> points)
    {
        var all = points.ToArray();
        double y = all.Average(p => p.Y), x = all.Average(p => p.X), value = all.Average(p => p.Value);
        double yy = all.Sum(p => (p.Y - y) * (p.Y - y)), xx = all.Sum(p => (p.X - x) * (p.X - x)), yx = all.Sum(p => (p.Y - y) * (p.X - x));
        double yv = all.Sum(p => (p.Y - y) * (p.Value - value)), xv = all.Sum(p => (p.X - x) * (p.Value - value)), determinant = yy * xx - yx * yx;
        double a = (yv * xx - xv * yx) / determinant, b = (xv * yy - yv * yx) / determinant;
        return (a, b, value - a * y - b * x);
    }
}
