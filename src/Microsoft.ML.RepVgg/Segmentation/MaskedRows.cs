using System.Drawing;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.Transforms.Image;
using RepVgg.Training.Data;
using SkiaSharp;

namespace Microsoft.ML.RepVgg.Segmentation;

/// <summary>How rows of images with masks are read.</summary>
/// <param name="Features">Description of the column of images.</param>
/// <param name="MaskColumn">Name of the column of masks.</param>
/// <param name="Classes">Number of classes; null if it is the largest label plus 1.</param>
/// <param name="Ignored">The label of pixels that have none.</param>
/// <param name="Colours">The class of each colour, for masks in colours; null for masks of values.</param>
/// <param name="KeepsSize">Whether images and masks keep their own sizes; otherwise they are resized to the network's input.</param>
/// <param name="Skips">Whether invalid rows are skipped; otherwise they are errors.</param>
/// <param name="CacheLimit">Largest number of bytes of images and masks in memory; others are stored in temporary files.</param>
internal sealed record MaskedRowOptions(FeatureInput Features, string MaskColumn, int? Classes, byte Ignored, IReadOnlyDictionary<Color, byte>? Colours, bool KeepsSize, bool Skips, long CacheLimit);

/// <summary>The images and masks of a set.</summary>
internal sealed class MaskedRows : IDisposable
{
    /// <summary>Share of the memory limit that is for masks: a mask has one byte per pixel, an image three.</summary>
    private const int MaskShare = 4;

    /// <summary>The label of pixels without one in memory, whatever it is in the data: it may be one of the classes there, but not in training.</summary>
    private const byte NoLabel = byte.MaxValue;

    private readonly MaskedRowOptions _options;
    private readonly WholeImageCache _images, _masks;
    private readonly ImageResizer _resizer;
    private readonly bool[] _occurs = new bool[byte.MaxValue + 1];

    private MaskedRows(MaskedRowOptions options)
    {
        var input = options.Features;
        _options = options;
        _resizer = input.CreateResizer();
        _images = Cache(input.Channels, options.CacheLimit - options.CacheLimit / MaskShare);
        _masks = Cache(1, options.CacheLimit / MaskShare);

        WholeImageCache Cache(int channels, long limit) => new(channels, input.Height, input.Width, 1, static (_, _, _, _) => throw new NotSupportedException(), limit);
    }

    /// <summary>Number of rows that were read and can be used.</summary>
    public int Count => _images.Count;

    /// <summary>Number of rows that were skipped.</summary>
    public long Skipped { get; private set; }

    /// <summary>Number of images whose masks have no label.</summary>
    public long Unlabelled { get; private set; }

    /// <summary>Why the first skipped row cannot be used; null if there is none.</summary>
    public string? FirstReason { get; private set; }

    /// <summary>Number of classes: that of the options, or the largest label plus 1.</summary>
    public int Classes { get; private set; }

    /// <summary>The labels that occur, in ascending order.</summary>
    public IEnumerable<int> Labels => Enumerable.Range(0, _occurs.Length).Where(label => _occurs[label]);

    /// <summary>The images and masks. Pixels without a label have the label <see cref="NoLabel"/>.</summary>
    public MaskedSamples Samples => new(_images, _masks, Classes, NoLabel);

    /// <summary>Reads all rows of a data view.</summary>
    /// <param name="view">The data.</param>
    /// <param name="options">The columns and the labels.</param>
    /// <param name="cancellation">Checked at every row.</param>
    /// <exception cref="ArgumentException">A column is missing or has another type.</exception>
    /// <exception cref="InvalidOperationException">A row is invalid, and invalid rows are errors.</exception>
    public static MaskedRows Read(IDataView view, MaskedRowOptions options, CancellationToken cancellation)
    {
        var rows = new MaskedRows(options);
        try
        {
            rows.ReadAll(view, cancellation);
            return rows;
        }
        catch
        {
            rows.Dispose();
            throw;
        }
    }

