using System.Globalization;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Reparameterization;
using RepVgg.Tool.CommandLine;
using RepVgg.Weights;

namespace RepVgg.Samples.Learning;

/// <summary>Structural re-parameterization step by step, on numbers that can be checked by hand. docs/reparameterization.md explains each step.</summary>
/// <remarks>The branches are computed by their definitions (<see cref="FeatureMap"/>). The single convolution uses the kernel and bias that the library computes from the branches.</remarks>
internal static class ReparameterizeCommand
{
    // PyTorch's default.
    private const double Epsilon = 1e-5f;

    private static readonly NormValues _norm = new([5], [20], [5], [100], Epsilon);

    public static int Run(Arguments arguments)
    {
        foreach (var (title, lines) in Steps())
        {
            Console.WriteLine(title);
            foreach (string line in lines)
                Console.WriteLine($"  {line}");
            Console.WriteLine();
        }
        return 0;
    }

    /// <summary>Gets the steps, each with the lines that are printed for it.</summary>
    public static IEnumerable<(string Title, IReadOnlyList<string> Lines)> Steps()
    {
        yield return ("(a) Two 3x3 convolutions are added", TwoConvolutions());
        yield return ("(b) A convolution with its own bias, and a batch norm", OwnBias());
        yield return ("(c) A 1x1 convolution with batch norm as a 3x3 convolution", PointConvolution());
        yield return ("(d) An identity with batch norm as a 3x3 convolution, with 2 groups", Identity());
        yield return ("(e) A whole block, and its gradient", Block());
    }

    private static List<string> TwoConvolutions()
    {
        var input = FeatureMap.OfConstants(7, 7, 1, 2);
        float[] ones = Filled(18, 1), twos = Filled(18, 2);
        var sum = Convolution(ones, 2, 1, 3, [10]).Plus(Convolution(twos, 2, 1, 3, [20]));
        var branches = input.Convolve(ones, [10], 3).Plus(input.Convolve(twos, [20], 3));
        return
        [
            "kernels of 1 with bias 10, and of 2 with bias 20; input 1x2x7x7 with channels of 1 and 2",
            $"one kernel of {Text(sum.Kernel.ToArray()[0])}, bias {Text(sum.Bias.ToArray()[0])}",
            .. Compare(branches, input.Convolve(sum.Kernel.ToArray(), sum.Bias.ToArray(), 3)),
        ];
    }

    private static List<string> OwnBias()
    {
        var input = FeatureMap.OfConstants(7, 7, 1, 2);
        float[] ones = Filled(18, 1);
        var branch = Convolution(ones, 2, 1, 3, [10]).Then(_norm);
        var withoutBias = Convolution(ones, 2, 1, 3, [0]).Then(_norm);
        var expected = input.Convolve(ones, [10], 3).Normalize(_norm);
        return
        [
            "kernel of 1 with bias 10; batch norm of mean 5, variance 100, weight 5, bias 20",
            $"one kernel of {Text(branch.Kernel.ToArray()[0])}, bias (10 - 5) / 10 * 5 + 20 = {Text(branch.Bias.ToArray()[0])}",
            .. Compare(expected, input.Convolve(branch.Kernel.ToArray(), branch.Bias.ToArray(), 3)),
            $"where the convolution's own bias is dropped: bias {Text(withoutBias.Bias.ToArray()[0])}, difference {Difference(expected.Difference(input.Convolve(withoutBias.Kernel.ToArray(), withoutBias.Bias.ToArray(), 3)))}",
        ];
    }

    private static List<string> PointConvolution()
    {
        var input = FeatureMap.OfConstants(7, 7, 1, 2);
        var branch = Convolution([2, 3], 2, 1, 1, [0]).Then(_norm);
        return
        [
            "kernel 2 and 3, without bias; the batch norm of (b)",
            .. Kernel(branch.Kernel.ToArray(), 2),
            $"bias {Text(branch.Bias.ToArray()[0])}",
            .. Compare(input.Convolve([2, 3], [0], 1).Normalize(_norm), input.Convolve(branch.Kernel.ToArray(), branch.Bias.ToArray(), 3)),
        ];
    }

    private static List<string> Identity()
    {
        const int Groups = 2, Channels = 4;
        var norm = new NormValues([2, 4, 6, 8], [1, 1, 1, 1], [0, 0, 1, 1], [4, 4, 4, 4], Epsilon);
        var input = FeatureMap.OfConstants(5, 5, 1, 2, 3, 4);
        // The identity is added to a convolution of two groups, so that the sum has two groups.
        var branch = LinearBranch.Identity(Channels).Then(norm).Plus(Convolution(Filled(Channels * Channels / Groups, 0), Channels, Channels, 1, new float[Channels], Groups));
        float[] kernel = branch.Kernel.ToArray(), bias = branch.Bias.ToArray();
        return
        [
            "4 channels; batch norm of means 0 0 1 1, variance 4, weights 2 4 6 8, bias 1",
            .. Enumerable.Range(0, Channels).Select(o => $"output {o} reads inputs {o / 2 * 2} and {o / 2 * 2 + 1} of its group by {Text(kernel[(o * 2) * 9 + 4])} and {Text(kernel[(o * 2 + 1) * 9 + 4])} in the centre, bias {Text(bias[o])}"),
            .. Compare(input.Normalize(norm), input.Convolve(kernel, bias, 3, Groups)),
        ];
    }

