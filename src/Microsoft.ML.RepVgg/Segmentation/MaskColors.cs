using System.Drawing;

namespace Microsoft.ML.RepVgg.Segmentation;

/// <summary>Colours of classes in drawings of masks.</summary>
internal static class MaskColors
{
    /// <summary>The names of the classes of Cityscapes, in the order of its training labels.</summary>
    public static IReadOnlyList<string> CityscapesNames { get; } =
    [
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ];

    /// <summary>The colours of the classes of Cityscapes.</summary>
    public static IReadOnlyList<Color> Cityscapes { get; } =
    [
        .. ((int[])
        [
            0x804080, 0xF423E8, 0x464646, 0x66669C, 0xBE9999, 0x999999, 0xFAAA1E, 0xDCDC00, 0x6B8E23, 0x98FB98, 0x4682B4, 0xDC143C, 0xFF0000, 0x00008E, 0x000046, 0x003C64, 0x005064, 0x0000E6, 0x770B20,
        ]).Select(rgb => Color.FromArgb(rgb >> 16, rgb >> 8 & byte.MaxValue, rgb & byte.MaxValue)),
    ];

    /// <summary>Gets colours for classes that have none: those of PASCAL VOC, whose bits are distributed over the channels from the highest one.</summary>
    /// <param name="classes">Number of classes.</param>
    public static Color[] Create(int classes)
    {
        const int Bits = 8, Channels = 3;
        return [.. Enumerable.Range(0, classes).Select(label =>
        {
            Span<int> channels = stackalloc int[Channels];
            for (int bit = 0; bit < Bits; bit++)
            {
                for (int c = 0; c < Channels; c++)
                    channels[c] |= (label >> (Channels * bit + c) & 1) << (Bits - 1 - bit);
            }
            return Color.FromArgb(channels[0], channels[1], channels[2]);
        })];
    }

    /// <summary>Gets a colour for each of some classes: the given ones, and then others.</summary>
    public static Color[] Complete(IReadOnlyList<Color>? colors, int classes)
    {
        var all = Create(classes);
        for (int label = 0; label < Math.Min(classes, colors?.Count ?? 0); label++)
            all[label] = colors![label];
        return all;
    }
}
