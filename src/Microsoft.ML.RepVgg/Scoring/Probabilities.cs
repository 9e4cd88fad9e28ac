using Microsoft.ML.Data;
using RepVgg.Runtime;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>Converts logits to class probabilities and to the predicted key.</summary>
internal static class Probabilities
{
    /// <summary>Creates the getter of the Score column: the softmax of the logits.</summary>
    public static ValueGetter<VBuffer<float>> ScoreGetter(OutputOfRow logits) => (ref VBuffer<float> value) => Write(logits(), ref value);

    /// <summary>Creates a getter of the values as they are.</summary>
    public static ValueGetter<VBuffer<float>> CopyGetter(OutputOfRow values) => (ref VBuffer<float> value) =>
    {
        var output = values();
        var editor = VBufferEditor.Create(ref value, output.Length);
        output.CopyTo(editor.Values);
        value = editor.Commit();
    };

    /// <summary>Creates the getter of the PredictedLabel column: the key of the largest logit.</summary>
    public static ValueGetter<uint> PredictedKeyGetter(OutputOfRow logits) => (ref uint value) => value = PredictedKey(logits());

    /// <summary>Writes the softmax of the logits, exp(x[i] - max) / sum(exp(x - max)).</summary>
    public static void Write(ReadOnlySpan<float> logits, ref VBuffer<float> score)
    {
        var editor = VBufferEditor.Create(ref score, logits.Length);
        Softmax(logits, editor.Values);
        score = editor.Commit();
    }

    /// <summary>Computes the softmax of the logits. Both spans can be the same.</summary>
    public static void Softmax(ReadOnlySpan<float> logits, Span<float> probabilities)
    {
        float maximum = logits[Logits.IndexOfMax(logits)];
        double sum = 0;
        for (int i = 0; i < logits.Length; i++)
        {
            float value = MathF.Exp(logits[i] - maximum);
            probabilities[i] = value;
            sum += value;
        }
        float scale = (float)(1 / sum);
        for (int i = 0; i < logits.Length; i++)
            probabilities[i] *= scale;
    }

    /// <summary>Computes the softmax of the logits times a factor, in double precision.</summary>
    public static float[] Of(ReadOnlySpan<float> logits, double factor)
    {
        double[] values = new double[logits.Length];
        float maximum = logits[Logits.IndexOfMax(logits)];
        double sum = 0;
        for (int i = 0; i < values.Length; i++)
            sum += values[i] = Math.Exp(factor * (logits[i] - (double)maximum));
        return Array.ConvertAll(values, value => (float)(value / sum));
    }

    /// <summary>Returns the key, from 1, of the largest logit; the first one of several equal logits. If the logits are not numbers, as for an invalid row, the key is 0, the missing key.</summary>
    public static uint PredictedKey(ReadOnlySpan<float> logits)
    {
        int best = Logits.IndexOfMax(logits);
        return float.IsNaN(logits[best]) ? 0 : (uint)best + 1;
    }
}
