namespace RepVgg.Reparameterization;

/// <summary>The running statistics and affine parameters of one batch normalisation, as plain values.</summary>
internal readonly record struct NormValues(float[] Weight, float[] Bias, float[] Mean, float[] Variance, double Epsilon)
{
    /// <summary>What the batch norm multiplies a channel by.</summary>
    public double ScaleOf(int channel) => Weight[channel] / Math.Sqrt(Variance[channel] + Epsilon);

    /// <summary>What the batch norm adds to a channel after that.</summary>
    public double ShiftOf(int channel) => Bias[channel] - Mean[channel] * ScaleOf(channel);
}

/// <summary>Sums branches into one 3x3 kernel and bias, in double precision, rounded once.</summary>
/// <remarks>Source: RepVGG, section 3.3: BN(W * x) = (g / s) W * x + (b - m g / s), a 1x1 kernel is a 3x3 one with a zero border, the identity is a 1x1 kernel that is a unit matrix.</remarks>
internal static class BranchAlgebra
{
    private const int Taps = 9;
    private const int Center = 4;

    /// <summary>Fuses BN(conv3x3(x)) + BN(conv1x1(x)) [+ BN(x)].</summary>
    /// <param name="kernel3x3">[O, I / groups, 3, 3]; overwritten by the fused kernel, so that a large network needs no second copy.</param>
    /// <param name="norm3x3">Batch norm behind it.</param>
    /// <param name="kernel1x1">[O, I / groups, 1, 1].</param>
    /// <param name="norm1x1">Batch norm behind it.</param>
    /// <param name="normIdentity">Batch norm of the identity branch; null without.</param>
    /// <returns>The fused bias, [O].</returns>
    public static float[] FuseInto(float[] kernel3x3, NormValues norm3x3, float[] kernel1x1, NormValues norm1x1, NormValues? normIdentity)
    {
        int outputs = norm3x3.Weight.Length, inputsPerGroup = kernel1x1.Length / outputs;
        var bias = new float[outputs];
        for (int o = 0; o < outputs; o++)
        {
            double scale3x3 = norm3x3.ScaleOf(o), scale1x1 = norm1x1.ScaleOf(o);
            // Within a group, output o of the identity reads input o mod (channels / groups).
            int same = normIdentity is null ? -1 : o % inputsPerGroup;
            for (int i = 0; i < inputsPerGroup; i++)
            {
                var taps = kernel3x3.AsSpan((o * inputsPerGroup + i) * Taps, Taps);
                double center = taps[Center] * scale3x3 + kernel1x1[o * inputsPerGroup + i] * scale1x1;
                if (i == same)
                    center += normIdentity!.Value.ScaleOf(o);
                for (int k = 0; k < Taps; k++)
                    taps[k] = (float)(k == Center ? center : taps[k] * scale3x3);
            }
            bias[o] = (float)(norm3x3.ShiftOf(o) + norm1x1.ShiftOf(o) + (normIdentity?.ShiftOf(o) ?? 0));
        }
        return bias;
    }
}
