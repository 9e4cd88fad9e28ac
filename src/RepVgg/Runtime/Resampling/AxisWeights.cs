namespace RepVgg.Runtime.Resampling;

/// <summary>A linear map along one axis of a map: each output is a weighted sum of consecutive inputs. Resizing and adaptive pooling of maps are such a map of the rows and one of the columns.</summary>
internal sealed class AxisWeights
{
    private readonly int[] _first;
    private readonly float[][] _weights;

    private AxisWeights(int inputs, int[] first, float[][] weights) => (Inputs, _first, _weights) = (inputs, first, weights);

    /// <summary>Number of inputs.</summary>
    public int Inputs { get; }

    /// <summary>Number of outputs.</summary>
    public int Outputs => _first.Length;

    /// <summary>The first input of an output.</summary>
    public int First(int output) => _first[output];

    /// <summary>The weights of the inputs of an output, from the first one on.</summary>
    public ReadOnlySpan<float> Weights(int output) => _weights[output];

    /// <summary>Bilinear interpolation, as torch.nn.functional.interpolate computes it.</summary>
    /// <param name="inputs">Number of inputs.</param>
    /// <param name="outputs">Number of outputs.</param>
    /// <param name="alignCorners">True if the middles of the first and last inputs and outputs coincide; false if their outer edges do.</param>
    public static AxisWeights Bilinear(int inputs, int outputs, bool alignCorners)
    {
        var first = new int[outputs];
        var weights = new float[outputs][];
        for (int i = 0; i < outputs; i++)
        {
            double position = alignCorners
                ? outputs > 1 ? (double)i * (inputs - 1) / (outputs - 1) : 0
                : Math.Max(0, (i + 0.5) * inputs / outputs - 0.5);
            first[i] = Math.Min((int)position, inputs - 1);
            float share = (float)(position - first[i]);
            weights[i] = first[i] + 1 < inputs && share > 0 ? [1 - share, share] : [1];
        }
        return new AxisWeights(inputs, first, weights);
    }

    /// <summary>The means of <paramref name="outputs"/> ranges, as torch.nn.AdaptiveAvgPool2d computes them: output i is the mean of the inputs from floor(i * inputs / outputs) to before ceil((i + 1) * inputs / outputs).</summary>
    public static AxisWeights AdaptiveMean(int inputs, int outputs)
    {
        var first = new int[outputs];
        var weights = new float[outputs][];
        for (int i = 0; i < outputs; i++)
        {
            first[i] = (int)((long)i * inputs / outputs);
            int end = (int)(((i + 1L) * inputs + outputs - 1) / outputs);
            weights[i] = new float[end - first[i]];
            Array.Fill(weights[i], 1f / weights[i].Length);
        }
        return new AxisWeights(inputs, first, weights);
    }

    /// <summary>The transposed map, which computes the gradient of the inputs from that of the outputs.</summary>
    public AxisWeights Transposed()
    {
        var first = new int[Inputs];
        var weights = new float[Inputs][];
        for (int input = 0; input < Inputs; input++)
        {
            int[] users = [.. Enumerable.Range(0, Outputs).Where(output => input >= _first[output] && input < _first[output] + _weights[output].Length)];
            if (users.Length == 0)
            {
                weights[input] = [];
                continue;
            }
            first[input] = users[0];
            weights[input] = new float[users[^1] - users[0] + 1];
            foreach (int output in users)
                weights[input][output - users[0]] = _weights[output][input - _first[output]];
        }
        return new AxisWeights(Outputs, first, weights);
    }
}
