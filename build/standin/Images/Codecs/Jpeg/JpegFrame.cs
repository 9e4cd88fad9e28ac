#nullable enable
using System.Buffers.Binary;

namespace Microsoft.ML.Standin.Images;

/// <summary>A JPEG frame header (ITU-T T.81, B.2.2): size, components and how they are sampled.</summary>
internal sealed class JpegFrame
{
    public JpegFrame(ReadOnlySpan<byte> segment, bool progressive, int fileLength)
    {
        if (segment.Length < 6 || segment.Length != 6 + 3 * segment[5])
            throw new ImageFormatException("The JPEG frame header has a wrong length.");
        if (segment[0] != 8)
            throw new ImageFormatException($"A JPEG image with {segment[0]} bits a sample cannot be decoded.");
        Progressive = progressive;
        Height = BinaryPrimitives.ReadUInt16BigEndian(segment[1..]);
        Width = BinaryPrimitives.ReadUInt16BigEndian(segment[3..]);
        DecodedImage.CheckSize(Width, Height);
        if (segment[5] is not (1 or 3 or 4))
            throw new ImageFormatException($"A JPEG image with {segment[5]} components cannot be decoded.");
        Components = new JpegComponent[segment[5]];
        for (int i = 0; i < Components.Length; i++)
        {
            var part = segment.Slice(6 + 3 * i, 3);
            int horizontal = part[1] >> 4, vertical = part[1] & 15;
            if (horizontal is < 1 or > 4 || vertical is < 1 or > 4 || part[2] > 3)
                throw new ImageFormatException("A JPEG component has a wrong sampling factor or table.");
            Components[i] = new JpegComponent(part[0], horizontal, vertical, part[2]);
            MaxHorizontal = Math.Max(MaxHorizontal, horizontal);
            MaxVertical = Math.Max(MaxVertical, vertical);
        }
        Lay(fileLength);
    }

    public bool Progressive { get; }

    public int Width { get; }

    public int Height { get; }

    public JpegComponent[] Components { get; }

    public int MaxHorizontal { get; }

    public int MaxVertical { get; }

    public int McusWide { get; private set; }

    public int McusHigh { get; private set; }

    private void Lay(int fileLength)
    {
        McusWide = Ceiling(Width, 8 * MaxHorizontal);
        McusHigh = Ceiling(Height, 8 * MaxVertical);
        long blocks = 0;
        foreach (JpegComponent c in Components)
        {
            if (MaxHorizontal % c.Horizontal != 0 || MaxVertical % c.Vertical != 0)
                throw new ImageFormatException("A JPEG image with fractional subsampling cannot be decoded.");
            int width = Ceiling(Width * c.Horizontal, MaxHorizontal), height = Ceiling(Height * c.Vertical, MaxVertical);
            c.SetSize(width, height, McusWide, McusHigh);
            blocks += (long)c.BlocksWide * c.BlocksHigh;
        }
        // Every block takes at least one bit of its DC value's code, so a short file cannot be a huge image.
        if (blocks > 8L * fileLength)
            throw new ImageFormatException("The JPEG file has too little data for its size.");
        foreach (JpegComponent c in Components)
            c.Allocate();
    }

    private static int Ceiling(int a, int b) => (a + b - 1) / b;
}
