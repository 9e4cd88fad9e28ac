#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>The colour models of JPEG images.</summary>
internal enum JpegColorModel
{
    Gray,
    Rgb,

    /// <summary>Luminance and two colour differences (JFIF 1.02, ITU-R BT.601, full range).</summary>
    YCbCr,

    /// <summary>Four inks, stored inverted (255 is no ink), as Adobe's programs do.</summary>
    Cmyk,

    /// <summary>Four inks, the first three as luminance and colour differences.</summary>
    Ycck,
}

/// <summary>Turns rows of full-size components into pixels.</summary>
internal static class JpegColors
{
    // The conversion's factors with 16 fractional bits.
    private const int CrRed = 91881, CbGreen = 22554, CrGreen = 46802, CbBlue = 116130, Half = 1 << 15;

    public static void WriteRow(JpegColorModel model, byte[][] rows, int width, Span<byte> output)
    {
        for (int x = 0; x < width; x++)
        {
            int red = rows[0][x], green = red, blue = red;
            if (model != JpegColorModel.Gray)
                (green, blue) = (rows[1][x], rows[2][x]);
            if (model is JpegColorModel.YCbCr or JpegColorModel.Ycck)
            {
                int light = red, cb = green - 128, cr = blue - 128;
                red = Math.Clamp(light + ((CrRed * cr + Half) >> 16), 0, 255);
                green = Math.Clamp(light + ((-CbGreen * cb - CrGreen * cr + Half) >> 16), 0, 255);
                blue = Math.Clamp(light + ((CbBlue * cb + Half) >> 16), 0, 255);
            }
            if (model == JpegColorModel.Ycck)
                (red, green, blue) = (255 - red, 255 - green, 255 - blue);
            if (model is JpegColorModel.Cmyk or JpegColorModel.Ycck)
            {
                byte paper = rows[3][x];
                red = DecodedImage.Multiply((byte)red, paper);
                green = DecodedImage.Multiply((byte)green, paper);
                blue = DecodedImage.Multiply((byte)blue, paper);
            }
            int at = 4 * x;
            output[at] = (byte)blue;
            output[at + 1] = (byte)green;
            output[at + 2] = (byte)red;
            output[at + 3] = 255;
        }
    }
}