    /// <summary>Finds the column of masks and checks its type.</summary>
    /// <exception cref="ArgumentException">It is missing or has another type.</exception>
    public static DataViewSchema.Column FindMasks(DataViewSchema schema, string name)
    {
        var column = schema.GetColumnOrNull(name) ?? throw new ArgumentException($"Could not find label column '{name}'", nameof(schema));
        if (column.Type is VectorDataViewType vector && vector.ItemType == NumberDataViewType.Byte)
            return column;
        string advice = column.Type is ImageDataViewType
            ? " Decoded images no longer have the indices of a palette. Load the content of the files with mlContext.Transforms.LoadRawImageBytes."
            : column.Type is TextDataViewType ? " If the column has the paths of files, load their content with mlContext.Transforms.LoadRawImageBytes." : "";
        throw new ArgumentException($"Schema mismatch for label column '{name}': expected the content of PNG files, or a label for every pixel, as Vector<Byte>, got {column.Type}.{advice}", nameof(schema));
    }

    /// <summary>Reads the mask of a row.</summary>
    /// <param name="content">The value of the column: the labels, if its type has two dimensions, or the content of a PNG file.</param>
    /// <param name="type">The type of the column.</param>
    /// <param name="maximumPixels">Largest number of pixels of a file.</param>
    /// <param name="colours">The label of each colour, for masks in colours.</param>
    /// <returns>The label of each pixel, row by row, and the size.</returns>
    /// <exception cref="ImageException">The mask cannot be read.</exception>
    public static (byte[] Labels, int Height, int Width) ReadLabels(ReadOnlySpan<byte> content, DataViewType type, long maximumPixels, IReadOnlyDictionary<Color, byte>? colours)
    {
        if (type is not VectorDataViewType { Dimensions: [> 0 and var height, > 0 and var width] })
            return MaskImage.Read(content, maximumPixels, colours);
        return content.Length == height * width ? (content.ToArray(), height, width) : throw new ImageException("there is no mask");
    }

    public void Dispose()
    {
        _images.Dispose();
        _masks.Dispose();
        _resizer.Dispose();
    }

    private void ReadAll(IDataView view, CancellationToken cancellation)
    {
        var input = _options.Features;
        var (imageColumn, maskColumn) = (input.FindColumn(view.Schema), FindMasks(view.Schema, _options.MaskColumn));
        var (imageFiles, maskFiles) = (ImageFiles.Find(view, imageColumn.Name), ImageFiles.Find(view, maskColumn.Name));
        var paths = imageFiles.CandidatesIn(view.Schema).Concat(maskFiles.CandidatesIn(view.Schema));
        using var cursor = view.GetRowCursorSet([imageColumn, maskColumn, .. paths], 1)[0];
        var (imageRow, maskRow) = (new RowLocation(cursor, imageColumn.Name, imageFiles), new RowLocation(cursor, maskColumn.Name, maskFiles));
        var read = imageColumn.Type is ImageDataViewType ? OfImages(cursor.GetGetter<MLImage>(imageColumn), imageRow) : OfFiles(cursor.GetGetter<VBuffer<byte>>(imageColumn));
        var getMask = cursor.GetGetter<VBuffer<byte>>(maskColumn);
        VBuffer<byte> content = default;
        Classes = _options.Classes ?? 0;
        while (cursor.MoveNext())
        {
            cancellation.ThrowIfCancellationRequested();
            try
            {
                var (image, height, width) = Usable(imageRow, () => read());
                byte[] mask = Usable(maskRow, () =>
                {
                    getMask(ref content);
                    return MaskOf(PixelReader.AllValues(content), maskColumn.Type, height, width);
                });
                Add(image, mask, height, width, cursor.Position);
            }
            catch (InvalidRowException error) when (_options.Skips)
            {
                Skipped++;
                FirstReason ??= error.Message;
            }
        }
    }

