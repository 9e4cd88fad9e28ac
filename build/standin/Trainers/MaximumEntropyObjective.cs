namespace Microsoft.ML.Trainers;

/// <summary>
/// What maximum entropy training minimises:
/// (sum of weight * -log softmax(W x + b)[label] + l2 / 2 * |W|^2) / sum of weight. Biases are not penalised.
/// </summary>
/// <remarks>
/// Parameters are one row of class weights per feature, then the row of biases. Rows of data are summed in blocks that
/// do not depend on the number of threads, so neither do the results.
/// </remarks>
/// <param name="rows">The training rows.</param>
/// <param name="classes">Number of classes.</param>
/// <param name="l2">Weight of the squared norm.</param>
/// <param name="threads">Threads to use at most.</param>
internal sealed class MaximumEntropyObjective(SparseRows rows, int classes, double l2, int threads)
{
    private const int RowsPerBlock = 256;
    private const int MaximumBlocks = 16;
    private const int MaximumBlockValues = 1 << 24;

    private double[][] _blockGradients;

    /// <summary>Number of parameters.</summary>
    public int ParameterCount => (rows.FeatureCount + 1) * classes;

    /// <summary>Number of parameters that are weights; the biases follow them.</summary>
    public int WeightCount => rows.FeatureCount * classes;

    /// <summary>The objective and its gradient.</summary>
    public double Evaluate(double[] parameters, double[] gradient)
    {
        int blocks = Math.Clamp(rows.Count / RowsPerBlock, 1, MaximumBlocks);
        blocks = Math.Max(1, Math.Min(blocks, MaximumBlockValues / ParameterCount));
        _blockGradients ??= [.. Enumerable.Range(0, blocks).Select(_ => new double[ParameterCount])];
        double[] losses = new double[blocks];
        if (threads > 1 && blocks > 1)
        {
            Parallel.For(0, blocks, new ParallelOptions { MaxDegreeOfParallelism = threads }, Block);
        }
        else
        {
            for (int block = 0; block < blocks; block++)
            {
                Block(block);
            }
        }

        double loss = losses[0];
        _blockGradients[0].CopyTo(gradient, 0);
        for (int block = 1; block < blocks; block++)
        {
            loss += losses[block];
            Vectors.AddScaled(gradient, 1, _blockGradients[block], gradient);
        }

        ReadOnlySpan<double> weights = parameters.AsSpan(0, WeightCount);
        loss += l2 / 2 * Vectors.Dot(weights, weights);
        Vectors.AddScaled(gradient.AsSpan(0, WeightCount), l2, weights, gradient.AsSpan(0, WeightCount));
        double scale = 1 / rows.WeightSum;
        for (int i = 0; i < gradient.Length; i++)
        {
            gradient[i] *= scale;
        }

        return loss * scale;

        void Block(int block)
        {
            int from = (int)((long)rows.Count * block / blocks);
            int to = (int)((long)rows.Count * (block + 1) / blocks);
            losses[block] = Accumulate(parameters, from, to, _blockGradients[block]);
        }
    }

    private double Accumulate(double[] parameters, int from, int to, double[] gradient)
    {
        Array.Clear(gradient);
        double[] scores = new double[classes];
        double loss = 0;
        for (int row = from; row < to; row++)
        {
            parameters.AsSpan(WeightCount, classes).CopyTo(scores);
            ReadOnlySpan<int> indices = rows.Indices(row);
            ReadOnlySpan<float> values = rows.Values(row);
            for (int i = 0; i < indices.Length; i++)
            {
                Vectors.AddScaled(scores, values[i], parameters.AsSpan(indices[i] * classes, classes), scores);
            }

            int label = rows.Label(row);
            double weight = rows.Weight(row);
            double logSum = LogSumOfExponentials(scores);
            loss += weight * (logSum - scores[label]);
            for (int c = 0; c < classes; c++)
            {
                scores[c] = weight * (Math.Exp(scores[c] - logSum) - (c == label ? 1 : 0));
            }

            for (int i = 0; i < indices.Length; i++)
            {
                Span<double> target = gradient.AsSpan(indices[i] * classes, classes);
                Vectors.AddScaled(target, values[i], scores, target);
            }

            Vectors.AddScaled(gradient.AsSpan(WeightCount, classes), 1, scores, gradient.AsSpan(WeightCount, classes));
        }

        return loss;
    }

    private static double LogSumOfExponentials(double[] scores)
    {
        double largest = scores.Max();
        double sum = 0;
        foreach (double score in scores)
        {
            sum += Math.Exp(score - largest);
        }

        return largest + Math.Log(sum);
    }
}
