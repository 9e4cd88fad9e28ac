using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin.Images;
using Microsoft.ML.Transforms.Image;
using static Microsoft.ML.Transforms.Image.ImagePixelExtractingEstimator;

namespace Microsoft.ML;

/// <summary>The transforms of images.</summary>
public static class ImageEstimatorsCatalog
{
    /// <summary>Makes images gray.</summary>
    public static ImageGrayscalingEstimator ConvertToGrayscale(
        this TransformsCatalog catalog, string outputColumnName, string inputColumnName = null)
    {
        IHostEnvironment env = catalog.GetEnvironment();
        return new ImageGrayscalingEstimator(env, new ImageGrayscalingTransformer(env, ColumnPair.Of(outputColumnName, inputColumnName)));
    }

    /// <summary>Reads and decodes image files.</summary>
    public static ImageLoadingEstimator LoadImages(
        this TransformsCatalog catalog, string outputColumnName, string imageFolder, string inputColumnName = null) =>
        Loading(catalog, imageFolder, decode: true, ColumnPair.Of(outputColumnName, inputColumnName));

    /// <summary>Reads image files as bytes.</summary>
    public static ImageLoadingEstimator LoadRawImageBytes(
        this TransformsCatalog catalog, string outputColumnName, string imageFolder, string inputColumnName = null) =>
        Loading(catalog, imageFolder, decode: false, ColumnPair.Of(outputColumnName, inputColumnName));

    /// <summary>Takes the numbers out of images whose size is known.</summary>
    public static ImagePixelExtractingEstimator ExtractPixels(
        this TransformsCatalog catalog,
        string outputColumnName,
        string inputColumnName = null,
        ColorBits colorsToExtract = ColorBits.Rgb,
        ColorsOrder orderOfExtraction = ColorsOrder.ARGB,
        bool interleavePixelColors = false,
        float offsetImage = 0,
        float scaleImage = 1,
        bool outputAsFloatArray = true)
    {
        IHostEnvironment env = catalog.GetEnvironment();
        var layout = new PixelLayout(
            colorsToExtract, orderOfExtraction, interleavePixelColors, offsetImage, scaleImage, outputAsFloatArray, nameof(colorsToExtract));
        return new ImagePixelExtractingEstimator(
            env, new ImagePixelExtractingTransformer(env, ColumnPair.Of(outputColumnName, inputColumnName), layout));
    }

    /// <summary>Brings images to one size.</summary>
    public static ImageResizingEstimator ResizeImages(
        this TransformsCatalog catalog,
        string outputColumnName,
        int imageWidth,
        int imageHeight,
        string inputColumnName = null,
        ImageResizingEstimator.ResizingKind resizing = ImageResizingEstimator.ResizingKind.IsoCrop,
        ImageResizingEstimator.Anchor cropAnchor = ImageResizingEstimator.Anchor.Center)
    {
        IHostEnvironment env = catalog.GetEnvironment();
        var columns = ColumnPair.Of(outputColumnName, inputColumnName);
        return new ImageResizingEstimator(env, new ImageResizingTransformer(env, columns, imageWidth, imageHeight, resizing, cropAnchor));
    }

    /// <summary>Makes images from vectors. The four defaults are not used, as in ML.NET: alpha is 255 and the colours are 0.</summary>
    public static VectorToImageConvertingEstimator ConvertToImage(
        this TransformsCatalog catalog,
        int imageHeight,
        int imageWidth,
        string outputColumnName,
        string inputColumnName = null,
        ColorBits colorsPresent = ColorBits.Rgb,
        ColorsOrder orderOfColors = ColorsOrder.ARGB,
        bool interleavedColors = false,
        float scaleImage = 1,
        float offsetImage = 0,
        int defaultAlpha = 255,
        int defaultRed = 0,
        int defaultGreen = 0,
        int defaultBlue = 0)
    {
        IHostEnvironment env = catalog.GetEnvironment();
        var layout = new PixelLayout(
            colorsPresent, orderOfColors, interleavedColors, offsetImage, scaleImage, floats: true, nameof(colorsPresent));
        var columns = ColumnPair.Of(outputColumnName, inputColumnName);
        return new VectorToImageConvertingEstimator(
            env, new VectorToImageConvertingTransformer(env, columns, imageHeight, imageWidth, layout));
    }

    private static ImageLoadingEstimator Loading(TransformsCatalog catalog, string imageFolder, bool decode, ColumnPair columns)
    {
        IHostEnvironment env = catalog.GetEnvironment();
        return new ImageLoadingEstimator(env, new ImageLoadingTransformer(env, imageFolder, decode, columns));
    }
}
