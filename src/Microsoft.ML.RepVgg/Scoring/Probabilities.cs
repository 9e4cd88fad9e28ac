using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>From logits to what ML.NET's users read.</summary>
internal static class Probabilities
{
    /// <summary>Getter of the probabilities.</summary>
    public static ValueGetter<VBuffer<float>> ScoreGetter(OutputOfRow logits) => (ref VBuffer<float> value) => Write(logits(), ref value);

    /// <summary>Getter of the predicted key.</summary>
    public static ValueGetter<uint> PredictedKeyGetter(OutputOfRow logits) => (ref uint value) => value = PredictedKey(logits());

    /// <summary>Softmax of the logits.</summary>
    public static void Write(ReadOnlySpan<float> logits, ref VBuffer<float> score)
    {
        var editor = VBufferEditor.Create(ref score, logits.Length);
        float maximum = logits[ArgMax(logits)];
        double sum = 0;
        for (int i = 0; i < logits.Length; i++)
        {
            float value = MathF.Exp(logits[i] - maximum);
            editor.Values[i] = value;
            sum += value;
        }
        float scale = (float)(1 / sum);
        for (int i = 0; i < logits.Length; i++)
            editor.Values[i] *= scale;
        score = editor.Commit();
    }

    /// <summary>The key of the largest logit, from 1; the first of equal ones.</summary>
    public static uint PredictedKey(ReadOnlySpan<float> logits) => (uint)ArgMax(logits) + 1;

    private static int ArgMax(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
        {
            if (values[i] > values[best])
                best = i;
        }
        return best;
    }
}
