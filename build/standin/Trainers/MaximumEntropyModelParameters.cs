using System.Numerics;
using System.Runtime.InteropServices;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Trainers;

/// <summary>What a trainer learns.</summary>
public abstract class ModelParametersBase<TOutput> : ICanSaveModel
{
    private protected ModelParametersBase()
    {
    }

    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        Check.NotNull(ctx, nameof(ctx));
        SaveModel(ctx);
    }

    private protected abstract void SaveModel(ModelSaveContext ctx);
}

/// <summary>One linear function of the features per class.</summary>
public abstract class LinearMulticlassModelParametersBase : ModelParametersBase<VBuffer<float>>, IMulticlassModel
{
    private readonly float[][] _weights;
    private readonly float[] _biases;

    private protected LinearMulticlassModelParametersBase(float[][] weights, float[] biases)
    {
        _weights = weights;
        _biases = biases;
    }

    int IMulticlassModel.FeatureCount => _weights[0].Length;

    int IMulticlassModel.ClassCount => _biases.Length;

    public IEnumerable<float> GetBiases() => [.. _biases];

    /// <summary>The weights, one vector per class.</summary>
    public void GetWeights(ref VBuffer<float>[] weights, out int numClasses)
    {
        numClasses = _biases.Length;
        if (weights is null || weights.Length < numClasses)
        {
            Array.Resize(ref weights, numClasses);
        }

        for (int i = 0; i < numClasses; i++)
        {
            weights[i] = new VBuffer<float>(_weights[i].Length, [.. _weights[i]]);
        }
    }

    void IMulticlassModel.Score(in VBuffer<float> features, Span<float> scores)
    {
        if (features.Length != _weights[0].Length)
        {
            throw new InvalidOperationException("src length should equal the number of features");
        }

        for (int i = 0; i < scores.Length; i++)
        {
            scores[i] = _biases[i] + Dot(_weights[i], in features);
        }

        Calibrate(scores);
    }

    /// <summary>Turns the linear functions' values into scores.</summary>
    private protected abstract void Calibrate(Span<float> scores);

    private protected void WriteTo(BinaryWriter writer)
    {
        writer.Write(_weights[0].Length);
        writer.Write(_biases.Length);
        foreach (float[] row in _weights.Append(_biases))
        {
            writer.Write(MemoryMarshal.AsBytes<float>(row));
        }
    }

    private protected static (float[][] Weights, float[] Biases) ReadFrom(BinaryReader reader)
    {
        int features = reader.ReadInt32();
        int classes = reader.ReadInt32();
        if (features < 1 || classes < 1)
        {
            throw new FormatException($"Corrupt model file: a linear model of {features} features and {classes} classes.");
        }

        return ([.. Enumerable.Range(0, classes).Select(_ => Row(features))], Row(classes));

        float[] Row(int length)
        {
            float[] row = new float[length];
            reader.BaseStream.ReadExactly(MemoryMarshal.AsBytes(row.AsSpan()));
            return row;
        }
    }

    private protected void CopyTo(double[] parameters)
    {
        for (int c = 0; c < _biases.Length; c++)
        {
            for (int feature = 0; feature <= _weights[c].Length; feature++)
            {
                parameters[(feature * _biases.Length) + c] = feature < _weights[c].Length ? _weights[c][feature] : _biases[c];
            }
        }
    }

    private static float Dot(float[] weights, in VBuffer<float> features)
    {
        ReadOnlySpan<float> values = features.GetValues();
        float sum = 0;
        if (!features.IsDense)
        {
            ReadOnlySpan<int> indices = features.GetIndices();
            for (int i = 0; i < indices.Length; i++)
            {
                sum += values[i] * weights[indices[i]];
            }

            return sum;
        }

        ReadOnlySpan<Vector<float>> wideWeights = MemoryMarshal.Cast<float, Vector<float>>(weights);
        ReadOnlySpan<Vector<float>> wideValues = MemoryMarshal.Cast<float, Vector<float>>(values);
        Vector<float> sums = Vector<float>.Zero;
        for (int i = 0; i < wideWeights.Length; i++)
        {
            sums += wideWeights[i] * wideValues[i];
        }

        for (int i = wideWeights.Length * Vector<float>.Count; i < weights.Length; i++)
        {
            sum += values[i] * weights[i];
        }

        return sum + Vector.Sum(sums);
    }
}

/// <summary>Multinomial logistic regression: the softmax of one linear function per class.</summary>
public sealed class MaximumEntropyModelParameters : LinearMulticlassModelParametersBase
{
    private const string LoaderName = "MultiClassLRExec";

    /// <summary>From the trainer's parameters: a row of class weights per feature, then the biases.</summary>
    internal MaximumEntropyModelParameters(double[] parameters, int features, int classes)
        : base(
            [.. Enumerable.Range(0, classes).Select(c => Column(parameters, c, classes, features))],
            [.. parameters.TakeLast(classes).Select(value => (float)value)])
    {
    }

    private MaximumEntropyModelParameters((float[][] Weights, float[] Biases) parts)
        : base(parts.Weights, parts.Biases)
    {
    }

    /// <summary>The reverse of the constructor; the numbers of features and classes must be this model's.</summary>
    internal void CopyTo(double[] parameters, int features, int classes)
    {
        if (((IMulticlassModel)this).FeatureCount != features || ((IMulticlassModel)this).ClassCount != classes)
        {
            throw new InvalidOperationException(
                "The input training data must have the same features used to train the input predictor.");
        }

        CopyTo(parameters);
    }

    [ModelLoader(LoaderName)]
    internal static object Load(IHostEnvironment environment, ModelLoadContext context) =>
        new MaximumEntropyModelParameters(ReadFrom(context.Reader));

    private protected override void SaveModel(ModelSaveContext ctx)
    {
        ctx.Begin(LoaderName);
        WriteTo(ctx.Writer);
    }

    private protected override void Calibrate(Span<float> scores) => Softmax.Apply(scores);

    private static float[] Column(double[] parameters, int column, int width, int rows) =>
        [.. Enumerable.Range(0, rows).Select(row => (float)parameters[(row * width) + column])];
}
