using RepVgg.Architectures;
using RepVgg.Runtime;

namespace RepVgg.Training;

/// <summary>Converts a picture and its mask to the network's input and its labels. Scaling, rotation, flip and crop are one affine transformation, so that pixels are interpolated once.</summary>
/// <param name="augmentation">The options.</param>
/// <param name="normalization">Applied to every picture.</param>
/// <param name="height">Height of the result in pixels.</param>
/// <param name="width">Width of the result in pixels.</param>
/// <param name="ignored">Label of pixels that have none.</param>
internal sealed class MaskedImageAugmenter(SegmentationAugmentation augmentation, Normalization normalization, int height, int width, byte ignored)
{
    /// <summary>Height of the result in pixels.</summary>
    public int Height => height;

    /// <summary>Width of the result in pixels.</summary>
    public int Width => width;

    /// <summary>Augments and normalises a picture, and augments its mask.</summary>
    /// <param name="picture">The raw pixels, CHW.</param>
    /// <param name="mask">The label of every pixel, row by row.</param>
    /// <param name="rows">Height of the picture and of the mask in pixels.</param>
    /// <param name="columns">Width of the picture and of the mask in pixels.</param>
    /// <param name="image">Receives the normalised pixels, CHW.</param>
    /// <param name="labels">Receives the label of every pixel.</param>
    /// <param name="random">Random generator for this picture and epoch.</param>
    /// <exception cref="ArgumentException">The length of a span does not match.</exception>
    public void Augment(ReadOnlySpan<byte> picture, ReadOnlySpan<byte> mask, int rows, int columns, Span<float> image, Span<byte> labels, RandomStream random)
    {
        double scale = random.NextDouble(augmentation.MinimumScale, augmentation.MaximumScale);
        double angle = random.NextDouble(-augmentation.Rotation, augmentation.Rotation) * Math.PI / 180;
        if (random.NextDouble() >= augmentation.RotationProbability)
            angle = 0;
        bool mirror = random.Next(2) == 1 && augmentation.HorizontalFlip;
        int scaledRows = Math.Max(1, (int)Math.Round(rows * scale)), scaledColumns = Math.Max(1, (int)Math.Round(columns * scale));
        Transform(picture, mask, new Geometry(rows, columns, scaledRows, scaledColumns, Offset(scaledRows, height, ref random), Offset(scaledColumns, width, ref random), angle, mirror), image, labels);
    }

    /// <summary>Normalises a picture without augmentation, as for validation. A picture of another size is centred, with a border, or its middle is cut out.</summary>
    /// <param name="picture">The raw pixels, CHW.</param>
    /// <param name="mask">The label of every pixel, row by row.</param>
    /// <param name="rows">Height of the picture and of the mask in pixels.</param>
    /// <param name="columns">Width of the picture and of the mask in pixels.</param>
    /// <param name="image">Receives the normalised pixels, CHW.</param>
    /// <param name="labels">Receives the label of every pixel.</param>
    /// <exception cref="ArgumentException">The length of a span does not match.</exception>
    public void Convert(ReadOnlySpan<byte> picture, ReadOnlySpan<byte> mask, int rows, int columns, Span<float> image, Span<byte> labels) =>
        Transform(picture, mask, new Geometry(rows, columns, rows, columns, Centre(rows, height), Centre(columns, width), 0, false), image, labels);

    /// <summary>Place of the crop in the scaled picture: random, or so that a smaller picture is in the middle.</summary>
    private static int Offset(int scaled, int crop, ref RandomStream random) => scaled > crop ? random.Next(scaled - crop + 1) : Centre(scaled, crop);

    private static int Centre(int scaled, int crop) => scaled > crop ? (scaled - crop) / 2 : -((crop - scaled) / 2);

    private void Transform(ReadOnlySpan<byte> picture, ReadOnlySpan<byte> mask, Geometry geometry, Span<float> image, Span<byte> labels)
    {
        int area = geometry.Rows * geometry.Columns, channels = normalization.Mean.Length;
        if (picture.Length != (long)channels * area || mask.Length != area)
            throw new ArgumentException($"A picture of {channels} channels and {geometry.Columns}x{geometry.Rows} pixels has {(long)channels * area} values and {area} labels, not {picture.Length} and {mask.Length}.", nameof(picture));
        if (image.Length != channels * height * width || labels.Length != height * width)
            throw new ArgumentException($"The result has {channels * height * width} values and {height * width} labels, not {image.Length} and {labels.Length}.", nameof(image));
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                int to = y * width + x;
                var (row, column) = geometry.SourceOf(y, x);
                if (!(row >= 0 && row < geometry.Rows && column >= 0 && column < geometry.Columns))
                {
                    labels[to] = ignored;
                    for (int c = 0; c < channels; c++)
                        image[c * height * width + to] = 0;
                    continue;
                }
                labels[to] = mask[(int)row * geometry.Columns + (int)column];
                var (top, bottom, down) = Neighbours(row, geometry.Rows);
                var (left, right, across) = Neighbours(column, geometry.Columns);
                for (int c = 0; c < channels; c++)
                {
                    var plane = picture.Slice(c * area, area);
                    float above = Mix(plane[top * geometry.Columns + left], plane[top * geometry.Columns + right], across);
                    float below = Mix(plane[bottom * geometry.Columns + left], plane[bottom * geometry.Columns + right], across);
                    image[c * height * width + to] = (Mix(above, below, down) - normalization.Mean[c]) * normalization.Scale[c];
                }
            }
        }

        static float Mix(float first, float second, float share) => first + (second - first) * share;
    }

    /// <summary>The two pixels between whose middles a position is, and the share of the second one. At the border both are the same.</summary>
    private static (int First, int Second, float Share) Neighbours(double position, int length)
    {
        double fromMiddle = Math.Clamp(position - 0.5, 0, length - 1);
        int first = (int)fromMiddle;
        return (first, Math.Min(first + 1, length - 1), (float)(fromMiddle - first));
    }

    /// <summary>Where the pixels of the result come from.</summary>
    /// <param name="Rows">Height of the picture in pixels.</param>
    /// <param name="Columns">Width of the picture in pixels.</param>
    /// <param name="ScaledRows">Height of the scaled picture in pixels.</param>
    /// <param name="ScaledColumns">Width of the scaled picture in pixels.</param>
    /// <param name="Top">Row of the scaled picture that is the first of the result.</param>
    /// <param name="Left">Column of the scaled picture that is the first of the result.</param>
    /// <param name="Angle">Angle by which the scaled picture is rotated about its middle, in radians, counterclockwise.</param>
    /// <param name="Mirror">Whether the rotated picture is mirrored left to right.</param>
    private readonly record struct Geometry(int Rows, int Columns, int ScaledRows, int ScaledColumns, int Top, int Left, double Angle, bool Mirror)
    {
        private readonly double _sine = Math.Sin(Angle), _cosine = Math.Cos(Angle);

        /// <summary>The position in the picture, in pixels from its upper left corner, of the middle of a pixel of the result.</summary>
        public (double Row, double Column) SourceOf(int y, int x)
        {
            double v = y + Top + 0.5 - ScaledRows / 2.0, u = x + Left + 0.5 - ScaledColumns / 2.0;
            if (Mirror)
                u = -u;
            (v, u) = (v * _cosine + u * _sine, u * _cosine - v * _sine);
            return ((v + ScaledRows / 2.0) * Rows / ScaledRows, (u + ScaledColumns / 2.0) * Columns / ScaledColumns);
        }
    }
}
