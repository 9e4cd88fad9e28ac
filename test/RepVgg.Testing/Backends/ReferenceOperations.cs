namespace RepVgg.Testing;

/// <summary>The seam's operations in double precision, as plainly as they can be written. Maps are NCHW.</summary>
internal static class ReferenceOperations
{
    public static double[] Convolution(double[] x, int n, int c, int h, int w, double[] kernel, int o, int kh, int kw, double[]? bias, int stride, int padding, int groups)
    {
        int oh = (h + 2 * padding - kh) / stride + 1, ow = (w + 2 * padding - kw) / stride + 1;
        int cg = c / groups, og = o / groups;
        var y = new double[n * o * oh * ow];
        int at = 0;
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j < o; j++)
            {
                for (int p = 0; p < oh * ow; p++)
                {
                    double sum = bias is null ? 0 : bias[j];
                    for (int k = 0; k < cg; k++)
                    {
                        for (int tap = 0; tap < kh * kw; tap++)
                        {
                            int yy = p / ow * stride + tap / kw - padding, xx = p % ow * stride + tap % kw - padding;
                            if (yy >= 0 && yy < h && xx >= 0 && xx < w)
                                sum += x[((i * c + j / og * cg + k) * h + yy) * w + xx] * kernel[(j * cg + k) * kh * kw + tap];
                        }
                    }
                    y[at++] = sum;
                }
            }
        }
        return y;
    }

    /// <summary>With the batch's mean and biased variance.</summary>
    public static double[] BatchNorm(double[] x, int n, int c, int area, double[] weight, double[] bias, double epsilon)
    {
        var (mean, variance) = Moments(x, n, c, area);
        return Normalize(x, c, area, mean, variance, weight, bias, epsilon);
    }

    public static double[] Normalize(double[] x, int c, int area, double[] mean, double[] variance, double[] weight, double[] bias, double epsilon) =>
        [.. x.Select((value, i) =>
        {
            int k = i / area % c;
            return (value - mean[k]) / Math.Sqrt(variance[k] + epsilon) * weight[k] + bias[k];
        })];

    public static (double[] Mean, double[] BiasedVariance) Moments(double[] x, int n, int c, int area)
    {
        double[] mean = new double[c], variance = new double[c];
        for (int i = 0; i < x.Length; i++)
            mean[i / area % c] += x[i] / (n * area);
        for (int i = 0; i < x.Length; i++)
            variance[i / area % c] += Math.Pow(x[i] - mean[i / area % c], 2) / (n * area);
        return (mean, variance);
    }

    public static double[] Add(double[] a, double[] b) => [.. a.Zip(b, (p, q) => p + q)];

    public static double[] Relu(double[] x) => [.. x.Select(value => Math.Max(value, 0))];

    public static double[] Sigmoid(double[] x) => [.. x.Select(value => 1 / (1 + Math.Exp(-value)))];

    public static double[] ScaleChannels(double[] x, int area, double[] scale) => [.. x.Select((value, i) => value * scale[i / area])];

    public static double[] AveragePool(double[] x, int area) => [.. x.Chunk(area).Select(plane => plane.Average())];

    public static double[] Linear(double[] x, int inputs, double[] weight, double[] bias) =>
        [.. x.Chunk(inputs).SelectMany(row => bias.Select((b, o) => b + row.Select((value, i) => value * weight[o * inputs + i]).Sum()))];

    public static double CrossEntropy(double[] logits, int classes, int[] labels, double smoothing) =>
        logits.Chunk(classes).Zip(labels, (row, label) =>
        {
            double largest = row.Max();
            double logSum = largest + Math.Log(row.Sum(value => Math.Exp(value - largest)));
            return -row.Select((value, c) => ((c == label ? 1 - smoothing : 0) + smoothing / classes) * (value - logSum)).Sum();
        }).Average();

    public static double CrossEntropy(double[] logits, int classes, float[] targets) =>
        logits.Chunk(classes).Zip(targets.Chunk(classes), (row, target) =>
        {
            double largest = row.Max();
            double logSum = largest + Math.Log(row.Sum(value => Math.Exp(value - largest)));
            return -row.Zip(target, (value, share) => share * (value - logSum)).Sum();
        }).Sum() / targets.Sum(share => (double)share);
}
