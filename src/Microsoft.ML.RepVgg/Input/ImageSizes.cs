using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using Microsoft.ML.RepVgg.Input.Images;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Chooses the size of the network's input from the images if neither the options nor the type of the column specify it.</summary>
internal static class ImageSizes
{
    private const int MeasuredRows = 16;

    private const int SmallSide = 64, LargestSide = 224;

    /// <summary>Reads the sizes of the images in the first rows. Rows without a usable image are left out.</summary>
    /// <param name="view">The data.</param>
    /// <param name="column">The column with images or the content of image files.</param>
    /// <param name="decoding">How encoded images are decoded.</param>
    /// <returns>The sizes in pixels.</returns>
    public static IReadOnlyList<(int Width, int Height)> Measure(IDataView view, DataViewSchema.Column column, ImageDecoding decoding)
    {
        var sizes = new List<(int, int)>();
        using var cursor = view.GetRowCursorSet([column], 1)[0];
        Func<(int, int)?> read = column.Type is ImageDataViewType ? Images(cursor.GetGetter<MLImage>(column)) : Files(cursor.GetGetter<VBuffer<byte>>(column), decoding);
        for (int row = 0; row < MeasuredRows && cursor.MoveNext(); row++)
        {
            try
            {
                if (read() is { } size)
                    sizes.Add(size);
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                // The row is read again as training data, where the error is reported or the row is skipped.
            }
        }
        return sizes;
    }

    /// <summary>Chooses a size. Images of one size up to 224 pixels keep it. Otherwise it is a square of the median of the longer sides: rounded up to a multiple of 8 up to 64 pixels, to a multiple of 32 above, and at most 224.</summary>
    /// <param name="sizes">Sizes of some images, at least one.</param>
    public static (int Height, int Width) Choose(IReadOnlyList<(int Width, int Height)> sizes)
    {
        var (width, height) = sizes[0];
        if (Math.Max(width, height) <= LargestSide && sizes.All(size => size == (width, height)))
            return (height, width);
        int[] sides = [.. sizes.Select(size => Math.Max(size.Width, size.Height)).Order()];
        int median = sides[sides.Length / 2];
        int step = median <= SmallSide ? 8 : 32;
        int side = Math.Min((median + step - 1) / step * step, LargestSide);
        return (side, side);
    }

    private static Func<(int, int)?> Images(ValueGetter<MLImage> getter)
    {
        MLImage? image = null;
        return () =>
        {
            getter(ref image!);
            return image is null ? null : (image.Width, image.Height);
        };
    }

    private static Func<(int, int)?> Files(ValueGetter<VBuffer<byte>> getter, ImageDecoding decoding)
    {
        VBuffer<byte> encoded = default;
        return () =>
        {
            getter(ref encoded);
            return encoded.Length == 0 ? null : ImageDecoder.ReadSize(PixelReader.AllValues(encoded), decoding);
        };
    }
}
