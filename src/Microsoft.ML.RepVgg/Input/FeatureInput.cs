using System.Collections.Immutable;
using System.Drawing;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Describes how the values of an input column become the planar (CHW) pixels that the network reads.</summary>
/// <remarks>
/// Vectors of floats are used without conversion. Images, decoded or as the content of image files, are resized and put on the
/// background colour by <see cref="ImageResizer"/>. The saved model contains ML.NET's own transformers, which give the same
/// bytes: its pixel extractor converts them to floats, with alpha in front, and the ONNX graph puts them on the background colour and cuts out the middle.
/// </remarks>
internal sealed class FeatureInput
{
    private const string Expected = "expected images, the content of image files as Vector<Byte>, or a Vector<Single> of known size";

    private readonly string _resizedColumnName;

    private FeatureInput(DataViewSchema schema, ImageSettings settings, string resizedColumnName, string pixelColumnName, DataViewType pixelType, int channels, int height, int width, IReadOnlyList<ITransformer> stockTransformers)
    {
        Settings = settings;
        ColumnName = settings.ColumnName;
        InputNames = schema.Select(column => column.Name).ToHashSet();
        _resizedColumnName = resizedColumnName;
        PixelColumnName = pixelColumnName;
        PixelType = pixelType;
        (Channels, Height, Width) = (channels, height, width);
        StockTransformers = stockTransformers;
        Crop = IsVector ? new CenterCrop(height, width, height, width) : CenterCrop.Of(height, width, settings.CropFraction);
        if (!IsVector)
            Background = ImageResizer.Background(settings.BackgroundColor, channels);
    }

    /// <summary>An input that reads the same images at another size. Only its pixels are used.</summary>
    private FeatureInput(FeatureInput other, int height, int width)
    {
        Settings = other.Settings with { CropFraction = 1 };
        ColumnName = other.ColumnName;
        InputNames = other.InputNames;
        _resizedColumnName = other._resizedColumnName;
        PixelColumnName = other.PixelColumnName;
        PixelType = other.PixelType;
        (Channels, Height, Width) = (other.Channels, height, width);
        StockTransformers = other.StockTransformers;
        Background = other.Background;
        Crop = CenterCrop.Of(height, width, 1);
    }

    /// <summary>The user's image column.</summary>
    public string ColumnName { get; }

    /// <summary>Name of the column that holds the pixels in the saved model: the feature column if it is a vector, otherwise a temporary column.</summary>
    public string PixelColumnName { get; }

    /// <summary>Type of the pixel column: a vector of Channels * Height * Width floats; for images, one more channel in front, alpha, and the size before the middle is cut out.</summary>
    public DataViewType PixelType { get; }

    public int Channels { get; }

    public int Height { get; }

    public int Width { get; }

    /// <summary>Whether the column is a vector of floats; otherwise it contains images.</summary>
    public bool IsVector => StockTransformers.Count == 0;

    /// <summary>Number of values per image.</summary>
    public int Length => checked(Channels * Height * Width);

    /// <summary>ML.NET's transformers with which the saved model converts images to pixels; empty if the feature column is a vector. The last one extracts the pixels.</summary>
    public IReadOnlyList<ITransformer> StockTransformers { get; }

    /// <summary>The values of the background colour, one for each channel; empty if the feature column is a vector.</summary>
    public ImmutableArray<byte> Background { get; } = [];

    /// <summary>The size to which images are resized, and the part of it that the network reads.</summary>
    public CenterCrop Crop { get; }

    /// <summary>The options of the column.</summary>
    public ImageSettings Settings { get; }

    /// <summary>How encoded images are decoded.</summary>
    public ImageDecoding Decoding => Settings.Decoding;

    /// <summary>Names of the columns that the stock transformers add.</summary>
    public IReadOnlyList<string> TemporaryColumns => IsVector ? [] : [_resizedColumnName, PixelColumnName];

