using System.Drawing;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Tool.CommandLine;
using RepVgg.Training.Data;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace RepVgg.Tool.Images;

/// <summary>Training and test images in memory, of the same size and with the same classes.</summary>
/// <param name="Training">The training images.</param>
/// <param name="Test">The test images.</param>
internal sealed record DecodedImages(ISampleSource Training, ISampleSource Test)
{
    /// <summary>Names of the classes in the order of their numbers; empty for the bundled images.</summary>
    public IReadOnlyList<string> Classes { get; private init; } = [];

    /// <summary>Share of the images of each class that are test images if the data set is not divided.</summary>
    private const double TestFraction = 0.2;

    private const int MeasuredImages = 16;

    private static readonly ImageDecoding _decoding = new();

    /// <summary>The command-line option of the data set that <see cref="Of"/> reads.</summary>
    public static OptionSpec Option { get; } =
        new("data", "DIR", "labelled images, in any of the forms that train reads (default: the bundled images)");

    /// <summary>Reads the data set of the command line, or the bundled images if none is given.</summary>
    public static DecodedImages Of(Arguments arguments, CancellationToken cancellation)
    {
        if (arguments.Text(Option.Name) is { } path)
            return Read(path, cancellation);
        var (training, test) = FashionMnist.Bundled();
        return new DecodedImages(training, test);
    }

    /// <summary>Reads and decodes a data set.</summary>
    /// <param name="path">A data set; see <see cref="ImageDataset.Read"/>. If it is not divided, a fifth of every class is the test set, the same in every call.</param>
    /// <param name="cancellation">Checked before every image.</param>
    /// <exception cref="InvalidDataException">An image or another file cannot be read, or the training and test images do not fit together.</exception>
    /// <exception cref="IOException">A folder or a file cannot be read.</exception>
    public static DecodedImages Read(string path, CancellationToken cancellation) => Read(path, null, null, cancellation);

    /// <summary>Reads and decodes a data set for a network.</summary>
    /// <param name="path">A data set; see <see cref="ImageDataset.Read"/>. If it is not divided, a fifth of every class is the test set, the same in every call.</param>
    /// <param name="size">Height and width of the network's images; null for those of the images.</param>
    /// <param name="channels">Channels of the network's images; null for those of the images.</param>
    /// <param name="cancellation">Checked before every image.</param>
    /// <exception cref="InvalidDataException">An image or another file cannot be read, or the images do not fit together or to the network.</exception>
    /// <exception cref="IOException">A folder or a file cannot be read.</exception>
    public static DecodedImages Read(string path, (int Height, int Width)? size, int? channels, CancellationToken cancellation)
    {
        var data = ImageDataset.Read(path, null, TestFraction, seed: 1);
        bool isGrey = data.GreySamples is not null;
        if (channels is { } given && given != (isGrey ? 1 : 3))
            throw new InvalidDataException($"'{path}' has {(isGrey ? "grey images" : "colour images")}, and the network reads images of {given} {(given == 1 ? "channel" : "channels")}.{(isGrey ? "" : " Grey images are read from IDX files.")}");
        if (data.GreySamples is var (training, test))
        {
            if (size is { } needed && (training.Height, training.Width) != needed)
                throw new InvalidDataException($"In '{path}', the images are {training.Width}x{training.Height} pixels, and the network reads {needed.Width}x{needed.Height}.");
            return (training.Width, training.Height) == (test.Width, test.Height)
                ? new DecodedImages(training, test) { Classes = data.Classes }
                : throw new InvalidDataException($"In '{path}', the training images are {training.Width}x{training.Height} pixels and the test images {test.Width}x{test.Height}.");
        }
        if (data.Validation.Count == 0)
            throw new InvalidDataException($"'{path}' has one image of each class only, so that there are no test images. Add more.");
        if (size is var (ownHeight, ownWidth))
            return new DecodedImages(Decode(data.Training, data.Classes, ownHeight, ownWidth, cancellation), Decode(data.Validation, data.Classes, ownHeight, ownWidth, cancellation)) { Classes = data.Classes };
        var sizes = data.Training.Take(MeasuredImages).Select(file => ImageDecoder.ReadSize(Content(file), _decoding)).OfType<(int, int)>().ToList();
        // Without any size, decoding gives the reason.
        var (height, width) = sizes.Count > 0 ? ImageSizes.Choose(sizes) : (1, 1);
        return new DecodedImages(Decode(data.Training, data.Classes, height, width, cancellation), Decode(data.Validation, data.Classes, height, width, cancellation));
    }

    /// <summary>Decodes colour images of one size.</summary>
    private static InMemorySamples Decode(IReadOnlyList<ImageFileRow> files, IReadOnlyList<string> classes, int height, int width, CancellationToken cancellation)
    {
        const int Channels = 3;
        int length = Channels * height * width;
        if ((long)files.Count * length > Array.MaxLength)
            throw new InvalidDataException($"{files.Count} images do not fit into memory at {width}x{height} pixels. Use fewer or smaller ones.");
        var labels = classes.Index().ToDictionary(entry => entry.Item, entry => entry.Index, StringComparer.Ordinal);
        byte[] pixels = new byte[files.Count * length];
        using var resizer = new ImageResizer(height, width, ResizingKind.IsoCrop, Anchor.Center, ImageResizer.Background(Color.White, Channels));
        for (int i = 0; i < files.Count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            try
            {
                using var picture = ImageDecoder.Decode(Content(files[i]), _decoding);
                resizer.Resize(picture, pixels.AsSpan(i * length, length));
            }
            catch (ImageException error)
            {
                throw new InvalidDataException($"'{files[i].ImagePath}' cannot be read: {error.Message}.", error);
            }
        }
        return new InMemorySamples(pixels, [.. files.Select(file => labels[file.Label])], Channels, height, width, classes.Count);
    }

    private static byte[] Content(ImageFileRow file)
    {
        try
        {
            return file.Read();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidDataException($"'{file.ImagePath}' cannot be read: {error.Message.TrimEnd('.')}.", error);
        }
    }
}
