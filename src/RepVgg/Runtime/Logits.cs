namespace RepVgg.Runtime;

/// <summary>What is computed from the logits of an image.</summary>
internal static class Logits
{
    /// <summary>Returns the index of the largest value, the predicted class; the first one of several equal values.</summary>
    public static int IndexOfMax(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best])
                best = i;
        }
        return best;
    }

    /// <summary>Returns the number of classes that are predicted before a class: those with a larger value, or with an equal one and a smaller index. It is 0 for the predicted class.</summary>
    public static int Rank(ReadOnlySpan<float> logits, int label)
    {
        int rank = 0;
        for (int i = 0; i < logits.Length; i++)
        {
            if (logits[i] > logits[label] || logits[i] == logits[label] && i < label)
                rank++;
        }
        return rank;
    }
}
