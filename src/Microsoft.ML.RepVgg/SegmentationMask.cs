using System.Drawing;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Segmentation;
using RepVgg.Runtime.Files;

namespace Microsoft.ML.RepVgg;

/// <summary>The class of every pixel of an image.</summary>
public sealed class SegmentationMask
{
    private readonly byte[] _classes;

    /// <summary>How the image of the mask was decoded; null for the defaults.</summary>
    private readonly ImageDecoding? _decoding;

    /// <summary>Creates a mask.</summary>
    /// <param name="height">Height in pixels.</param>
    /// <param name="width">Width in pixels.</param>
    /// <param name="classes">The classes, row by row. The array is not copied.</param>
    /// <exception cref="ArgumentException">The number of classes is not that of the pixels.</exception>
    public SegmentationMask(int height, int width, byte[] classes)
    {
        ArgumentNullException.ThrowIfNull(classes);
        if (height < 1 || width < 1 || (long)height * width != classes.Length)
            throw new ArgumentException($"A mask of {width} x {height} pixels does not have {classes.Length} classes.", nameof(classes));
        (Height, Width, _classes) = (height, width, classes);
    }

    /// <summary>Creates the mask of an image.</summary>
    /// <param name="height">Height in pixels.</param>
    /// <param name="width">Width in pixels.</param>
    /// <param name="classes">The classes, row by row.</param>
    /// <param name="decoding">How the image was decoded.</param>
    internal SegmentationMask(int height, int width, byte[] classes, ImageDecoding decoding)
        : this(height, width, classes) => _decoding = decoding;

    /// <summary>Height in pixels.</summary>
    public int Height { get; }

    /// <summary>Width in pixels.</summary>
    public int Width { get; }

    /// <summary>The class of every pixel, row by row: [height, width].</summary>
    public ReadOnlyMemory<byte> Classes => _classes;

    /// <summary>The class of one pixel.</summary>
    /// <param name="row">The row, from 0.</param>
    /// <param name="column">The column, from 0.</param>
    public byte this[int row, int column]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Height, nameof(row));
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)column, (uint)Width, nameof(column));
            return _classes[row * Width + column];
        }
    }

    /// <summary>Reads a mask from a PNG file, whose grey values, or indices of the palette, are the classes.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The mask.</returns>
    /// <exception cref="InvalidDataException">The file is no such PNG file, or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static SegmentationMask Load(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        try
        {
            var (labels, height, width) = MaskImage.Read(File.ReadAllBytes(path), ImageDecoding.LargestMaximum, colours: null);
            return new SegmentationMask(height, width, labels);
        }
        catch (ImageException error)
        {
            throw new InvalidDataException($"The mask '{path}' cannot be used: {error.Message}.", error);
        }
    }

    /// <summary>Writes the mask as a PNG file with a palette, whose indices are the classes.</summary>
    /// <param name="path">The file; an existing one is replaced once the new one is complete.</param>
    /// <param name="colors">The colours of the palette; null, and for classes beyond them, gives those of PASCAL VOC.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void Save(string path, IReadOnlyList<Color>? colors = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        byte[] content = ToPng(colors);
        AtomicFile.Write(path, stream => stream.Write(content));
    }

    /// <summary>Encodes the mask as <see cref="Save"/> writes it.</summary>
    /// <param name="colors">The colours of the palette; null as for <see cref="Save"/>.</param>
    /// <returns>The content of the file.</returns>
    public byte[] ToPng(IReadOnlyList<Color>? colors = null) => MaskImage.Write(_classes, Height, Width, MaskColors.Complete(colors, byte.MaxValue + 1));

    /// <summary>Draws the mask over its image.</summary>
    /// <param name="encodedImage">The content of an image file of the mask's size.</param>
    /// <param name="colors">The colours of the classes; null as for <see cref="Save"/>.</param>
    /// <param name="opacity">Share of the mask's colours, 0 to 1.</param>
    /// <returns>The content of a PNG file.</returns>
    /// <exception cref="ArgumentException">The image has another size.</exception>
    /// <exception cref="InvalidDataException">The image cannot be decoded.</exception>
    public byte[] DrawOn(byte[] encodedImage, IReadOnlyList<Color>? colors = null, double opacity = 0.5)
    {
        ArgumentNullException.ThrowIfNull(encodedImage);
        if (!(opacity is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(opacity), opacity, "It must be 0 to 1.");
        byte[] planes = ImagePlanes.Read(encodedImage, out int height, out int width, _decoding);
        if ((height, width) != (Height, Width))
            throw new ArgumentException($"The image has {width} x {height} pixels, but the mask has {Width} x {Height}.", nameof(encodedImage));
        var palette = MaskColors.Complete(colors, byte.MaxValue + 1);
        int area = height * width;
        for (int i = 0; i < area; i++)
        {
            var color = palette[_classes[i]];
            planes[i] = Mix(planes[i], color.R);
            planes[area + i] = Mix(planes[area + i], color.G);
            planes[2 * area + i] = Mix(planes[2 * area + i], color.B);
        }
        return PngImage.Encode(planes, width, height);

        byte Mix(byte picture, byte color) => (byte)Math.Round(picture + opacity * (color - picture));
    }
}
