using System.Drawing;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Scoring;
using Microsoft.ML.Runtime;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;

namespace Microsoft.ML.RepVgg;

/// <summary>How a model scores rows. The options of the trainer, of the featurizer and of loading a saved model contain these options.</summary>
public abstract class RepVggScoringOptions
{
    private protected RepVggScoringOptions()
    {
    }

    /// <summary>Number of threads for training and for scoring; 0 uses all cores. The scores do not depend on it, nor do the results of training on this library's CPU backend.</summary>
    public int NumberOfThreads { get; set; }

    /// <summary>
    /// Maximum number of rows that a model reads before it scores them, 1 or more; 0 uses up to 32. With 1, every row is scored
    /// before the next one is read, which a source needs that waits for a result before it gives the next row.
    /// </summary>
    public int ScoringBatchSize { get; set; }

    /// <summary>
    /// How rows with an invalid image (or label, in training) are handled. With <see cref="InvalidRowHandling.Skip"/>, such a row
    /// is skipped in training and gets a missing prediction at scoring: key 0 and scores (or features) NaN; for segmentation, a mask with 255 everywhere.
    /// </summary>
    public InvalidRowHandling InvalidRows { get; set; } = InvalidRowHandling.Error;

    /// <summary>
    /// Largest number of pixels, width times height, of an image, at most 2^29. Rows with larger images are invalid; the content of
    /// image files is checked before it is decoded. Null is 100 million, or the limit of the model that is loaded.
    /// </summary>
    public long? MaximumImagePixels { get; set; }

    /// <summary>
    /// The views of an image that a classifier scores, the mean of whose probabilities is its result, such as the image and its mirror image. It is a property of scoring, like the number of threads: it is not
    /// saved with the model, and not used for validation in training. A loaded model has it if it is loaded with it. Featurizers have none.
    /// </summary>
    public TestTimeAugmentation TestTimeAugmentation { get; set; }

    internal ScoringOptions ToScoringOptions(IHost? host) => new(NumberOfThreads, ScoringBatchSize, InvalidRows == InvalidRowHandling.Skip, host)
    {
        Views = new ScoringViews(
            AreCropped: TestTimeAugmentation is TestTimeAugmentation.FiveCrop or TestTimeAugmentation.TenCrop,
            AreShifted: TestTimeAugmentation is TestTimeAugmentation.HorizontalFlipAndShift,
            AreFlipped: TestTimeAugmentation is TestTimeAugmentation.HorizontalFlip or TestTimeAugmentation.TenCrop or TestTimeAugmentation.HorizontalFlipAndShift),
    };

    /// <exception cref="ArgumentException">An option is out of range.</exception>
    internal virtual void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(NumberOfThreads);
        ArgumentOutOfRangeException.ThrowIfNegative(ScoringBatchSize);
        RequireDefined(InvalidRows, nameof(InvalidRows));
        RequireDefined(TestTimeAugmentation, nameof(TestTimeAugmentation));
        if (MaximumImagePixels is < 1 or > ImageDecoding.LargestMaximum)
            throw new ArgumentException($"MaximumImagePixels is {MaximumImagePixels}; it must be 1 to {ImageDecoding.LargestMaximum}.");
    }

    private protected static void RequireDefined<T>(T value, string option)
        where T : struct, Enum
    {
        if (!Enum.IsDefined(value))
            throw new ArgumentException($"{option} is {value:d}, which is not a value of {typeof(T).Name}.");
    }
}

/// <summary>How images are brought to the input of a network, and how rows are scored.</summary>
public abstract class RepVggImageOptions : RepVggScoringOptions
{
    private protected RepVggImageOptions()
    {
    }

    /// <summary>
    /// Image height in pixels; if only one of height and width is given, images are square. Null uses, for vectors, the dimensions
    /// of the column's type; for images, the size of the network or file of weights, or that of the named architecture; or else a size
    /// that suits the images: those of the first 16 rows, or the size of the column's type.
    /// </summary>
    public int? ImageHeight { get; set; }

    /// <summary>Image width in pixels; null as for <see cref="ImageHeight"/>.</summary>
    public int? ImageWidth { get; set; }

    /// <summary>How images of another size are resized to the network's input size.</summary>
    public ImageResizingEstimator.ResizingKind Resizing { get; set; } = ImageResizingEstimator.ResizingKind.IsoCrop;

    /// <summary>Which part of the image is kept if resizing crops it.</summary>
    public ImageResizingEstimator.Anchor CropAnchor { get; set; } = ImageResizingEstimator.Anchor.Center;

    /// <summary>
    /// Share of the resized image's height and width that the network reads, more than 0 and at most 1, such as 0.875: the image's shorter side is resized to round(size / CropFraction), and the centre is
    /// cut out. It needs IsoCrop and the anchor Center, and a column of images. With 1, images are resized to the network's size.
    /// </summary>
    /// <remarks>The size is rounded as .NET rounds, halves to even numbers. Of a network that is not square, both sides are enlarged, the image is resized to cover them, and the centre is cut out.</remarks>
    public double CropFraction { get; set; } = 1;

    /// <summary>
    /// The colour on which transparent images are put, and the colour of the pixels that <see cref="ImageResizingEstimator.ResizingKind.IsoPad"/>
    /// adds. Its alpha value is not used. An image whose alpha is 0 everywhere counts as opaque.
    /// </summary>
    public Color BackgroundColor { get; set; } = Color.White;

    /// <summary>
    /// Whether the images in a column of bytes, which this library decodes, are turned or mirrored as their EXIF orientation says.
    /// Images of ML.NET's LoadImages have the orientation in which they are stored.
    /// </summary>
    public bool ApplyExifOrientation { get; set; } = true;

    internal override void Check()
    {
        base.Check();
        if (ImageHeight is <= 0 || ImageWidth is <= 0)
            throw new ArgumentException($"The image size is {ImageHeight} x {ImageWidth}; both must be 1 or more.");
        RequireDefined(Resizing, nameof(Resizing));
        RequireDefined(CropAnchor, nameof(CropAnchor));
        if (!(CropFraction is > 0 and <= 1))
            throw new ArgumentException(FormattableString.Invariant($"CropFraction is {CropFraction}; it must be more than 0 and at most 1."));
        if (CropFraction < 1 && (Resizing, CropAnchor) != (ImageResizingEstimator.ResizingKind.IsoCrop, ImageResizingEstimator.Anchor.Center))
            throw new ArgumentException(FormattableString.Invariant($"CropFraction is {CropFraction}, but Resizing is {Resizing} and CropAnchor is {CropAnchor}; it needs IsoCrop and Center, because the centre of the image is kept."));
    }

    /// <summary>Describes the image column.</summary>
    internal ImageSettings ToImageSettings(string role, string column, int? channels) => new(role, column, channels, ImageHeight, ImageWidth, Resizing, CropAnchor)
    {
        BackgroundColor = BackgroundColor,
        CropFraction = CropFraction,
        Decoding = new ImageDecoding(ApplyExifOrientation, MaximumImagePixels ?? ImageDecoding.DefaultMaximum),
    };

    /// <summary>Checks that a normalization has a mean and a scale for every channel.</summary>
    internal static void CheckNormalization(Normalization? normalization, int channels)
    {
        if (normalization is { } given && (given.Mean.Length != channels || given.Scale.Length != channels))
            throw new ArgumentException($"Options.Normalization has {given.Mean.Length} means and {given.Scale.Length} scales; the images have {channels} channels.");
    }
}
