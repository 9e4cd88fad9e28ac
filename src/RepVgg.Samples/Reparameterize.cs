using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Reparameterization;
using RepVgg.Weights;

namespace RepVgg.Samples;

/// <summary>Structural re-parameterization step by step, on numbers that can be checked by hand. docs/reparameterization.md explains each step.</summary>
internal static class Reparameterize
{
    public static void Run()
    {
        double[,,] input = Constant(7, 1, 2);
        var norm = new BatchNorm([5], [20], [5], [100]);

        Console.WriteLine("(a) Two 3x3 convolutions are added");
        Convolution ones = Convolution.Filled(1, bias: 10), twos = Convolution.Filled(2, bias: 20), sum = ones.Plus(twos);
        Console.WriteLine("kernels of 1 with bias 10, and of 2 with bias 20; input 1x2x7x7 with channels of 1 and 2");
        Console.WriteLine($"one kernel of {Text(sum.Kernel[0, 0, 0, 0])}, bias {Text(sum.Bias[0])}");
        Compare(Plus(ones.Apply(input), twos.Apply(input)), sum.Apply(input));

        Console.WriteLine("\n(b) A convolution with its own bias, and a batch norm");
        Convolution fused = ones.Then(norm), withoutBias = Convolution.Filled(1, bias: 0).Then(norm);
        Console.WriteLine("kernel of 1 with bias 10; batch norm of mean 5, variance 100, weight 5, bias 20");
        Console.WriteLine($"one kernel of {Text(fused.Kernel[0, 0, 0, 0])}, bias (10 - 5) / 10 * 5 + 20 = {Text(fused.Bias[0])}");
        Compare(norm.Apply(ones.Apply(input)), fused.Apply(input));
        Console.WriteLine($"where the convolution's own bias is dropped: bias {Text(withoutBias.Bias[0])}, difference {Text(fused.Bias[0] - withoutBias.Bias[0])}");

        Console.WriteLine("\n(c) A 1x1 convolution with batch norm as a 3x3 convolution");
        var point = new Convolution(new double[,,,] { { { { 2 } }, { { 3 } } } }, [0]);
        fused = point.To3x3().Then(norm);
        Console.WriteLine("kernel 2 and 3, without bias; the batch norm of (b)");
        Print(fused);
        Compare(norm.Apply(point.Apply(input)), fused.Apply(input));

        Console.WriteLine("\n(d) An identity with batch norm as a 3x3 convolution, with 2 groups");
        double[,,] wide = Constant(5, 1, 2, 3, 4);
        var wideNorm = new BatchNorm([2, 4, 6, 8], [1, 1, 1, 1], [0, 0, 1, 1], [4, 4, 4, 4]);
        fused = Convolution.Identity(channels: 4, groups: 2).Then(wideNorm);
        Console.WriteLine("4 channels; batch norm of means 0 0 1 1, variance 4, weights 2 4 6 8, bias 1");
        for (int o = 0; o < 4; o++)
            Console.WriteLine($"output {o} reads inputs {o / 2 * 2} and {o / 2 * 2 + 1} of its group by {Text(fused.Kernel[o, 0, 1, 1])} and {Text(fused.Kernel[o, 1, 1, 1])} in the centre, bias {Text(fused.Bias[o])}");
        Compare(wideNorm.Apply(wide), fused.Apply(wide));

        Console.WriteLine("\n(e) A whole block, as the library fuses it");
        // The scales of the batch norms are 1, 2 and 3; the shifts are 0, -1 and 4.
        BatchNorm denseNorm = new([2], [0], [0], [4]), pointNorm = new([4], [1], [1], [4]), identityNorm = new([6], [4], [0], [4]);
        var dense = new Convolution(new double[,,,] { { { { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 9 } } } }, [0]);
        point = new Convolution(new double[,,,] { { { { 10 } } } }, [0]);
        input = Constant(7, 1);
        fused = dense.Then(denseNorm).Plus(point.To3x3().Then(pointNorm)).Plus(Convolution.Identity(1, 1).Then(identityNorm));
        Console.WriteLine("3x3 kernel 1 to 9 times 1, 1x1 kernel 10 times 2, identity times 3; shifts 0, -1 and 4");
        Print(fused);
        Compare(Plus(Plus(denseNorm.Apply(dense.Apply(input)), pointNorm.Apply(point.Apply(input))), identityNorm.Apply(input)), fused.Apply(input));
        var training = new StateDict { ["linear.weight"] = TensorData.Zeros(2, 1), ["linear.bias"] = TensorData.Zeros(2) };
        foreach (string name in new[] { "stage0", "stage1.0" })
        {
            training[$"{name}.rbr_dense.conv.weight"] = dense.ToTensor();
            training[$"{name}.rbr_1x1.conv.weight"] = point.ToTensor();
            denseNorm.AddTo(training, $"{name}.rbr_dense.bn");
            pointNorm.AddTo(training, $"{name}.rbr_1x1.bn");
            identityNorm.AddTo(training, $"{name}.rbr_identity");
        }
        var network = new RepVggArchitecture { Name = "Two blocks", InputChannels = 1, Stages = [new StageSpec("stage0", Width: 1, Depth: 1, Stride: 1), new StageSpec("stage1", Width: 1, Depth: 1, Stride: 1)] };
        var library = Fusion.Fuse(network, training);
        double difference = library["stage1.0.rbr_reparam.weight"].Values.Zip(fused.Kernel.Cast<double>(), (left, right) => Math.Abs(left - right)).Max();
        Console.WriteLine($"kernel and bias of Fusion.Fuse: difference {Difference(Math.Max(difference, Math.Abs(library["stage1.0.rbr_reparam.bias"].Values[0] - fused.Bias[0])))}");
    }

    /// <summary>Prints three values of the first output channel: the padding with zeros changes those in the corner and at the edge.</summary>
    private static void Compare(double[,,] branches, double[,,] convolution)
    {
        Console.WriteLine("output 0          corner    edge  inside");
        foreach (var (name, map) in new[] { ("the branches   ", branches), ("one convolution", convolution) })
            Console.WriteLine($"{name} {Text(map[0, 0, 0]),8}{Text(map[0, 0, 3]),8}{Text(map[0, 3, 3]),8}");
        Console.WriteLine($"difference {Difference(branches.Cast<double>().Zip(convolution.Cast<double>(), (left, right) => Math.Abs(left - right)).Max())}");
    }

    private static void Print(Convolution convolution)
    {
        for (int y = 0; y < 3; y++)
            Console.WriteLine(string.Join("   |", Enumerable.Range(0, convolution.Kernel.GetLength(1)).Select(i => string.Concat(Enumerable.Range(0, 3).Select(x => $"{Text(convolution.Kernel[0, i, y, x]),6}")))));
        Console.WriteLine($"bias {Text(convolution.Bias[0])}");
    }

    private static double[,,] Constant(int size, params double[] values) => Convolution.CreateMap(values.Length, size, size, (channel, _, _) => values[channel]);

    private static double[,,] Plus(double[,,] left, double[,,] right) => Convolution.CreateMap(left.GetLength(0), left.GetLength(1), left.GetLength(2), (c, y, x) => left[c, y, x] + right[c, y, x]);

    /// <summary>Formats a number with three decimals. The effect of the batch norms' epsilon is below that.</summary>
    private static string Text(double value) => value.ToString("0.###", CultureInfo.InvariantCulture);

    private static string Difference(double value) => value < 1e-5 ? "less than 0.00001" : Text(value);
}
