namespace Microsoft.ML.RepVgg.Explanation;

/// <summary>The colour map viridis, from dark violet over green to yellow. Equal steps of the value are about equal steps of the perceived lightness.</summary>
/// <remarks>By Nathaniel J. Smith and Stéfan van der Walt for matplotlib, dedicated to the public domain (CC0). The colours between the nine of the table are interpolated.</remarks>
internal static class Viridis
{
    private static ReadOnlySpan<byte> Table =>
    [
        0x44, 0x01, 0x54,
        0x47, 0x2D, 0x7B,
        0x3B, 0x52, 0x8B,
        0x2C, 0x72, 0x8E,
        0x21, 0x90, 0x8C,
        0x27, 0xAD, 0x81,
        0x5D, 0xC8, 0x63,
        0xAA, 0xDC, 0x32,
        0xFD, 0xE7, 0x25,
    ];

    /// <summary>Gets a colour, of components from 0 to 255.</summary>
    /// <param name="value">The value, from 0 to 1.</param>
    public static (float Red, float Green, float Blue) Colour(float value)
    {
        int steps = Table.Length / 3 - 1;
        float position = Math.Clamp(value, 0, 1) * steps;
        int first = Math.Min((int)position, steps - 1);
        float weight = position - first;
        return (Component(0), Component(1), Component(2));

        float Component(int index)
        {
            float low = Table[3 * first + index], high = Table[3 * first + 3 + index];
            return low + weight * (high - low);
        }
    }
}
