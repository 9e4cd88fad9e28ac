using System.Numerics;

namespace RepVgg.Training.Augmentations;

/// <summary>Operations on the values of the pixels, each in place. The results are those of Pillow's ImageOps and ImageEnhance.</summary>
/// <remarks>An instance reuses its memory and serves one thread at a time.</remarks>
internal sealed class ToneOperations
{
    private const int Levels = 256;

    private readonly int[] _histogram = new int[Levels];
    private readonly byte[] _table = new byte[Levels];
    private byte[] _degenerate = [];

    /// <summary>Replaces every value v by 255 - v.</summary>
    public static void Invert(PlanarImage image)
    {
        var pixels = image.Pixels;
        int i = 0;
        for (; i <= pixels.Length - Vector<byte>.Count; i += Vector<byte>.Count)
            (~new Vector<byte>(pixels[i..])).CopyTo(pixels[i..]);
        for (; i < pixels.Length; i++)
            pixels[i] = (byte)~pixels[i];
    }

    /// <summary>Keeps the highest bits of every value and clears the others.</summary>
    /// <param name="image">The image.</param>
    /// <param name="bits">Number of bits that are kept, 0 .. 8.</param>
    public static void Posterize(PlanarImage image, int bits)
    {
        var pixels = image.Pixels;
        byte mask = (byte)(byte.MaxValue << (8 - bits));
        var masks = new Vector<byte>(mask);
        int i = 0;
        for (; i <= pixels.Length - Vector<byte>.Count; i += Vector<byte>.Count)
            (new Vector<byte>(pixels[i..]) & masks).CopyTo(pixels[i..]);
        for (; i < pixels.Length; i++)
            pixels[i] &= mask;
    }

    /// <summary>Inverts the values at and above a threshold.</summary>
    /// <param name="image">The image.</param>
    /// <param name="threshold">The threshold; 256 changes nothing.</param>
    public void Solarize(PlanarImage image, int threshold)
    {
        for (int v = 0; v < Levels; v++)
            _table[v] = (byte)(v < threshold ? v : byte.MaxValue - v);
        Map(image.Pixels);
    }

    /// <summary>Adds a number to the values below 128, up to 255.</summary>
    /// <param name="image">The image.</param>
    /// <param name="addend">The number, 0 or more.</param>
    public void SolarizeAdd(PlanarImage image, int addend)
    {
        const int Threshold = 128;
        for (int v = 0; v < Levels; v++)
            _table[v] = (byte)(v < Threshold ? Math.Min(byte.MaxValue, v + addend) : v);
        Map(image.Pixels);
    }

    /// <summary>Stretches the values of each channel linearly to 0 .. 255. A channel with one value only is not changed.</summary>
    public void AutoContrast(PlanarImage image)
    {
        for (int c = 0; c < image.Channels; c++)
        {
            Count(image.Plane(c));
            int low = Array.FindIndex(_histogram, count => count > 0), high = Array.FindLastIndex(_histogram, count => count > 0);
            if (high <= low)
                continue;
            double scale = 255.0 / (high - low), offset = -low * scale;
            for (int v = 0; v < Levels; v++)
                _table[v] = (byte)Math.Clamp((int)(v * scale + offset), 0, byte.MaxValue);
            Map(image.Plane(c));
        }
    }

    /// <summary>Maps the values of each channel so that they are distributed as evenly as possible (histogram equalization).</summary>
    public void Equalize(PlanarImage image)
    {
        for (int c = 0; c < image.Channels; c++)
        {
            Count(image.Plane(c));
            int highest = Array.FindLastIndex(_histogram, count => count > 0);
            int step = (image.Area - _histogram[highest]) / byte.MaxValue;
            if (step == 0)
                continue;
            int sum = step / 2;
            for (int v = 0; v < Levels; v++)
            {
                _table[v] = (byte)Math.Min(byte.MaxValue, sum / step);
                sum += _histogram[v];
            }
            Map(image.Plane(c));
        }
    }

    /// <summary>Interpolates between a black image (factor 0) and the image (1), or beyond it.</summary>
    public void Brightness(PlanarImage image, float factor)
    {
        for (int v = 0; v < Levels; v++)
            _table[v] = Blend(0, (byte)v, factor);
        Map(image.Pixels);
    }

