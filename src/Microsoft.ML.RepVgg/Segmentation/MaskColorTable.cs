using System.Drawing;

namespace Microsoft.ML.RepVgg.Segmentation;

/// <summary>The labels of colours, without their alpha values.</summary>
internal static class MaskColorTable
{
    private const int WithoutAlpha = 0xFFFFFF;

    /// <summary>Creates the table.</summary>
    /// <param name="colors">The label of each colour.</param>
    /// <returns>The labels by colours 0xRRGGBB.</returns>
    /// <exception cref="ArgumentException">A colour occurs twice with different labels.</exception>
    public static Dictionary<int, byte> Create(IReadOnlyDictionary<Color, byte> colors)
    {
        var labels = new Dictionary<int, byte>();
        foreach (var (color, label) in colors)
        {
            // Named colours are not equal to those of the same values.
            if (!labels.TryAdd(color.ToArgb() & WithoutAlpha, label) && labels[color.ToArgb() & WithoutAlpha] != label)
                throw new ArgumentException($"MaskColors has two labels for the colour ({color.R}, {color.G}, {color.B}): {labels[color.ToArgb() & WithoutAlpha]} and {label}.");
        }
        return labels;
    }

    /// <summary>Checks colours.</summary>
    /// <param name="colors">The label of each colour; null for none.</param>
    /// <exception cref="ArgumentException">There is no colour, or one occurs twice with different labels.</exception>
    public static void Check(IReadOnlyDictionary<Color, byte>? colors)
    {
        if (colors is null)
            return;
        if (colors.Count == 0)
            throw new ArgumentException("MaskColors has no colour. Leave it out for masks whose values are the labels.");
        Create(colors);
    }
}
