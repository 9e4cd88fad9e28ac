using System.Collections.Immutable;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Explanation;
using SkiaSharp;

namespace Microsoft.ML.RepVgg;

/// <summary>The class activation map of an image: how much each part of the image adds to the logit of a class.</summary>
/// <remarks>
/// <para>
/// RepVGG ends in global average pooling and a linear layer. With the last feature map F [channels, height, width] and the weights W
/// and biases b of that layer, map [y, x] = sum over k of W [c, k] * F [k, y, x], and the mean of the map plus b [c] is the logit of
/// class c, up to rounding. Values are positive where the image raises the logit of the class, and negative where it lowers it. Source: Zhou et al.,
/// "Learning Deep Features for Discriminative Localization", CVPR 2016.
/// </para>
/// <para>
/// Cell (column, row) is centred on the pixel (stride * column, stride * row) of the network's input, where the stride is the product
/// of the strides of the blocks, 32 for most variants. It depends on a much larger part of the input: all cells together see the whole picture, and
/// with squeeze-and-excitation each cell does.
/// </para>
/// <para>
/// The map is drawn where that pixel lies in the picture: with <c>IsoCrop</c>, the original is larger than what the network
/// saw, and the rest gets no colour; with <c>IsoPad</c>, cells can lie on the padding, outside the original; with <c>Fill</c>, both
/// axes have their own scale. The object is immutable.
/// </para>
/// </remarks>
public sealed class ClassActivationMap
{
    private readonly PictureReader _reader;
    private readonly byte[] _planes;
    private readonly MapAxis _horizontal, _vertical;

    internal ClassActivationMap(PictureReader reader, byte[] planes, MapAxis horizontal, MapAxis vertical) =>
        (_reader, _planes, _horizontal, _vertical) = (reader, planes, horizontal, vertical);

    /// <summary>Index of the class in <see cref="RepVggTransformer.Labels"/>, from 0.</summary>
    public int ClassIndex { get; internal init; }

    /// <summary>Name of the class.</summary>
    public string ClassName { get; internal init; } = "";

    /// <summary>The logit of the class: the mean of <see cref="Values"/> plus <see cref="Bias"/>.</summary>
    public float Logit { get; internal init; }

    /// <summary>The part of the logit that does not depend on the image.</summary>
    public float Bias { get; internal init; }

    /// <summary>The probability of the class, 0 to 1.</summary>
    public float Probability { get; internal init; }

    /// <summary>Index of the class with the largest logit, from 0.</summary>
    public int PredictedClassIndex { get; internal init; }

    /// <summary>Name of the class with the largest logit.</summary>
    public string PredictedClassName { get; internal init; } = "";

    /// <summary>Number of columns of the map.</summary>
    public int Width { get; internal init; }

    /// <summary>Number of rows of the map.</summary>
    public int Height { get; internal init; }

    /// <summary>The values, row by row: that of a cell has the index <c>row * Width + column</c>. They are in units of the logit.</summary>
    public ImmutableArray<float> Values { get; internal init; }

    /// <summary>Width of the network's input in pixels.</summary>
    public int InputWidth => _horizontal.InputLength;

    /// <summary>Height of the network's input in pixels.</summary>
    public int InputHeight => _vertical.InputLength;

    /// <summary>Width of the original image in pixels, with its orientation applied.</summary>
    public int ImageWidth => _horizontal.ImageLength;

    /// <summary>Height of the original image in pixels, with its orientation applied.</summary>
    public int ImageHeight => _vertical.ImageLength;

    /// <summary>Gets the position in the original image of the middle of a cell.</summary>
    /// <param name="column">Column of the cell; fractions lie between cells.</param>
    /// <param name="row">Row of the cell; fractions lie between cells.</param>
    /// <returns>The position in pixels, where the middle of the first pixel is at (0.5, 0.5). Positions of cells on the padding of <c>IsoPad</c> lie outside the image.</returns>
    public (float X, float Y) ToImage(float column, float row) => ((float)_horizontal.ImageOfCell(column), (float)_vertical.ImageOfCell(row));

