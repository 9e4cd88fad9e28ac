using System.Drawing;
using Microsoft.ML.RepVgg;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Workflow;

namespace RepVgg.Tool.Segmentation;

/// <summary>Predicts the masks of images with a saved model, and writes them, also drawn over the images.</summary>
internal static class SegmentCommand
{
    private const int ListedClasses = 5;

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("output", "DIR", "folder of the masks (NAME.png, with a palette whose indices are the classes) and drawings (NAME-overlay.png) (default: runs/segment, runs/segment2, ...)"),
        new("exist-ok", "", "replace files in the folder of --output"),
        new("classes", "FILE", "classes.txt of the data, whose colours the masks and drawings get (default: those of PASCAL VOC)"),
        SegmentationData.SlidingWindowOption,
        new("opacity", "X", "opacity of the colours in the drawings, 0 or more and at most 1 (default: 0.5)"),
        new("no-overlay", "", "write the masks only"),
        new("skip-invalid", "", "report images that cannot be read on the error stream and go on, instead of ending with an error"),
        OptionSpec.Threads,
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string output = arguments.Text("output") is { } given ? Path.GetFullPath(given) : FreeFolder();
        var colors = arguments.Text("classes") is { } classes ? Colors(classes) : null;
        float opacity = arguments.Number("opacity") ?? 0.5f;
        if (opacity > 1)
            throw new UsageException(Invariant($"--opacity is {opacity}; it must be 0 or more and at most 1."));
        var images = arguments.Operands(1).SelectMany(Images).ToList();
        bool draws = !arguments.Flag("no-overlay");
        CheckNames(images, output, draws, mayReplace: arguments.Flag("exist-ok"));
        var (model, network) = SegmentationData.LoadModel(arguments.Operand(0), arguments.Threads);
        using var disposed = model;
        OutputFolder.Prepare(output);
        int done = 0;
        foreach (var (image, name) in images)
        {
            try
            {
                byte[] content = ReadImage(image);
                var mask = network.Predict(content, arguments.Flag("sliding-window") ? true : (bool?)null, interrupt.Token);
                byte[]? drawing = draws ? mask.DrawOn(content, colors, opacity) : null;
                string target = MaskPath(output, name);
                interrupt.Defer(() =>
                {
                    Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                    mask.Save(target, colors);
                    if (drawing is not null)
                        AtomicFile.Write(OverlayPath(output, name), stream => stream.Write(drawing));
                });
                Console.WriteLine($"{MessageText.WithoutControls(image)}: {Describe(mask, network.Labels)}");
                done++;
            }
            catch (Exception error) when (arguments.Flag("skip-invalid") && error is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                Console.Error.WriteLine(MessageText.WithoutControls($"{image}: {error.Message}"));
            }
            catch (InvalidDataException error) when (!error.Message.Contains(image, StringComparison.Ordinal))
            {
                throw new InvalidDataException($"'{image}': {error.Message} --skip-invalid leaves such images out.", error);
            }
        }
        Console.WriteLine($"The masks: {output}");
        return done > 0 ? 0 : 1;
    }

    private static string MaskPath(string output, string name) => Path.Combine(output, name + ".png");

    private static string OverlayPath(string output, string name) => Path.Combine(output, name + "-overlay.png");

    /// <summary>Gets the path of the first folder runs/segment, runs/segment2, ... that does not exist.</summary>
    private static string FreeFolder() => Enumerable.Range(1, int.MaxValue).Select(number => Path.GetFullPath(Path.Combine("runs", number == 1 ? "segment" : Invariant($"segment{number}")))).First(path => !Path.Exists(path));

    private static IReadOnlyList<Color> Colors(string path)
    {
        if (!File.Exists(path))
            throw new FileNotFoundException($"There is no file '{path}'.");
        var colors = SegmentationDataSet.ReadClasses(path).Colors;
        return colors.Count > 0 ? colors : throw new InvalidDataException($"'{path}' has no colours: three numbers of 0 to 255 after the name of each class.");
    }

    /// <summary>Checks that no file that is written is an image that is read, or another file that is written, and that none exists.</summary>
    /// <exception cref="InvalidDataException">One is.</exception>
    private static void CheckNames(IReadOnlyList<(string Path, string Name)> images, string output, bool draws, bool mayReplace)
    {
        var comparer = OperatingSystem.IsLinux() ? StringComparer.Ordinal : StringComparer.OrdinalIgnoreCase;
        var read = images.Select(image => Path.GetFullPath(image.Path)).ToHashSet(comparer);
        var written = new Dictionary<string, string>(comparer);
        foreach (var (image, name) in images)
        {
            foreach (string target in draws ? [MaskPath(output, name), OverlayPath(output, name)] : (string[])[MaskPath(output, name)])
            {
                if (read.Contains(target))
                    throw new InvalidDataException($"'{target}' would be replaced by a file of '{image}', but is one of the images. Give another folder with --output.");
                if (!written.TryAdd(target, image))
                    throw new InvalidDataException($"Files of '{written[target]}' and of '{image}' would have the same name, '{target}'. Segment one after the other, into different folders.");
            }
        }
        if (!mayReplace && written.Keys.FirstOrDefault(Path.Exists) is { } existing)
            throw new InvalidDataException($"'{existing}' exists. Give another folder with --output, or --exist-ok to replace its files.");
    }

    private static byte[] ReadImage(string path)
    {
        using var file = InputFile.Open(path);
        byte[] content = new byte[file.Length];
        file.ReadExactly(content);
        return content;
    }

    /// <summary>The shares of the classes that have the most pixels.</summary>
    private static string Describe(SegmentationMask mask, IReadOnlyList<string> labels)
    {
        var counts = mask.Classes.ToArray().CountBy(label => label).OrderByDescending(count => count.Value).ToList();
        string listed = string.Join(", ", counts.Take(ListedClasses).Select(count => Invariant($"{MessageText.Printable(labels[count.Key])} {(double)count.Value / mask.Classes.Length:p1}")));
        return counts.Count > ListedClasses ? $"{listed}, ..." : listed;
    }

    /// <summary>Lists an image, or the images of a folder and its subfolders, with their names in the output: relative to the folder, and without extension.</summary>
    private static IEnumerable<(string Path, string Name)> Images(string path)
    {
        if (!Directory.Exists(path))
            return File.Exists(path) ? [(path, Path.GetFileNameWithoutExtension(path))] : throw new FileNotFoundException($"There is no image or folder '{path}'.");
        (string, string)[] images = [.. ImageDataset.Images(path, SearchOption.AllDirectories).Select(image => (image, Path.ChangeExtension(Path.GetRelativePath(path, image), null)))];
        return images.Length > 0 ? images : throw new InvalidDataException($"'{path}' has no images.");
    }
}
