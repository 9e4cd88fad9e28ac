using RepVgg.Architectures;
using RepVgg.Diagnostics;
using RepVgg.Tool.CommandLine;
using RepVgg.Weights.Naming;

namespace RepVgg.Tool.Weights;

/// <summary>Prints a table of the variants with their parameters and multiply-adds.</summary>
internal static class ListCommand
{
    public static int Run(Arguments arguments)
    {
        int size = arguments.ImageSize ?? 224, classes = arguments.Integer("classes", 1) ?? 1000;
        Console.WriteLine($"Images of {size}x{size} pixels, {classes} classes. Parameters in millions, multiply-adds in billions.");
        Console.WriteLine();
        var table = new Table("variant", "parameters, train", "deploy", "multiply-adds, train", "deploy", "channels", "meant for");
        var tooSmall = RepVggVariants.All.Where(variant => size < variant.TotalStride).ToList();
        foreach (var variant in RepVggVariants.All.Except(tooSmall))
        {
            var (training, deploy) = Arguments.Accept("--image-size", () => (ModelStatistics.Of(variant, WeightsForm.Training, classes, size, size), ModelStatistics.Of(variant, WeightsForm.Deploy, classes, size, size)));
            table.Add(
                variant.Name, Table.Millions(training.Parameters), Table.Millions(deploy.Parameters),
                Table.Billions(training.MultiplyAdds), Table.Billions(deploy.MultiplyAdds), $"{variant.InputChannels}", $"{variant.DefaultImageSize} px");
        }
        table.Write(Console.Out);
        if (tooSmall.Count > 0)
        {
            Console.WriteLine();
            Console.WriteLine($"Left out, as they reduce images by more than that: {string.Join(", ", tooSmall.Select(variant => variant.Name))}.");
        }
        return 0;
    }
}
