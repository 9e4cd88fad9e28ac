using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;

namespace RepVgg.Samples;

/// <summary>A data set for segmentation that needs no download: shapes with textures, of any colour, over photographs. A shape can hide a part of an earlier one.</summary>
/// <remarks>The photographs are those of the bundled images of Fashion-MNIST, enlarged and tinted. The same seed gives the same files.</remarks>
internal sealed class ShapeImages
{
    /// <summary>Height and width of an image in pixels.</summary>
    public const int Size = 96;

    private const int PhotoSize = 28, FewestShapes = 4, MostShapes = 8, BytesPerPixel = 4;
    private const double SmallestRadius = 16, LargestRadius = 36;

    private readonly List<float[]> _photos;
    private readonly Random _random;

    private ShapeImages(int seed)
    {
        _random = new Random(seed);
        _photos = [.. ImageRow.ReadBundled("train").Select(row => row.Features)];
    }

    /// <summary>The names of the classes, in the order of the labels, and their colours in drawings.</summary>
    private static string[] Classes { get; } = ["photograph 0 0 0", "striped disc 230 60 60", "checked square 60 180 75", "dotted triangle 70 110 230", "plain cross 250 200 40"];

    /// <summary>Writes the data set: folders of images and masks for training and validation, and the names of the classes.</summary>
    /// <param name="folder">The folder. Its files of these names are replaced.</param>
    /// <param name="training">Number of images to train on.</param>
    /// <param name="validation">Number of images to validate on.</param>
    /// <param name="seed">Seed of the images.</param>
    /// <param name="cancellation">Checked at every image.</param>
    public static void Write(string folder, int training, int validation, int seed, CancellationToken cancellation)
    {
        var generator = new ShapeImages(seed);
        foreach (var (set, count) in (ReadOnlySpan<(string, int)>)[("train", training), ("val", validation)])
        {
            string images = Directory.CreateDirectory(Path.Combine(folder, "images", set)).FullName, masks = Directory.CreateDirectory(Path.Combine(folder, "masks", set)).FullName;
            for (int i = 0; i < count; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                string name = FormattableString.Invariant($"{i:0000}.png");
                var (pixels, labels) = generator.Draw();
                using var image = MLImage.CreateFromPixels(Size, Size, MLPixelFormat.Rgba32, pixels);
                image.Save(Path.Combine(images, name));
                new SegmentationMask(Size, Size, labels).Save(Path.Combine(masks, name));
            }
        }
        File.WriteAllLines(Path.Combine(folder, "classes.txt"), Classes);
    }

    private (byte[] Pixels, byte[] Labels) Draw()
    {
        double[] colours = new double[3 * Size * Size];
        byte[] labels = new byte[Size * Size];
        DrawPhotograph(colours);
        for (int shape = _random.Next(FewestShapes, MostShapes + 1); shape > 0; shape--)
            DrawShape(colours, labels);
        byte[] pixels = new byte[BytesPerPixel * labels.Length];
        for (int i = 0; i < labels.Length; i++)
        {
            for (int c = 0; c < 3; c++)
                pixels[BytesPerPixel * i + c] = (byte)Math.Clamp(colours[3 * i + c] + 16 * (_random.NextDouble() - 0.5), byte.MinValue, byte.MaxValue);
            pixels[BytesPerPixel * i + 3] = byte.MaxValue;
        }
        return (pixels, labels);
    }

    /// <summary>Draws one to three photographs beside each other, each enlarged and with a colour for its dark and one for its bright parts.</summary>
    private void DrawPhotograph(double[] colours)
    {
        int parts = _random.Next(1, 4);
        bool isAcross = _random.Next(2) == 0;
        for (int part = 0; part < parts; part++)
        {
            float[] photo = _photos[_random.Next(_photos.Count)];
            double[] dark = MutedColour(), bright = MutedColour();
            double scale = 0.15 + 0.25 * _random.NextDouble(), top = _random.NextDouble() * (PhotoSize - 1 - scale * (Size - 1)), left = _random.NextDouble() * (PhotoSize - 1 - scale * (Size - 1));
            (top, left) = (Math.Max(0, top), Math.Max(0, left));
            for (int y = 0; y < Size; y++)
            {
                for (int x = 0; x < Size; x++)
                {
                    if ((isAcross ? x : y) * parts / Size != part)
                        continue;
                    double share = Bilinear(photo, top + scale * y, left + scale * x) / byte.MaxValue;
                    for (int c = 0; c < 3; c++)
                        colours[3 * (y * Size + x) + c] = dark[c] + share * (bright[c] - dark[c]);
                }
            }
        }
    }

    private void DrawShape(double[] colours, byte[] labels)
    {
        byte label = (byte)_random.Next(1, Classes.Length);
        double radius = SmallestRadius + (LargestRadius - SmallestRadius) * _random.NextDouble(), centreY = _random.NextDouble() * Size, centreX = _random.NextDouble() * Size;
        var (sine, cosine) = Math.SinCos(2 * Math.PI * _random.NextDouble());
        double period = 4 + 4 * _random.NextDouble();
        var (first, second) = Colours();
        for (int y = 0; y < Size; y++)
        {
            for (int x = 0; x < Size; x++)
            {
                double u = (x - centreX) * cosine + (y - centreY) * sine, v = (y - centreY) * cosine - (x - centreX) * sine;
                if (!IsInside(label, u / radius, v / radius))
                    continue;
                int at = y * Size + x;
                labels[at] = label;
                double[] colour = IsSecond(label, u / period, v / period) ? second : first;
                colour.CopyTo(colours, 3 * at);
            }
        }
    }

    private static bool IsInside(byte label, double u, double v) => label switch
    {
        1 => u * u + v * v < 1,
        2 => Math.Max(Math.Abs(u), Math.Abs(v)) < 0.8,
        3 => v < 0.6 && v > 2 * Math.Abs(u) - 1.1,
        _ => Math.Max(Math.Abs(u), Math.Abs(v)) < 1 && Math.Min(Math.Abs(u), Math.Abs(v)) < 0.32,
    };

    /// <summary>Whether a point of a texture has the second colour; the pattern repeats at every whole number.</summary>
    private static bool IsSecond(byte label, double u, double v)
    {
        (u, v) = (u - Math.Floor(u), v - Math.Floor(v));
        return label switch
        {
            1 => u < 0.5,
            2 => u < 0.5 != v < 0.5,
            3 => (u - 0.5) * (u - 0.5) + (v - 0.5) * (v - 0.5) < 0.1,
            _ => false,
        };
    }

    private double[] MutedColour() => [_random.Next(64, 192), _random.Next(64, 192), _random.Next(64, 192)];

    /// <summary>Two colours that can be told from each other.</summary>
    private (double[] First, double[] Second) Colours()
    {
        const double LeastDifference = 200;
        while (true)
        {
            double[] first = Colour(), second = Colour();
            if (first.Zip(second).Sum(pair => Math.Abs(pair.First - pair.Second)) >= LeastDifference)
                return (first, second);
        }

        double[] Colour() => [_random.Next(256), _random.Next(256), _random.Next(256)];
    }

    private static double Bilinear(float[] photo, double y, double x)
    {
        int top = Math.Min((int)y, PhotoSize - 2), left = Math.Min((int)x, PhotoSize - 2);
        double down = y - top, right = x - left;
        return (1 - down) * ((1 - right) * photo[top * PhotoSize + left] + right * photo[top * PhotoSize + left + 1])
            + down * ((1 - right) * photo[(top + 1) * PhotoSize + left] + right * photo[(top + 1) * PhotoSize + left + 1]);
    }
}