    /// <summary>Interpolates between an image of the mean grey value (factor 0) and the image (1), or beyond it.</summary>
    public void Contrast(PlanarImage image, float factor)
    {
        long sum = 0;
        foreach (byte value in Grey(image))
            sum += value;
        byte mean = (byte)((double)sum / image.Area + 0.5);
        for (int v = 0; v < Levels; v++)
            _table[v] = Blend(mean, (byte)v, factor);
        Map(image.Pixels);
    }

    /// <summary>Interpolates between the grey image (factor 0) and the image (1), or beyond it. A grey image is not changed.</summary>
    public void Color(PlanarImage image, float factor)
    {
        if (image.Channels == 1)
            return;
        var grey = Grey(image);
        for (int c = 0; c < image.Channels; c++)
            Blend(grey, image.Plane(c), factor);
    }

    /// <summary>Shifts the hue of every pixel. A grey image is not changed.</summary>
    /// <remarks>
    /// The result is that of torchvision's adjust_hue on a Pillow image: the colours are converted to hue, saturation and value of 8 bits each and back, which changes
    /// them by some levels even if the shift is 0.
    /// </remarks>
    /// <param name="image">The image.</param>
    /// <param name="shift">The shift, -0.5 .. 0.5; 1 is the whole circle of hues.</param>
    public static void Hue(PlanarImage image, double shift)
    {
        if (image.Channels == 1)
            return;
        byte added = unchecked((byte)(int)(shift * byte.MaxValue));
        Span<byte> red = image.Plane(0), green = image.Plane(1), blue = image.Plane(2);
        for (int i = 0; i < red.Length; i++)
        {
            byte value = Math.Max(red[i], Math.Max(green[i], blue[i]));
            int range = value - Math.Min(red[i], Math.Min(green[i], blue[i]));
            if (range > 0)
                (red[i], green[i], blue[i]) = FromHsv(unchecked((byte)(HueOf(red[i], green[i], blue[i], value, range) + added)), (byte)((float)range / value * 255.0), value);
        }
    }

    /// <summary>Computes the hue of a colour, whose largest value is given, and the difference to its smallest. The precision of each step is that of Pillow.</summary>
    private static byte HueOf(byte red, byte green, byte blue, byte value, int range)
    {
        float r = (value - red) / (float)range, g = (value - green) / (float)range, b = (value - blue) / (float)range;
        float hue = red == value ? b - g : green == value ? (float)(2.0 + r - b) : (float)(4.0 + g - r);
        hue = (float)((hue / 6.0 + 1.0) % 1.0);
        return (byte)(hue * 255.0);
    }

    private static (byte Red, byte Green, byte Blue) FromHsv(byte hue, byte saturation, byte value)
    {
        if (saturation == 0)
            return (value, value, value);
        int sector = (int)(hue * 6.0 / 255.0);
        float fraction = (float)((float)hue * 6.0 / 255.0 - sector), share = saturation / 255.0f;
        byte low = Round(value * (1.0 - share)), falling = Round(value * (1.0 - share * fraction)), rising = Round(value * (1.0 - share * (1.0 - fraction)));
        return (sector % 6) switch
        {
            0 => (value, rising, low),
            1 => (falling, value, low),
            2 => (low, value, rising),
            3 => (low, falling, value),
            4 => (rising, low, value),
            _ => (value, low, falling),
        };

        static byte Round(double level) => (byte)Math.Clamp(Math.Round(level, MidpointRounding.AwayFromZero), 0, byte.MaxValue);
    }

    /// <summary>Interpolates between a smoothed image (factor 0) and the image (1), or beyond it.</summary>
    /// <remarks>Smoothed by the kernel (1 1 1, 1 5 1, 1 1 1) / 13; the pixels at the border are those of the image.</remarks>
    public void Sharpness(PlanarImage image, float factor)
    {
        var smooth = Degenerate(image.Area);
        for (int c = 0; c < image.Channels; c++)
        {
            image.Plane(c).CopyTo(smooth);
            for (int y = 1; y < image.Height - 1; y++)
                SmoothRow(image.Row(c, y - 1), image.Row(c, y), image.Row(c, y + 1), smooth.Slice(y * image.Width, image.Width));
            Blend(smooth, image.Plane(c), factor);
        }
    }

