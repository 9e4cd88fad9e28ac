using RepVgg.Backends;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Testing;

/// <content>Operations on maps with one prediction per pixel.</content>
public abstract partial class BackendTests
{
    private const byte Ignored = 255;

    [BackendTheory]
    [InlineData(2, 3, 4, 5, 9, 7, true)]
    [InlineData(2, 3, 4, 5, 9, 7, false)]
    [InlineData(1, 8, 6, 6, 60, 60, true)]
    [InlineData(3, 5, 12, 12, 96, 96, true)]
    [InlineData(1, 4, 1, 1, 5, 3, true)]
    [InlineData(2, 4, 1, 3, 4, 1, false)]
    [InlineData(2, 4, 9, 8, 3, 4, true)]
    [InlineData(2, 4, 9, 8, 3, 4, false)]
    [InlineData(2, 4, 5, 5, 5, 5, false)]
    public void Resizing(int n, int c, int h, int w, int height, int width, bool alignCorners) =>
        new OperationCheck(Backend, 3).Input(n, c, h, w).Compare(
            v => Separable(v[0], n * c, h, w, height, width, (from, to, size, length) => BilinearWeight(from, to, size, length, alignCorners)),
            t => Backend.Resize(t[0], height, width, alignCorners));

    [BackendTheory]
    [InlineData(2, 3, 6, 6, 1, 1)]
    [InlineData(2, 3, 12, 12, 6, 3)]
    [InlineData(2, 4, 7, 10, 3, 4)]
    [InlineData(1, 5, 13, 11, 6, 6)]
    [InlineData(1, 5, 2, 3, 6, 6)]
    public void Adaptive_average_pooling(int n, int c, int h, int w, int height, int width) =>
        new OperationCheck(Backend, 4).Input(n, c, h, w).Compare(
            v => Separable(v[0], n * c, h, w, height, width, MeanWeight),
            t => Backend.AdaptiveAveragePool(t[0], height, width));

    [BackendFact]
    public void Concatenation()
    {
        const int N = 3, H = 4, W = 5;
        new OperationCheck(Backend, 5).Input(N, 2, H, W).Input(N, 7, H, W).Input(N, 1, H, W).Compare(
            v => [.. Enumerable.Range(0, N).SelectMany(n => v.SelectMany(map => map.Skip(n * map.Length / N).Take(map.Length / N)))],
            t => Backend.Concatenate(t));
        using (Backend.BeginStep(training: false))
        {
            var map = Backend.CreateInput([1, 2, 3, 4], new float[24]);
            var other = Backend.CreateInput([1, 2, 4, 3], new float[24]);
            Assert.Contains("equal but for their channels", Assert.Throws<ArgumentException>(() => Backend.Concatenate([map, other])).Message);
            Assert.Contains("no map", Assert.Throws<ArgumentException>(() => Backend.Concatenate([])).Message);
            Assert.Contains("0 x 3 pixels", Assert.Throws<ArgumentException>(() => Backend.Resize(map, 0, 3, true)).Message);
        }
    }

    [BackendTheory]
    [InlineData(2, 3, 4, 5, false)]
    [InlineData(3, 7, 6, 6, true)]
    [InlineData(1, 21, 9, 8, true)]
    [InlineData(2, 2, 3, 3, false)]
    public void Cross_entropy_of_pixels(int n, int classes, int h, int w, bool weighted)
    {
        var random = new Random(8);
        byte[] labels = [.. Enumerable.Range(0, n * h * w).Select(_ => random.Next(4) == 0 ? Ignored : (byte)random.Next(classes))];
        float[] weights = weighted ? [.. Enumerable.Range(0, classes).Select(c => 0.5f + c % 3)] : [];
        new OperationCheck(Backend, 6).Input(n, classes, h, w).Compare(
            v =>
            {
                double loss = 0, total = 0;
                for (int i = 0; i < labels.Length; i++)
                {
                    if (labels[i] == Ignored)
                        continue;
                    int image = i / (h * w), pixel = i % (h * w);
                    double[] row = [.. Enumerable.Range(0, classes).Select(c => v[0][(image * classes + c) * h * w + pixel])];
                    double weight = weighted ? weights[labels[i]] : 1;
                    loss += weight * (Math.Log(row.Sum(Math.Exp)) - row[labels[i]]);
                    total += weight;
                }
                return [loss / total];
            },
            t => Backend.PixelCrossEntropy(t[0], labels, Ignored, weights));
    }

    [BackendFact]
    public void Pixels_without_labels_have_no_loss_and_no_gradient()
    {
        using (Backend.BeginStep(training: true))
        {
            var logits = Backend.CreateInput([1, 3, 2, 2], [.. Enumerable.Range(0, 12).Select(i => (float)i)], requiresGradient: true);
            byte[] labels = [Ignored, Ignored, Ignored, Ignored];
            var loss = Backend.PixelCrossEntropy(logits, labels, Ignored);
            Assert.Equal([0f], Read(loss));
            Backend.Backward(loss);
            Assert.All(Gradient(logits), value => Assert.Equal(0, value));
        }
    }