    private static List<string> Block()
    {
        float[] dense = [1, 2, 3, 4, 5, 6, 7, 8, 9], point = [10];
        // The scales of the batch norms are 1, 2 and 3; the batch norm of the identity has the shift 4.
        NormValues denseNorm = new([2], [0], [0], [4], Epsilon), pointNorm = new([4], [1], [1], [4], Epsilon), identityNorm = new([6], [4], [0], [4], Epsilon);
        var input = FeatureMap.OfConstants(7, 7, 1);
        var expected = input.Convolve(dense, [0], 3).Normalize(denseNorm).Plus(input.Convolve(point, [0], 1).Normalize(pointNorm)).Plus(input.Normalize(identityNorm));

        // Computes the same kernel and bias in a training step, where they are differentiable by the parameters of the branches.
        using var backend = new CpuBackend(1);
        using var kernel3x3 = backend.CreateParameter(new TensorData([1, 1, 3, 3], dense));
        using var kernel1x1 = backend.CreateParameter(new TensorData([1, 1, 1, 1], point));
        Branch[] branches = [new(kernel3x3, State(backend, denseNorm)), new(kernel1x1, State(backend, pointNorm)), new(null, State(backend, identityNorm))];
        float[] kernel = new float[9], bias = new float[1], gradient3x3 = new float[9], gradient1x1 = new float[1];
        using (backend.BeginStep(training: true))
        {
            var equivalent = backend.EquivalentKernel(branches);
            backend.CopyOut(equivalent, kernel);
            backend.CopyOut(backend.EquivalentBias(branches), bias);
            backend.BackwardFrom(equivalent, Filled(9, 1));
            backend.CopyGradient(kernel3x3, gradient3x3);
            backend.CopyGradient(kernel1x1, gradient1x1);
        }
        var algebra = Convolution(dense, 1, 1, 3, [0]).Then(denseNorm).Plus(Convolution(point, 1, 1, 1, [0]).Then(pointNorm)).Plus(LinearBranch.Identity(1).Then(identityNorm));
        return
        [
            "3x3 kernel 1 to 9 times 1, 1x1 kernel 10 times 2, identity times 3; shifts 0, -1 and 4",
            .. Kernel(kernel, 1),
            $"bias {Text(bias[0])}; the centre is 5 * 1 + 10 * 2 + 3 = {Text(kernel[4])}",
            .. Compare(expected, input.Convolve(kernel, bias, 3)),
            $"from the differentiable form to the algebra: difference {Difference(kernel.Zip(algebra.Kernel.ToArray(), (left, right) => Math.Abs((double)left - right)).Max())}",
            $"a gradient of 1 by each value of the kernel: {Text(gradient3x3[0])} by the 3x3 kernel, {Text(gradient1x1[0])} by the 1x1 kernel",
        ];
    }

    private static LinearBranch Convolution(float[] kernel, int inputs, int outputs, int size, float[] bias, int groups = 1) =>
        LinearBranch.Convolution(new TensorData(kernel), inputs, outputs, size, size, 1, groups, new TensorData(bias));

    private static BatchNormState State(Backend backend, NormValues norm) => new(
        backend.CreateParameter(new TensorData([1], norm.Weight)), backend.CreateParameter(new TensorData([1], norm.Bias)),
        backend.CreateBuffer(new TensorData([1], norm.Mean)), backend.CreateBuffer(new TensorData([1], norm.Variance)));

    private static IEnumerable<string> Compare(FeatureMap branches, FeatureMap convolution) =>
    [
        $"output 0          corner    edge  inside",
        $"the branches    {Row(branches)}",
        $"one convolution {Row(convolution)}",
        $"difference {Difference(branches.Difference(convolution))}",
    ];

    private static string Row(FeatureMap map) => $"{Text(map[0, 0, 0]),8}{Text(map[0, 0, map.Width / 2]),8}{Text(map[0, map.Height / 2, map.Width / 2]),8}";

    /// <summary>Formats the kernels of one output channel, one for each input channel, next to each other.</summary>
    private static IEnumerable<string> Kernel(float[] kernel, int inputs) =>
        Enumerable.Range(0, 3).Select(y => string.Join("   |", Enumerable.Range(0, inputs).Select(i => string.Concat(Enumerable.Range(0, 3).Select(x => $"{Text(kernel[(i * 3 + y) * 3 + x]),6}")))));

    /// <summary>Formats a number with three decimals. The effect of the batch norms' epsilon of 1e-5 is below that.</summary>
    private static string Text(double value) => value.ToString("0.###", CultureInfo.InvariantCulture);

    /// <summary>Formats a difference. In single precision, differences of a millionth of the values are rounding errors.</summary>
    private static string Difference(double value) => value < 1e-5 ? "less than 0.00001" : Text(value);

    private static float[] Filled(int length, float value) => [.. Enumerable.Repeat(value, length)];
}