    /// <summary>Names of all columns of the data that the input was created for.</summary>
    public IReadOnlySet<string> InputNames { get; }

    /// <summary>Whether a column of this type contains images: decoded, or the content of image files as vectors of bytes.</summary>
    public static bool IsImage(DataViewType type) => type is ImageDataViewType || IsEncoded(type);

    /// <summary>Whether a column of this type contains the content of image files.</summary>
    public static bool IsEncoded(DataViewType type) => type is VectorDataViewType vector && vector.ItemType == NumberDataViewType.Byte;

    /// <summary>Checks the shape of the input column.</summary>
    /// <param name="column">The column.</param>
    /// <param name="role">Kind of column named in error messages.</param>
    /// <returns>Whether it contains images, as <see cref="IsImage(DataViewType)"/>; otherwise it is a vector of floats.</returns>
    /// <exception cref="ArgumentException">The column is of another type.</exception>
    public static bool Check(SchemaShape.Column column, string role)
    {
        if (column.ItemType is ImageDataViewType || (column.Kind != SchemaShape.Column.VectorKind.Scalar && column.ItemType == NumberDataViewType.Byte))
            return true;
        if (column.Kind == SchemaShape.Column.VectorKind.Vector && column.ItemType == NumberDataViewType.Single)
            return false;
        string type = column.Kind == SchemaShape.Column.VectorKind.Scalar ? $"{column.ItemType}" : $"{column.Kind} of {column.ItemType}";
        throw new ArgumentException($"Schema mismatch for {role} column '{column.Name}': {Expected}, got {type}.{Advice(column.ItemType)}", "inputSchema");
    }

    /// <summary>Determines the type and size of the images in a column, and creates the preprocessing that they need.</summary>
    /// <param name="schema">The input schema of the trainer or transformer.</param>
    /// <param name="settings">Column name, and the sizes that the column's type does not specify.</param>
    /// <param name="defaultHeight">Height in pixels to which images are resized if the settings specify none.</param>
    /// <param name="defaultWidth">Width in pixels to which images are resized if the settings specify none.</param>
    /// <returns>The input.</returns>
    /// <exception cref="ArgumentException">The column is missing, of another type, or of the wrong length; the message names it.</exception>
    public static FeatureInput Create(DataViewSchema schema, ImageSettings settings, int defaultHeight, int defaultWidth)
    {
        string name = settings.ColumnName;
        var column = schema.GetColumnOrNull(name)
            ?? throw Missing(settings.Role, name, nameof(schema));
        if (IsImage(column.Type))
            return FromImages(schema, settings, defaultHeight, defaultWidth);
        if (column.Type is not VectorDataViewType { IsKnownSize: true } vector || vector.ItemType != NumberDataViewType.Single)
            throw new ArgumentException($"Schema mismatch for {settings.Role} column '{name}': {Expected}, got {column.Type}.{Advice(column.Type)}", nameof(schema));

        if (settings.CropFraction < 1)
            throw new ArgumentException(FormattableString.Invariant($"CropFraction is {settings.CropFraction}, but the {settings.Role} column '{name}' is a vector of pixels, which is neither resized nor cropped. Leave the option out, or give a column of images."), nameof(schema));
        var (channels, height, width) = VectorSize(vector, settings);
        return new FeatureInput(schema, settings, name, name, vector, channels, height, width, []);
    }

    /// <summary>Creates an input that reads the same column of images at another size than that of the network, and all of it: views of the network's size are cut from it. It is for scoring, not for saving.</summary>
    public FeatureInput WithSize(int height, int width) => new(this, height, width);

    /// <summary>Creates the name of a temporary column of the saved model: a name that no column of the data has.</summary>
    /// <param name="purpose">A part of the name, different for each temporary column.</param>
    public string TemporaryName(string purpose) => TemporaryName(InputNames.Contains, purpose);

