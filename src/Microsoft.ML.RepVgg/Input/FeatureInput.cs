using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>How a feature column becomes the planar pixels that the network reads.</summary>
/// <remarks>
/// Vectors are taken as they are. Images go through the stock transformers for resizing and pixel extraction: the very
/// ones that stand in the saved model, so both see the same pixels.
/// </remarks>
internal sealed class FeatureInput
{
    private FeatureInput(string columnName, string pixelColumnName, DataViewType pixelType, int channels, int height, int width, TransformerChain<ITransformer>? preprocessing)
    {
        ColumnName = columnName;
        PixelColumnName = pixelColumnName;
        PixelType = pixelType;
        (Channels, Height, Width) = (channels, height, width);
        Preprocessing = preprocessing;
    }

    /// <summary>The user's feature column.</summary>
    public string ColumnName { get; }

    /// <summary>The column that holds the pixels: the feature column itself, or a temporary one.</summary>
    public string PixelColumnName { get; }

    /// <summary>Type of the pixel column: a vector of Channels * Height * Width floats.</summary>
    public DataViewType PixelType { get; }

    public int Channels { get; }

    public int Height { get; }

    public int Width { get; }

    /// <summary>Values per image.</summary>
    public int Length => Channels * Height * Width;

    /// <summary>Stock transformers from image to pixels; null where the feature column is a vector.</summary>
    public TransformerChain<ITransformer>? Preprocessing { get; }

    /// <summary>Names of the columns that preprocessing adds.</summary>
    public IReadOnlyList<string> TemporaryColumns => Preprocessing is null ? [] : [ResizedColumnName(ColumnName), PixelColumnName];

    public static bool IsImage(DataViewType type) => type is ImageDataViewType;

    /// <summary>Works out what the column holds.</summary>
    /// <param name="schema">The schema that the trainer or transformer is given.</param>
    /// <param name="settings">Names, and the sizes that the column does not tell.</param>
    /// <param name="defaultImageSize">Height and width of images where the settings give none.</param>
    /// <returns>The input.</returns>
    /// <exception cref="ArgumentException">The column is missing, of another type, or of the wrong length; the message names it.</exception>
    public static FeatureInput Create(DataViewSchema schema, ImageSettings settings, int defaultImageSize)
    {
        string name = settings.ColumnName;
        var column = schema.GetColumnOrNull(name)
            ?? throw new ArgumentException($"Could not find feature column '{name}'", nameof(schema));
        if (IsImage(column.Type))
            return FromImages(schema, settings, defaultImageSize);
        if (column.Type is not VectorDataViewType { IsKnownSize: true } vector || vector.ItemType != NumberDataViewType.Single)
            throw new ArgumentException($"Schema mismatch for feature column '{name}': expected an image or a Vector<Single> of known size, got {column.Type}.", nameof(schema));

        var (channels, height, width) = VectorSize(vector, settings);
        return new FeatureInput(name, name, vector, channels, height, width, null);
    }

    /// <summary>Where the pixels stand in a schema that went through <see cref="Preprocessing"/>, after checking the type.</summary>
    public DataViewSchema.Column FindPixels(DataViewSchema schema)
    {
        var column = schema.GetColumnOrNull(PixelColumnName)
            ?? throw new ArgumentException($"Could not find feature column '{PixelColumnName}'", nameof(schema));
        if (column.Type is not VectorDataViewType vector || vector.ItemType != NumberDataViewType.Single || vector.Size != Length)
            throw new ArgumentException($"Schema mismatch for feature column '{PixelColumnName}': expected a Vector<Single> of {Channels} x {Height} x {Width} = {Length} values, got {column.Type}.", nameof(schema));
        return column;
    }

    private static FeatureInput FromImages(DataViewSchema schema, ImageSettings settings, int defaultImageSize)
    {
        string name = settings.ColumnName, resized = ResizedColumnName(name), pixels = name + ".Pixels";
        int channels = settings.Channels ?? 3, height = settings.Height ?? defaultImageSize, width = settings.Width ?? defaultImageSize;
        var transforms = new MLContext(seed: 1).Transforms;

        var chain = new EstimatorChain<ITransformer>()
            .Append((IEstimator<ITransformer>)transforms.ResizeImages(resized, width, height, name, settings.Resizing, settings.CropAnchor));
        if (channels == 1)
            chain = chain.Append((IEstimator<ITransformer>)transforms.ConvertToGrayscale(resized, resized));
        var preprocessing = chain
            .Append((IEstimator<ITransformer>)transforms.ExtractPixels(
                pixels,
                resized,
                colorsToExtract: channels == 1 ? ImagePixelExtractingEstimator.ColorBits.Red : ImagePixelExtractingEstimator.ColorBits.Rgb,
                orderOfExtraction: ImagePixelExtractingEstimator.ColorsOrder.ARGB))
            .Fit(new Interop.SchemaOnlyView(schema));
        var type = preprocessing.GetOutputSchema(schema)[pixels].Type;
        return new FeatureInput(name, pixels, type, channels, height, width, preprocessing);
    }

    private static (int Channels, int Height, int Width) VectorSize(VectorDataViewType vector, ImageSettings settings)
    {
        if (vector.Dimensions is [var channels, var height, var width])
        {
            CheckSame(settings.Channels, channels, settings.ColumnName, vector, "channels");
            CheckSame(settings.Height, height, settings.ColumnName, vector, "height");
            CheckSame(settings.Width, width, settings.ColumnName, vector, "width");
            return (channels, height, width);
        }
        if (settings.Height is not { } flatHeight || settings.Width is not { } flatWidth)
            throw new ArgumentException($"The feature column '{settings.ColumnName}' is a flat vector of {vector.Size} values. Give its size by Options.ImageHeight, Options.ImageWidth and Options.ImageChannels, or a column with dimensions (channels, height, width).");
        int flatChannels = settings.Channels ?? Math.Max(1, vector.Size / (flatHeight * flatWidth));
        if ((long)flatChannels * flatHeight * flatWidth != vector.Size)
            throw new ArgumentException($"The feature column '{settings.ColumnName}' holds {vector.Size} values, but {flatChannels} channels x {flatHeight} x {flatWidth} = {(long)flatChannels * flatHeight * flatWidth} are expected. Correct Options.ImageHeight, ImageWidth or ImageChannels.");
        return (flatChannels, flatHeight, flatWidth);
    }

    private static void CheckSame(int? option, int dimension, string column, VectorDataViewType type, string what)
    {
        if (option is { } value && value != dimension)
            throw new ArgumentException($"The feature column '{column}' is {type}, with {what} {dimension}, but the options say {value}. Leave the option out or correct it.");
    }

    private static string ResizedColumnName(string column) => column + ".Resized";
}
