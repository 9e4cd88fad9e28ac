using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Testing;

/// <summary>The PSPNet by its definition, in double precision: the maps are resized and concatenated, and the head convolves all of them.</summary>
internal static class ReferenceSegmentation
{
    /// <summary>The logits of every pixel, [images, classes, H, W].</summary>
    public static float[] Logits(SegmentationNetwork network, ReadOnlySpan<float> images, int count)
    {
        var logits = new List<float>();
        int length = images.Length / count;
        for (int n = 0; n < count; n++)
            logits.AddRange(Image(network, images.Slice(n * length, length)).Select(value => (float)value));
        return [.. logits];
    }

    /// <summary>The class with the largest logit of every pixel, and whether another class has nearly the same logit.</summary>
    public static (byte Class, bool IsClose)[] Classes(float[] logits, int classes, int area, double margin = 1e-4)
    {
        double scale = logits.Max(Math.Abs);
        return [.. Enumerable.Range(0, logits.Length / classes).Select(pixel =>
        {
            var (image, at) = Math.DivRem(pixel, area);
            var order = Enumerable.Range(0, classes).OrderByDescending(c => logits[(image * classes + c) * area + at]).ToArray();
            return ((byte)order[0], classes > 1 && logits[(image * classes + order[0]) * area + at] - logits[(image * classes + order[1]) * area + at] < margin * scale);
        })];
    }

    private static double[] Image(SegmentationNetwork network, ReadOnlySpan<float> image)
    {
        var architecture = network.Architecture;
        var (height, width) = architecture.MapSize(network.ImageHeight, network.ImageWidth);
        double[] map = [.. ReferenceNetwork.Outputs(network.Backbone, image, 1).Select(value => (double)value)];
        var all = new List<double>(map);
        foreach (var (bin, branch) in architecture.Bins.Zip(network.Branches))
        {
            double[] averages = Resample(map, height, width, bin, bin, MeanWeight), reduced = Pointwise(branch, averages, bin * bin);
            for (int i = 0; i < reduced.Length; i++)
                reduced[i] = Math.Max(0, reduced[i]);
            all.AddRange(Resample(reduced, bin, bin, height, width, Bilinear));
        }
        double[] head = ReferenceNetwork.Block(network.Head, [.. all], height, width);
        return Resample(Pointwise(network.Classifier, head, height * width), height, width, network.ImageHeight, network.ImageWidth, Bilinear);

        double Bilinear(int from, int to, int size, int length)
        {
            double position = architecture.AlignCorners ? length == 1 ? 0 : to * (size - 1.0) / (length - 1) : Math.Clamp((to + 0.5) * size / length - 0.5, 0, size - 1);
            return Math.Max(0, 1 - Math.Abs(position - from));
        }
    }

    private static double MeanWeight(int from, int to, int size, int length)
    {
        int first = to * size / length, end = ((to + 1) * size + length - 1) / length;
        return from >= first && from < end ? 1.0 / (end - first) : 0;
    }

    private static double[] Pointwise(LinearWeights layer, double[] maps, int area)
    {
        var output = new double[layer.OutputFeatures * area];
        for (int o = 0; o < layer.OutputFeatures; o++)
        {
            for (int pixel = 0; pixel < area; pixel++)
            {
                double sum = layer.Bias[o];
                for (int i = 0; i < layer.InputFeatures; i++)
                    sum += layer.Weight[o * layer.InputFeatures + i] * maps[i * area + pixel];
                output[o * area + pixel] = sum;
            }
        }
        return output;
    }

    private static double[] Resample(double[] maps, int h, int w, int height, int width, Func<int, int, int, int, double> weight)
    {
        int planes = maps.Length / (h * w);
        double[,] rows = Matrix(h, height), columns = Matrix(w, width);
        var output = new double[planes * height * width];
        Parallel.For(0, planes, plane =>
        {
            var half = new double[height, w];
            for (int y = 0; y < height; y++)
            {
                for (int i = 0; i < h; i++)
                {
                    for (int x = 0; rows[y, i] != 0 && x < w; x++)
                        half[y, x] += rows[y, i] * maps[(plane * h + i) * w + x];
                }
                for (int x = 0; x < width; x++)
                {
                    for (int j = 0; j < w; j++)
                        output[(plane * height + y) * width + x] += columns[x, j] * half[y, j];
                }
            }
        });
        return output;

        double[,] Matrix(int from, int to)
        {
            var matrix = new double[to, from];
            for (int y = 0; y < to; y++)
            {
                for (int i = 0; i < from; i++)
                    matrix[y, i] = weight(i, y, from, to);
            }
            return matrix;
        }
    }
}

/// <summary>PSPNets with random weights.</summary>
internal static class RandomSegmentation
{
    /// <summary>A PSPNet on a small backbone of five stages.</summary>
    public static PspNetArchitecture Architecture(int classes, int width = 16, params int[] bins) => PspNetArchitecture.Create(
        RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 2), (width, 1, 2), (width, 2, 2), (2 * width, 2, 2), (3 * width, 1, 2)), classes) with
        {
            Bins = [.. bins],
            HeadWidth = 2 * width + 5,
            AuxiliaryWidth = 12,
        };

    public static StateDict Training(PspNetArchitecture architecture, int seed = 1) => RandomStates.Fill(PspNetLayout.Training(architecture), seed);

    public static SegmentationNetwork Create(PspNetArchitecture architecture, int height, int width, int seed = 1) =>
        SegmentationNetwork.FromTrainingForm(architecture, Training(architecture, seed), height, width, new Normalization([120, 110, 100], [0.02f, 0.021f, 0.019f]));
}
