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
}