    [BackendFact]
    public void Labels_that_are_no_classes_are_refused()
    {
        using (Backend.BeginStep(training: false))
        {
            var logits = Backend.CreateInput([1, 3, 2, 2], new float[12]);
            Assert.Contains("pixel 2 is not one of the 3 classes", Assert.Throws<ArgumentOutOfRangeException>(() => Backend.PixelCrossEntropy(logits, [0, 1, 3, 255], Ignored)).Message);
            Assert.Contains("3 labels do not fit", Assert.Throws<ArgumentException>(() => Backend.PixelCrossEntropy(logits, [0, 1, 2], Ignored)).Message);
            Assert.Contains("must be another one", Assert.Throws<ArgumentException>(() => Backend.PixelCrossEntropy(logits, [0, 1, 2, 0], 2)).Message);
            Assert.Contains("2 weights do not fit", Assert.Throws<ArgumentException>(() => Backend.PixelCrossEntropy(logits, [0, 1, 2, 0], Ignored, [1, 1])).Message);
            Assert.Contains("must be a finite number", Assert.Throws<ArgumentException>(() => Backend.PixelCrossEntropy(logits, [0, 1, 2, 0], Ignored, [1, 1, -1])).Message);
        }
    }

    [BackendFact]
    public void The_confusion_matrix_counts_labelled_pixels()
    {
        const int Classes = 4, N = 3, H = 5, W = 6;
        var random = new Random(2);
        using var accumulator = Backend.CreateConfusionAccumulator(Classes, Ignored);
        var expected = new long[Classes * Classes];
        double lossSum = 0;
        for (int batch = 0; batch < 3; batch++)
        {
            float[] logits = [.. Enumerable.Range(0, N * Classes * H * W).Select(_ => (float)random.NextDouble())];
            byte[] labels = [.. Enumerable.Range(0, N * H * W).Select(_ => random.Next(5) == 0 ? Ignored : (byte)random.Next(Classes))];
            for (int i = 0; i < labels.Length; i++)
            {
                int image = i / (H * W), pixel = i % (H * W);
                if (labels[i] != Ignored)
                    expected[labels[i] * Classes + Enumerable.Range(0, Classes).MaxBy(c => logits[(image * Classes + c) * H * W + pixel])]++;
            }
            using (Backend.BeginStep(training: false))
            {
                var map = Backend.CreateInput([N, Classes, H, W], logits);
                var loss = Backend.PixelCrossEntropy(map, labels, Ignored);
                lossSum += Read(loss)[0] * (double)N;
                accumulator.Add(loss, map, labels);
            }
        }

        var totals = accumulator.ReadAndReset();
        Assert.Equal(expected, totals.Counts);
        Assert.Equal(3 * N, totals.Images);
        Assert.Equal(lossSum, totals.LossSum, 1e-5);
        Assert.All(accumulator.ReadAndReset().Counts, count => Assert.Equal(0, count));
        Assert.Contains("256 classes", Assert.Throws<ArgumentException>(() => Backend.CreateConfusionAccumulator(256, Ignored)).Message);
    }

    /// <summary>y[r, c] = sum of rowWeight(i, r) * columnWeight(j, c) * x[i, j] over all pixels.</summary>
    private static double[] Separable(double[] x, int planes, int h, int w, int height, int width, Func<int, int, int, int, double> weight)
    {
        var y = new double[planes * height * width];
        for (int k = 0; k < y.Length; k++)
        {
            int plane = k / (height * width), row = k / width % height, column = k % width;
            for (int i = 0; i < h; i++)
            {
                double ofRow = weight(i, row, h, height);
                for (int j = 0; ofRow != 0 && j < w; j++)
                    y[k] += ofRow * weight(j, column, w, width) * x[(plane * h + i) * w + j];
            }
        }
        return y;
    }

    /// <summary>The hat function around the position of an output in the inputs.</summary>
    private static double BilinearWeight(int from, int to, int size, int length, bool alignCorners)
    {
        double position = alignCorners ? length == 1 ? 0 : to * (size - 1.0) / (length - 1) : Math.Clamp((to + 0.5) * size / length - 0.5, 0, size - 1);
        return Math.Max(0, 1 - Math.Abs(position - from));
    }

    private static double MeanWeight(int from, int to, int size, int length)
    {
        int first = (int)Math.Floor((double)to * size / length), end = (int)Math.Ceiling((to + 1.0) * size / length);
        return from >= first && from < end ? 1.0 / (end - first) : 0;
    }
}
