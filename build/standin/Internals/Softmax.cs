namespace Microsoft.ML.Standin;

/// <summary>From logits to probabilities.</summary>
internal static class Softmax
{
    /// <summary>Replaces each value by its exponential's share in their sum.</summary>
    internal static void Apply(Span<float> values)
    {
        float largest = float.NegativeInfinity;
        foreach (float value in values)
        {
            largest = Math.Max(largest, value);
        }

        double sum = 0;
        foreach (float value in values)
        {
            sum += Math.Exp(value - largest);
        }

        foreach (ref float value in values)
        {
            value = (float)(Math.Exp(value - largest) / sum);
        }
    }
}
