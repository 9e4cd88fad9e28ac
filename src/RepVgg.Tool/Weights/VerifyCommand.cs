using RepVgg.Diagnostics;
using RepVgg.Networks;
using RepVgg.Tool.CommandLine;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;

namespace RepVgg.Tool.Weights;

/// <summary>Compares the training form with the deploy form.</summary>
internal static class VerifyCommand
{
    private const float Bound = 1e-5f;

    private const int MaximumImages = 1024;

    /// <returns>The exit code: 0 if the forms agree within the bound, otherwise 1.</returns>
    public static int Run(Arguments arguments)
    {
        string path = arguments.Operand(0);
        float bound = arguments.Positive("bound") ?? Bound;
        int images = arguments.Integer("images", 1, MaximumImages) ?? 2, seed = arguments.Integer("seed", 0) ?? 1, threads = arguments.Threads;
        var options = WeightsCommands.FileOptions(arguments);
        string? against = arguments.Text("against");
        // Only ONNX files have outputs, and they hold the deploy form, so that the output is one of the other file.
        var weights = WeightsCommands.Read(path, against is null ? options : options with { Output = null });
        if (weights.Form != WeightsForm.Training)
            throw new ArgumentException($"'{path}' holds the deploy form: there is nothing to fuse. Verify the training form from which it was fused, with --against {path}.");
        var deployed = against is not null
            ? Deployed(against, options with { BatchNormEpsilon = null, Entry = null })
            : weights.WithoutNormalization().ToDeployNetwork();
        var report = FusionCheck.Compare(weights.Architecture, weights.State, deployed, images, seed, threads);

        Console.WriteLine($"{weights.Architecture.Name}, {images} random images of {deployed.ImageWidth}x{deployed.ImageHeight} pixels: relative difference of the two forms");
        Console.WriteLine();
        var table = new Table("block", "difference");
        foreach (var (block, error) in report.Blocks)
            table.Add(block, Table.Error(error));
        table.Add("logits, from end to end", Table.Error(report.Logits));
        table.Write(Console.Out);
        Console.WriteLine();
        bool good = report.Largest <= bound;
        Console.WriteLine($"{(good ? "The forms agree" : "THE FORMS DIFFER")}: at most {Table.Error(report.Largest)}, accepted {Table.Error(bound)}.");
        var assumed = weights.Assumptions.Where(assumption => assumption.Kind is WeightsAssumptionKind.BatchNormEpsilon or WeightsAssumptionKind.Strides).ToList();
        WeightsCommands.PrintAssumptions([.. weights.Assumptions.Where(assumption => assumption.Kind is WeightsAssumptionKind.Entry), .. assumed]);
        if (assumed.Count > 0)
            Console.WriteLine("Both forms were computed with these values, so this check cannot show whether they are those of the training.");
        return good ? 0 : 1;
    }

    private static DeployNetwork Deployed(string path, WeightsFileOptions options)
    {
        var weights = WeightsCommands.Read(path, options);
        if (weights.Form != WeightsForm.Deploy)
            throw new ArgumentException($"'{path}' holds the training form; --against needs a deploy form.");
        return weights.WithoutNormalization().ToDeployNetwork();
    }
}
