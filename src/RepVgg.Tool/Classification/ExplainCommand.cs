using Microsoft.ML.RepVgg;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Workflow;

namespace RepVgg.Tool.Classification;

/// <summary>Draws the class activation map of an image over it.</summary>
internal static class ExplainCommand
{
    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("class", "NAME", "the class whose evidence is shown (default: the predicted one)"),
        new("opacity", "X", "opacity of the heat map, more than 0 and at most 1 (default: 0.5)"),
        OptionSpec.Threads,
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string path = arguments.Operand(1), output = Path.GetFullPath(arguments.Operand(2));
        float opacity = arguments.Positive("opacity") ?? 0.5f;
        if (opacity > 1)
            throw new UsageException(Invariant($"--opacity is {opacity}; it must be more than 0 and at most 1."));
        if (!Path.GetExtension(output).Equals(".png", StringComparison.OrdinalIgnoreCase))
            throw new UsageException($"OUT.png is '{arguments.Operand(2)}'; the drawing is a PNG file, so its name must end in .png.");
        if (output == Path.GetFullPath(path))
            throw new UsageException("OUT.png is the image itself, which would be lost. Give another name.");
        byte[] image;
        using (var file = InputFile.Open(path))
            file.ReadExactly(image = new byte[file.Length]);
        using var model = SavedClassifier.Load(arguments.Operand(0), arguments.Threads);
        int? index = Arguments.Accept("--class", () => model.Classifier.IndexOf(arguments.Text("class")));
        ClassActivationMap map;
        try
        {
            map = index is null ? model.Classifier.Explain(image) : model.Classifier.Explain(image, index.Value);
        }
        catch (ArgumentException error)
        {
            throw new InvalidDataException($"'{path}': {MessageText.Reason(error)}.", error);
        }
        byte[] picture = map.DrawOnImage(image, opacity);
        interrupt.Defer(() => AtomicFile.Write(output, stream => stream.Write(picture)));
        Console.WriteLine(Invariant($"{output}: {MessageText.Printable(map.ClassName)} {map.Probability:p1}, logit {map.Logit:f3}; predicted: {MessageText.Printable(map.PredictedClassName)}."));
        return 0;
    }
}