    /// <summary>Reads a part of a row, and describes the row if it cannot be used.</summary>
    private static T Usable<T>(RowLocation row, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception error) when (MissingDecoder.IsCauseOf(error))
        {
            throw MissingDecoder.Explain(error);
        }
        catch (Exception error) when (error is not (OperationCanceledException or OutOfMemoryException))
        {
            throw row.Invalid(error.Message, inner: error);
        }
    }

    private Func<(byte[] Pixels, int Height, int Width)> OfImages(ValueGetter<MLImage> getter, RowLocation row)
    {
        MLImage? image = null;
        return () =>
        {
            getter(ref image!);
            if (image is null)
                throw new ImageException("there is no image");
            CheckPixels(image.Width, image.Height);
            // ML.NET decodes what there is of a file that is cut off.
            if (row.NoteFile(image.Tag) is { } file && EncodedImageCheck.FindDefect(file, _options.Features.Decoding) is { } defect)
                throw new ImageException(defect);
            return (Planes(image.Height, image.Width, (resizer, planes) => resizer.Resize(image, planes)), image.Height, image.Width);
        };
    }

    private Func<(byte[] Pixels, int Height, int Width)> OfFiles(ValueGetter<VBuffer<byte>> getter)
    {
        VBuffer<byte> encoded = default;
        return () =>
        {
            getter(ref encoded);
            using SKBitmap image = ImageDecoder.Decode(PixelReader.AllValues(encoded), _options.Features.Decoding);
            return (Planes(image.Height, image.Width, (resizer, planes) => resizer.Resize(image, planes)), image.Height, image.Width);
        };
    }

    private void CheckPixels(int width, int height)
    {
        if ((long)width * height > _options.Features.Decoding.MaximumPixels)
            throw new ImageException(FormattableString.Invariant($"the image has {width} x {height} pixels, more than the limit of {_options.Features.Decoding.MaximumPixels:N0}"));
    }

    private byte[] Planes(int height, int width, Action<ImageResizer, byte[]> resize)
    {
        var input = _options.Features;
        if (!_options.KeepsSize)
        {
            byte[] resized = new byte[input.Length];
            resize(_resizer, resized);
            return resized;
        }
        byte[] whole = new byte[checked(input.Channels * height * width)];
        using var resizer = ImageResizer.OfWholeImages(height, width, input.Background);
        resize(resizer, whole);
        return whole;
    }

    /// <summary>Reads the labels of an image.</summary>
    private byte[] MaskOf(ReadOnlySpan<byte> content, DataViewType type, int height, int width)
    {
        var (labels, rows, columns) = ReadLabels(content, type, _options.Features.Decoding.MaximumPixels, _options.Colours);
        if ((rows, columns) == (width, height) && height != width)
            throw new ImageException($"the mask has {columns} x {rows} pixels, but its image has {width} x {height}. If the image is turned by its EXIF orientation, turn the mask, too, or set ApplyExifOrientation to false");
        if ((rows, columns) != (height, width))
            throw new ImageException($"the mask has {columns} x {rows} pixels, but its image has {width} x {height}. A mask has the size of its image; resize it with nearest neighbours");
        bool isLabelled = false;
        for (int i = 0; i < labels.Length; i++)
        {
            byte label = labels[i];
            if (label == _options.Ignored)
                continue;
            isLabelled = true;
            if (_options.Classes is null)
                Classes = Math.Max(Classes, label + 1);
            else if (label >= Classes)
                throw new ImageException($"the pixel in column {i % columns} and row {i / columns} of the mask has the label {label}, but there are {Classes} classes, 0 to {Classes - 1} ({_options.Ignored} is ignored)");
        }
        if (!isLabelled)
            Unlabelled++;
        foreach (byte label in labels)
            _occurs[label] |= label != _options.Ignored;
        if (_options.Ignored != NoLabel)
            labels.AsSpan().Replace(_options.Ignored, NoLabel);
        return labels;
    }

    private void Add(byte[] image, byte[] mask, int height, int width, long row)
    {
        var input = _options.Features;
        if (!_options.KeepsSize)
        {
            mask = MaskResizing.Resize(mask, height, width, input.Height, input.Width);
            (height, width) = (input.Height, input.Width);
        }
        _images.Add(new WholeImage(image, height, width), [], 0, row);
        _masks.Add(new WholeImage(mask, height, width), [], 0, row);
    }
}

/// <summary>Resizes masks.</summary>
internal static class MaskResizing
{
    /// <summary>Resizes a mask to another size: each pixel gets the label of the nearest one.</summary>
    public static byte[] Resize(ReadOnlySpan<byte> mask, int height, int width, int newHeight, int newWidth)
    {
        if ((height, width) == (newHeight, newWidth))
            return mask.ToArray();
        byte[] resized = new byte[newHeight * newWidth];
        for (int y = 0; y < newHeight; y++)
        {
            var row = mask.Slice((int)((2L * y + 1) * height / (2L * newHeight)) * width, width);
            for (int x = 0; x < newWidth; x++)
                resized[y * newWidth + x] = row[(int)((2L * x + 1) * width / (2L * newWidth))];
        }
        return resized;
    }
}