    private static void SmoothRow(ReadOnlySpan<byte> above, ReadOnlySpan<byte> row, ReadOnlySpan<byte> below, Span<byte> smooth)
    {
        const int CenterWeight = 5, WeightSum = 13;
        for (int x = 1; x < row.Length - 1; x++)
        {
            int sum = above[x - 1] + above[x] + above[x + 1] + row[x - 1] + CenterWeight * row[x] + row[x + 1] + below[x - 1] + below[x] + below[x + 1];
            smooth[x] = (byte)((2 * sum + WeightSum) / (2 * WeightSum));
        }
    }

    /// <summary>Computes the grey values, with the weights of ITU-R 601-2.</summary>
    private Span<byte> Grey(PlanarImage image)
    {
        const int Red = 19595, Green = 38470, Blue = 7471, Bits = 16;
        if (image.Channels == 1)
            return image.Pixels;
        var grey = Degenerate(image.Area);
        Span<byte> red = image.Plane(0), green = image.Plane(1), blue = image.Plane(2);
        for (int i = 0; i < grey.Length; i++)
            grey[i] = (byte)((red[i] * Red + green[i] * Green + blue[i] * Blue + (1 << (Bits - 1))) >> Bits);
        return grey;
    }

    /// <summary>Computes image[i] = degenerate[i] + factor * (image[i] - degenerate[i]), rounded towards 0 and limited to bytes.</summary>
    private static void Blend(ReadOnlySpan<byte> degenerate, Span<byte> image, float factor)
    {
        int i = 0;
        var factors = new Vector<float>(factor);
        for (; i <= image.Length - Vector<byte>.Count; i += Vector<byte>.Count)
        {
            Vector.Widen(new Vector<byte>(degenerate[i..]), out var fromLow, out var fromHigh);
            Vector.Widen(new Vector<byte>(image[i..]), out var toLow, out var toHigh);
            Vector.Narrow(BlendHalf(fromLow, toLow, factors), BlendHalf(fromHigh, toHigh, factors)).CopyTo(image[i..]);
        }
        for (; i < image.Length; i++)
            image[i] = Blend(degenerate[i], image[i], factor);
    }

    private static Vector<ushort> BlendHalf(Vector<ushort> from, Vector<ushort> to, Vector<float> factors)
    {
        Vector.Widen(from, out var fromLow, out var fromHigh);
        Vector.Widen(to, out var toLow, out var toHigh);
        return Vector.Narrow(BlendPart(fromLow, toLow, factors), BlendPart(fromHigh, toHigh, factors));
    }

    private static Vector<uint> BlendPart(Vector<uint> from, Vector<uint> to, Vector<float> factors)
    {
        Vector<float> start = Vector.ConvertToSingle(Vector.AsVectorInt32(from)), difference = Vector.ConvertToSingle(Vector.AsVectorInt32(to) - Vector.AsVectorInt32(from));
        // No fused multiplication and addition: the rounding is that of Pillow.
        var value = start + factors * difference;
        return Vector.AsVectorUInt32(Vector.ConvertToInt32(Vector.Min(Vector.Max(value, Vector<float>.Zero), new Vector<float>(byte.MaxValue))));
    }

    private static byte Blend(byte degenerate, byte value, float factor) => (byte)Math.Clamp(degenerate + factor * (value - degenerate), 0, byte.MaxValue);

    private Span<byte> Degenerate(int length)
    {
        if (_degenerate.Length < length)
            _degenerate = new byte[length];
        return _degenerate.AsSpan(0, length);
    }

    private void Count(ReadOnlySpan<byte> plane)
    {
        Array.Clear(_histogram);
        foreach (byte value in plane)
            _histogram[value]++;
    }

    /// <summary>Replaces every value by that of the table.</summary>
    private void Map(Span<byte> pixels)
    {
        var table = _table;
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = table[pixels[i]];
    }
}
