using Microsoft.ML.Data;
using static Microsoft.ML.Transforms.Image.ImagePixelExtractingEstimator;

namespace Microsoft.ML.Standin.Images;

/// <summary>How pixels lie in a vector: which channels, in which order, interleaved or plane by plane, and as what numbers.</summary>
internal sealed class PixelLayout
{
    internal PixelLayout(ColorBits colors, ColorsOrder order, bool interleaved, float offset, float scale, bool floats, string colorsParameter)
    {
        Check.Param((colors & ColorBits.All) != 0, colorsParameter, "Need to use at least one color plane.");
        Check.Param(Enum.IsDefined(order), nameof(order), "Not an order of colors.");
        Colors = colors;
        Order = order;
        Interleaved = interleaved;
        Floats = floats;
        Offset = floats ? offset : 0;
        Scale = floats ? scale : 1;
        Check.Param(float.IsFinite(Offset), "offsetImage", "The offset must be finite.");
        Check.Param(float.IsFinite(Scale) && Scale != 0, "scaleImage", "The scale must be finite and not zero.");

        // The names of the orders spell them.
        Channels = [.. order.ToString().Select(ChannelOf).Where(channel => (colors & channel) != 0)];
    }

    internal ColorBits Colors { get; }

    internal ColorsOrder Order { get; }

    internal bool Interleaved { get; }

    internal float Offset { get; }

    internal float Scale { get; }

    internal bool Floats { get; }

    /// <summary>The channels in the order in which they lie in the vector.</summary>
    internal ColorBits[] Channels { get; }

    internal NumberDataViewType ItemType => Floats ? NumberDataViewType.Single : NumberDataViewType.Byte;

    internal static PixelLayout Load(BinaryReader reader) =>
        new((ColorBits)reader.ReadByte(), (ColorsOrder)reader.ReadByte(), reader.ReadBoolean(), reader.ReadSingle(), reader.ReadSingle(),
            reader.ReadBoolean(), "colors");

    internal void Save(BinaryWriter writer)
    {
        writer.Write((byte)Colors);
        writer.Write((byte)Order);
        writer.Write(Interleaved);
        writer.Write(Offset);
        writer.Write(Scale);
        writer.Write(Floats);
    }

    /// <summary>The vector type of images of one size.</summary>
    internal VectorDataViewType VectorType(int height, int width) => Interleaved
        ? new VectorDataViewType(ItemType, height, width, Channels.Length)
        : new VectorDataViewType(ItemType, Channels.Length, height, width);

    /// <summary>Where channel number <paramref name="channel"/> of pixel 0 lies, and how far apart pixels are.</summary>
    internal (int Start, int Step) Place(int channel, int pixels) => Interleaved ? (channel, Channels.Length) : (channel * pixels, 1);

    /// <summary>Where a channel lies within the four bytes of a pixel.</summary>
    internal static int ByteOf(ColorBits channel, MLPixelFormat format) => channel switch
    {
        ColorBits.Alpha => 3,
        ColorBits.Green => 1,
        ColorBits.Red => format == MLPixelFormat.Bgra32 ? 2 : 0,
        _ => format == MLPixelFormat.Bgra32 ? 0 : 2,
    };

    private static ColorBits ChannelOf(char letter) => letter switch
    {
        'A' => ColorBits.Alpha,
        'R' => ColorBits.Red,
        'G' => ColorBits.Green,
        _ => ColorBits.Blue,
    };
}
