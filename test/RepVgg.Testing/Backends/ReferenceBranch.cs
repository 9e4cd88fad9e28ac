namespace RepVgg.Testing;

/// <summary>One linear branch of a block in double precision: its part of the block's equivalent 3x3 kernel and bias.</summary>
/// <param name="Kernel">OIHW; null for the identity.</param>
/// <param name="Height">Height of the kernel.</param>
/// <param name="Width">Width of the kernel.</param>
internal sealed record ReferenceBranch(double[]? Kernel, int Height = 1, int Width = 1)
{
    public double[]? ChannelScale { get; init; }

    public bool NormalizesFilters { get; init; }

    /// <summary>Weight, bias, running mean, running variance and epsilon of the batch norm.</summary>
    public (double[] Weight, double[] Bias, double[] Mean, double[] Variance, double Epsilon)? Norm { get; init; }

    public static double[] EquivalentKernel(IReadOnlyList<ReferenceBranch> branches, int outputs, int inputs) =>
        [.. Enumerable.Range(0, outputs * inputs * 9).Select(at => branches.Sum(branch => branch.Tap(at / 9 / inputs, at / 9 % inputs, inputs, at % 9 / 3, at % 3)))];

    public static double[] EquivalentBias(IReadOnlyList<ReferenceBranch> branches, int outputs) =>
        [.. Enumerable.Range(0, outputs).Select(output => branches.Sum(branch => branch.Shift(output)))];

    private double Factor(int output) => ChannelScale is null ? 1 : ChannelScale[output];

    private double NormScale(int output) => Norm is { } norm ? norm.Weight[output] / Math.Sqrt(norm.Variance[output] + norm.Epsilon) : 1;

    private double Shift(int output) => Norm is { } norm ? Factor(output) * (norm.Bias[output] - norm.Mean[output] * NormScale(output)) : 0;

    private double Tap(int output, int input, int inputs, int row, int column)
    {
        if (Kernel is null)
            return (row, column) == (1, 1) && input == output % inputs ? Factor(output) * NormScale(output) : 0;
        int y = row - (3 - Height) / 2, x = column - (3 - Width) / 2;
        if (y < 0 || y >= Height || x < 0 || x >= Width)
            return 0;
        double[] filter = Kernel[(output * inputs * Height * Width)..((output + 1) * inputs * Height * Width)];
        double divisor = NormalizesFilters ? Math.Max(Math.Sqrt(filter.Sum(value => value * value)), 1e-12) : 1;
        return filter[(input * Height + y) * Width + x] / divisor * Factor(output) * NormScale(output);
    }
}
