namespace Microsoft.ML.RepVgg.Explanation;

/// <summary>Interpolates a map between its cells, bilinearly. Outside the outermost cells, it has their values.</summary>
/// <param name="values">The values, row by row.</param>
/// <param name="width">Number of columns.</param>
internal readonly ref struct BilinearMap(ReadOnlySpan<float> values, int width)
{
    private readonly ReadOnlySpan<float> _values = values;

    /// <summary>Gets the values at positions of one row.</summary>
    /// <param name="row">The row, with a fraction; NaN for no value.</param>
    /// <param name="columns">The columns, with fractions; NaN for no value.</param>
    /// <param name="result">Receives the values; NaN where there is none.</param>
    public void ReadRow(double row, ReadOnlySpan<double> columns, Span<float> result)
    {
        if (double.IsNaN(row))
        {
            result.Fill(float.NaN);
            return;
        }
        var (top, bottom, down) = Neighbours(row, _values.Length / width);
        var upper = _values.Slice(top * width, width);
        var lower = _values.Slice(bottom * width, width);
        for (int i = 0; i < result.Length; i++)
        {
            if (double.IsNaN(columns[i]))
            {
                result[i] = float.NaN;
                continue;
            }
            var (left, right, across) = Neighbours(columns[i], width);
            double above = upper[left] + across * (upper[right] - upper[left]), below = lower[left] + across * (lower[right] - lower[left]);
            result[i] = (float)(above + down * (below - above));
        }
    }

    /// <summary>Gets the two cells around a position, and the weight of the second one.</summary>
    private static (int First, int Second, double Weight) Neighbours(double position, int count)
    {
        position = Math.Clamp(position, 0, count - 1);
        int first = (int)position;
        return (first, Math.Min(first + 1, count - 1), position - first);
    }
}