    /// <summary>Creates a resizer that gives the bytes that the network reads.</summary>
    /// <exception cref="NotSupportedException">SkiaSharp is missing or has another version.</exception>
    public ImageResizer CreateResizer()
    {
        try
        {
            return new ImageResizer(Height, Width, Settings.Resizing, Settings.CropAnchor, Background, Settings.CropFraction);
        }
        catch (Exception error) when (MissingDecoder.IsCauseOf(error))
        {
            throw MissingDecoder.Explain(error);
        }
    }

    /// <summary>Creates the exception for a schema that does not have the column.</summary>
    public ArgumentException Missing(string parameter) => Missing(Settings.Role, ColumnName, parameter);

    /// <summary>Finds the column that <see cref="PixelReader"/> reads, and checks its type and length.</summary>
    /// <exception cref="ArgumentException">The column is missing or of another type.</exception>
    public DataViewSchema.Column FindColumn(DataViewSchema schema)
    {
        var column = schema.GetColumnOrNull(ColumnName) ?? throw Missing(nameof(schema));
        if (!IsVector)
        {
            return IsImage(column.Type) ? column : throw new ArgumentException(
                $"Schema mismatch for {Settings.Role} column '{ColumnName}': expected images, or the content of image files as Vector<Byte>, got {column.Type}.{Advice(column.Type)}", nameof(schema));
        }
        if (column.Type is not VectorDataViewType vector || vector.ItemType != NumberDataViewType.Single || vector.Size != Length)
            throw new ArgumentException($"Schema mismatch for {Settings.Role} column '{ColumnName}': expected a Vector<Single> of {Channels} x {Height} x {Width} = {Length} values, got {column.Type}.", nameof(schema));
        return column;
    }

    private static FeatureInput FromImages(DataViewSchema schema, ImageSettings settings, int defaultHeight, int defaultWidth)
    {
        string name = settings.ColumnName, resized = TemporaryName(IsTaken, "Resized"), pixels = TemporaryName(IsTaken, "Pixels");
        int channels = settings.Channels ?? 3, height = settings.Height ?? settings.Width ?? defaultHeight, width = settings.Width ?? settings.Height ?? defaultWidth;
        var crop = CenterCrop.Of(height, width, settings.CropFraction);
        var transforms = new MLContext(seed: 1).Transforms;

        // ML.NET's transformers read images only, also where this library decodes the content of files.
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(name, new ImageDataViewType());
        var images = builder.ToSchema();
        var chain = new EstimatorChain<ITransformer>()
            .Append((IEstimator<ITransformer>)transforms.ResizeImages(resized, crop.ResizedWidth, crop.ResizedHeight, name, settings.Resizing, settings.CropAnchor));
        if (channels == 1)
            chain = chain.Append((IEstimator<ITransformer>)transforms.ConvertToGrayscale(resized, resized));
        var preprocessing = chain
            .Append((IEstimator<ITransformer>)transforms.ExtractPixels(
                pixels,
                resized,
                colorsToExtract: channels == 1 ? ImagePixelExtractingEstimator.ColorBits.Alpha | ImagePixelExtractingEstimator.ColorBits.Red : ImagePixelExtractingEstimator.ColorBits.All,
                orderOfExtraction: ImagePixelExtractingEstimator.ColorsOrder.ARGB))
            .Fit(new SchemaOnlyView(images));
        var type = preprocessing.GetOutputSchema(images)[pixels].Type;
        return new FeatureInput(schema, settings, resized, pixels, type, channels, height, width, [.. preprocessing]);

        bool IsTaken(string column) => schema.GetColumnOrNull(column) is not null;
    }

