using System.Diagnostics;
using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Benchmarks;

/// <summary>
/// The measurements behind <see cref="ConvolutionStrategies"/>: every convolution of a network, in the order of a run
/// (so with caches as a run finds them), computed directly and as the engine chooses.
/// </summary>
internal static class LayersBenchmark
{
    public static void Run(CommandLine options)
    {
        int batch = options.Number("batch", 1), repetitions = options.Number("repetitions", 30);
        string name = options.Text("network", "A0");
        var network = InferenceBenchmark.Untrained(name, options.Number("size", RepVggVariants.Find(name).DefaultImageSize));
        var direct = Measure(network, batch, repetitions, (_, _, _) => ConvolutionStrategy.Direct);
        var chosen = Measure(network, batch, repetitions, ConvolutionStrategies.Choose);
        Console.WriteLine($"{name}, {network.ImageHeight}x{network.ImageWidth}, batch {batch}, one thread, {VectorWidths.Widest}; GF/s count the direct convolution's operations");
        Console.WriteLine("| block | channels | output | stride | groups | direct, us | GF/s | chosen, us | GF/s | strategy |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|---|---|");
        int height = network.ImageHeight, width = network.ImageWidth;
        foreach (var block in network.Architecture.Blocks)
        {
            (height, width) = (ConvolutionSize.OutputOfBlock(height, block.Stride), ConvolutionSize.OutputOfBlock(width, block.Stride));
            double operations = 18.0 * batch * height * width * block.OutputChannels * block.InputChannels / block.Groups;
            double a = direct[block.Name], b = chosen[block.Name];
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {block.Name} | {block.InputChannels} -> {block.OutputChannels} | {height}x{width} | {block.Stride} | {block.Groups} | {a:F1} | {operations / a / 1000:F0} | {b:F1} | {operations / b / 1000:F0} | {ConvolutionStrategies.Choose(block, height, width)} |"));
        }
    }

    // Best microseconds of each block's steps.
    private static unsafe Dictionary<string, double> Measure(DeployNetwork network, int batch, int repetitions, StrategyChoice choose)
    {
        var source = NetworkSource.Of(network);
        using var plan = PlanBuilder.Build(VectorWidths.Widest, source, choose);
        using var workspace = new Workspace(plan, batch, 1, depthFirst: false);
        plan.PackWeights(1, workspace);
        var pixels = new float[batch * network.Architecture.InputChannels * network.ImageHeight * network.ImageWidth];
        var logits = new float[batch * network.Classes];
        var best = new double[plan.Steps.Length];
        Array.Fill(best, double.PositiveInfinity);
        fixed (float* images = pixels, target = logits)
        {
            workspace.Run(images, target, batch);
            workspace.SetImages(images, target, batch);
            for (int repetition = 0; repetition < repetitions; repetition++)
            {
                for (int step = 0; step < best.Length; step++)
                {
                    var context = workspace.ContextOf(plan.Steps[step], 0);
                    int items = plan.Steps[step].CountItems(context);
                    long start = Stopwatch.GetTimestamp();
                    for (int item = 0; item < items; item++)
                        plan.Steps[step].RunItem(context, item, 0);
                    best[step] = Math.Min(best[step], Stopwatch.GetElapsedTime(start).TotalMicroseconds);
                }
            }
        }
        return plan.Steps.Zip(best).Where(pair => pair.First is ConvolutionStep)
            .GroupBy(pair => ((ConvolutionStep)pair.First).Block.Name).ToDictionary(group => group.Key, group => group.Sum(pair => pair.Second));
    }
}