    /// <summary>Resizes the map over the network's input to another size, by bilinear interpolation.</summary>
    /// <remarks>
    /// The result covers the network's input: with (<see cref="InputWidth"/>, <see cref="InputHeight"/>), it has one value for each pixel of the input. Beyond the last cell,
    /// its value continues. Programs that stretch the map until its cells fill the picture show it half a cell further to the right and bottom.
    /// </remarks>
    /// <param name="width">Number of columns, 1 or more.</param>
    /// <param name="height">Number of rows, 1 or more.</param>
    /// <returns>The values, row by row.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A number is less than 1.</exception>
    public float[] Resize(int width, int height)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        var map = new BilinearMap(Values.AsSpan(), Width);
        double[] columns = _horizontal.CellsOfInput(width), rows = _vertical.CellsOfInput(height);
        var resized = new float[checked(width * height)];
        for (int y = 0; y < height; y++)
            map.ReadRow(rows[y], columns, resized.AsSpan(y * width, width));
        return resized;
    }

    /// <summary>Draws the map over the picture as the network sees it: resized, cropped or padded, and grey for a network of one channel.</summary>
    /// <remarks>The colours are those of the colour map viridis, from dark violet for the smallest value of the map to yellow for the largest one.</remarks>
    /// <param name="opacity">Share of the map's colours, from 0 for the picture alone to 1 for the map alone.</param>
    /// <returns>The content of a PNG file of <see cref="InputWidth"/> x <see cref="InputHeight"/> pixels.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="opacity"/> is not between 0 and 1.</exception>
    public byte[] DrawOnInput(float opacity = 0.5f)
    {
        CheckOpacity(opacity);
        return Overlay.Draw(_planes, Values.AsSpan(), Width, _horizontal.CellsOfInput(InputWidth), _vertical.CellsOfInput(InputHeight), opacity);
    }

    /// <summary>Draws the map over the original image, in its own size and colours. What the network did not see of it keeps its colours.</summary>
    /// <remarks>
    /// The colours are those of <see cref="DrawOnInput"/>. A transparent image is put on the background colour of the model. The image is not kept with the map, because it can be large: give the same image again.
    /// </remarks>
    /// <param name="image">The content of the image file.</param>
    /// <param name="opacity">Share of the map's colours, from 0 for the picture alone to 1 for the map alone.</param>
    /// <returns>The content of a PNG file of <see cref="ImageWidth"/> x <see cref="ImageHeight"/> pixels.</returns>
    /// <exception cref="ArgumentException">The image cannot be decoded, or has another size than the image of the map.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="opacity"/> is not between 0 and 1.</exception>
    public byte[] DrawOnImage(ReadOnlySpan<byte> image, float opacity = 0.5f)
    {
        CheckOpacity(opacity);
        using var picture = _reader.Decode(image);
        return DrawOnImage(picture, opacity);
    }

    /// <summary>Draws the map over the original image, as <see cref="DrawOnImage(ReadOnlySpan{byte}, float)"/> does.</summary>
    /// <param name="image">The image; it is neither changed nor disposed.</param>
    /// <param name="opacity">Share of the map's colours, from 0 for the picture alone to 1 for the map alone.</param>
    /// <returns>The content of a PNG file of <see cref="ImageWidth"/> x <see cref="ImageHeight"/> pixels.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="image"/> is null.</exception>
    /// <exception cref="ArgumentException">The image has another size than the image of the map, or another pixel format than Rgba32 and Bgra32.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="opacity"/> is not between 0 and 1.</exception>
    public byte[] DrawOnImage(MLImage image, float opacity = 0.5f)
    {
        ArgumentNullException.ThrowIfNull(image);
        CheckOpacity(opacity);
        using var picture = _reader.Copy(image);
        return DrawOnImage(picture, opacity);
    }

    private byte[] DrawOnImage(SKBitmap picture, float opacity) =>
        (picture.Width, picture.Height) == (ImageWidth, ImageHeight)
            ? Overlay.Draw(_reader.Planes(picture), Values.AsSpan(), Width, _horizontal.CellsOfImage(), _vertical.CellsOfImage(), opacity)
            : throw new ArgumentException(FormattableString.Invariant($"The image has {picture.Width} x {picture.Height} pixels, but the map is of an image of {ImageWidth} x {ImageHeight}. Give the image that was explained."), "image");

    private static void CheckOpacity(float opacity)
    {
        if (opacity is not (>= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(opacity), opacity, "The opacity must be between 0 and 1.");
    }
}