    private static (int Channels, int Height, int Width) VectorSize(VectorDataViewType vector, ImageSettings settings)
    {
        if (vector.Dimensions is [var channels, var height, var width])
        {
            if (channels is not (1 or 3) && width is 1 or 3 or 4)
                throw new ArgumentException($"The {settings.Role} column '{settings.ColumnName}' is {vector}: its pixels seem to be interleaved (height, width, channels). They must be planar (channels, height, width), in the order R, G, B: use ExtractPixels with interleavePixelColors: false and orderOfExtraction: ARGB.");
            CheckSame(settings.Channels, channels, settings, vector, "channels");
            CheckSame(settings.Height, height, settings, vector, "height");
            CheckSame(settings.Width, width, settings, vector, "width");
            return (channels, height, width);
        }
        if ((settings.Height ?? settings.Width) is not { } flatHeight || (settings.Width ?? settings.Height) is not { } flatWidth)
            throw new ArgumentException($"The {settings.Role} column '{settings.ColumnName}' is a flat vector of {vector.Size} values. Give its size by Options.ImageHeight and Options.ImageWidth, or a column with dimensions (channels, height, width).");
        int flatChannels = settings.Channels ?? (int)Math.Max(1, vector.Size / ((long)flatHeight * flatWidth));
        if ((long)flatChannels * flatHeight * flatWidth != vector.Size)
            throw new ArgumentException($"The {settings.Role} column '{settings.ColumnName}' holds {vector.Size} values, but {flatChannels} channels x {flatHeight} x {flatWidth} = {(long)flatChannels * flatHeight * flatWidth} are expected. Correct Options.ImageHeight or ImageWidth, or the number of channels.");
        return (flatChannels, flatHeight, flatWidth);
    }

    /// <summary>Gets a sentence that says how a column of another type is converted to images or pixels.</summary>
    private static string Advice(DataViewType type) => type switch
    {
        TextDataViewType => " If the column contains the paths of image files, load them with mlContext.Transforms.LoadImages.",
        NumberDataViewType or VectorDataViewType { ItemType: NumberDataViewType } => " If the column contains pixels, convert it with mlContext.Transforms.Conversion.ConvertType to DataKind.Single; they must be planar (channels, height, width), in the order R, G, B, as ExtractPixels gives them.",
        _ => "",
    };

    private static void CheckSame(int? option, int dimension, ImageSettings settings, VectorDataViewType type, string what)
    {
        if (option is { } value && value != dimension)
            throw new ArgumentException($"The {settings.Role} column '{settings.ColumnName}' is {type}, with {what} {dimension}, but the options say {value}. Leave the option out or correct it.");
    }

    private static ArgumentException Missing(string role, string column, string parameter) => new($"Could not find {role} column '{column}'", parameter);

    private static string TemporaryName(Func<string, bool> isTaken, string purpose)
    {
        string name = "RepVgg.Temporary." + purpose;
        while (isTaken(name))
            name += "_";
        return name;
    }
}

/// <summary>The options that describe the image column.</summary>
/// <param name="Role">Kind of column named in error messages: <c>feature</c> or <c>input</c>.</param>
/// <param name="ColumnName">Name of the column.</param>
/// <param name="Channels">Number of channels, 1 or 3; null to use that of the column's type, or the default for images.</param>
/// <param name="Height">Image height in pixels; null to use that of the column's type, or the default for images.</param>
/// <param name="Width">Image width in pixels; null to use that of the column's type, or the default for images.</param>
/// <param name="Resizing">How images of another size are resized to this size.</param>
/// <param name="CropAnchor">Which part of the image is kept if resizing crops it.</param>
internal sealed record ImageSettings(
    string Role,
    string ColumnName,
    int? Channels,
    int? Height,
    int? Width,
    ImageResizingEstimator.ResizingKind Resizing,
    ImageResizingEstimator.Anchor CropAnchor)
{
    /// <summary>The colour on which transparent images are put. Its alpha value is not used.</summary>
    public Color BackgroundColor { get; init; } = Color.White;

    /// <summary>Share of the resized image's height and width that is kept, in the middle; more than 0 and at most 1.</summary>
    public double CropFraction { get; init; } = 1;

    /// <summary>How encoded images are decoded.</summary>
    public ImageDecoding Decoding { get; init; } = new();
}
