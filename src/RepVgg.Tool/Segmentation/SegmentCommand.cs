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
        new("output", "DIR", "folder of the masks (NAME.png, with a palette whose indices are the classes) and drawings (NAME-overlay.png) (default: masks)"),
        new("sliding-window", "", "segment images at their own scale, in overlapping windows, with a model that was trained with --crops"),
        new("opacity", "X", "opacity of the colours in the drawings, 0 or more and at most 1 (default: 0.5)"),
        new("no-overlay", "", "write the masks only"),
        new("skip-invalid", "", "report images that cannot be read on the error stream and go on, instead of ending with an error"),
        OptionSpec.Threads,
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string output = Path.GetFullPath(arguments.Text("output") ?? "masks");
        float opacity = arguments.Number("opacity") ?? 0.5f;
        if (opacity > 1)
            throw new UsageException(Invariant($"--opacity is {opacity}; it must be 0 or more and at most 1."));
        var images = arguments.Operands(1).SelectMany(Images).ToList();
        if (images.GroupBy(image => image.Name, StringComparer.OrdinalIgnoreCase).FirstOrDefault(group => group.Count() > 1) is { } repeated)
            throw new InvalidDataException($"The masks of {MessageText.Join([.. repeated.Select(image => $"'{image.Path}'")], separator: " and ")} would have the same name. Segment one after the other, into different folders.");
        var (model, network) = SegmentationData.LoadModel(arguments.Operand(0), arguments.Threads);
        using var disposed = model;
        OutputFolder.Prepare(output);
        int done = 0;
        foreach (var (image, name) in images)
        {
            try
            {
                byte[] content = ReadImage(image);
                var mask = network.Predict(content, arguments.Flag("sliding-window"), interrupt.Token);
                byte[]? drawing = arguments.Flag("no-overlay") ? null : mask.DrawOn(content, opacity: opacity);
                string target = Path.Combine(output, name + ".png");
                if (Path.GetFullPath(image) == target)
                    throw new InvalidDataException($"The mask of '{image}' would replace the image. Give another folder with --output.");
                interrupt.Defer(() =>
                {
                    Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                    mask.Save(target);
                    if (drawing is not null)
                        AtomicFile.Write(Path.Combine(output, name + "-overlay.png"), stream => stream.Write(drawing));
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
